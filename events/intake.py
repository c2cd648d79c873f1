"""The intake: the one way into the log, for the collector, imports, replays and queues."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.conf import settings

from aggregations.rollups import HOUR_MS
from events.log import (
    Account,
    AppendTooSlow,
    ChunkTooLarge,
    EventLog,
    LogBusy,
    LogUnsure,
    LogWriter,
    Rejection,
    WriterFenced,
    event_log,
)
from events.normaliser import Caller, Draft, hub_said, normalise, rejection_of
from events.sent import Body, Reject
from events.signals import appended
from events.stamper import Stamper

TRIES = 5
"""How often a batch is stamped and written where other writers are faster."""
SLOW_FROM = 1_000
"""Events from which on an append that took too long is tried in halves; with fewer it is not their number."""


@dataclass(slots=True)
class Batch:
    """The events of one request that passed the normaliser, and those that did not. `size` is in bytes of body.

    `received` is how many came in for each hub ("": no known one), as counted at the door; without it, as they are.
    """

    drafts: list[Draft] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    size: int = 0
    received: Counter[str] | None = None

    def by_hub(self) -> Counter[str]:
        """How many events it has of each hub."""
        return Counter([draft.hub for draft in self.drafts]) + Counter([one.hub for one in self.rejections])


def batch_of(body: Body, size: int, caller: Caller, received_at: int) -> tuple[Batch, list[dict]]:
    """What a body's events become, and for each rejected one its index, code and detail. `size` is in bytes."""
    received: Counter[str] = Counter()
    batch = Batch(size=size, received=received)
    rejected = []
    for index, sent in enumerate(body.events):
        received[hub_said(body.items[index] if isinstance(sent, Reject) else sent, caller)] += 1
        try:
            batch.drafts.append(normalise(sent, caller, received_at))
        except Reject as reject:
            batch.rejections.append(rejection_of(body.items[index], reject, caller, received_at))
            rejected.append({"index": index, "code": reject.code, "detail": reject.detail})
    return batch, rejected


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch's drafts; `accepted + duplicates` is their number."""

    accepted: int = 0
    duplicates: int = 0


class Intake:
    """Appends batches to this collector's partition. Not for several threads at once; each may have its own."""

    def __init__(self, log: EventLog | None = None, partition: str | None = None) -> None:
        self._log = log or event_log()
        self._partition = partition or settings.EVENT_LOG_PARTITION
        self._stamper = Stamper()
        self._announced = self._sequence = 0

    def append(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Commit the batches together, then send `appended`. Raises LogBusy, with nothing written, and LogUnsure."""
        outcomes = self.commit(batches)
        self.announce()
        return outcomes

    def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Write the batches' new events as one chunk, and their rejections, in one atomic and durable write.

        Duplicates (of the log, or of an earlier draft) change nothing. What is too large for a chunk of this log, which no
        request is, or takes a slow one longer than a writer has, becomes several, one after the other. Raises LogBusy, with
        nothing written, and LogUnsure, also where some of it is.
        """
        try:
            if any(batch.drafts or batch.rejections for batch in batches):
                sequence = self._written(batches)
                if sequence:
                    self._stamper.committed(sequence)
                    self._sequence = sequence
        except (ChunkTooLarge, AppendTooSlow) as error:
            halves = _halves(batches)
            is_small = sum(len(batch.drafts) for batch in batches) < SLOW_FROM
            if not halves or (isinstance(error, AppendTooSlow) and is_small):
                raise
            self._commit_halves(halves)
        return [_outcome(batch) for batch in batches]

    def _commit_halves(self, halves: Sequence[Sequence[Batch]]) -> None:
        for number, half in enumerate(halves):
            try:
                self.commit(half)
            except LogUnsure:
                raise
            except LogBusy as busy:
                if number == 0:
                    raise
                raise LogUnsure(
                    f"Some of the events were written, and others not ({busy}); send them again: one with the same id counts once."
                ) from busy

    def _written(self, batches: Sequence[Batch]) -> int:
        """The sequence of the chunk; tried again where another writer was faster."""
        for tries_left in reversed(range(TRIES)):
            try:
                return self._write(batches)
            except WriterFenced:
                self._stamper.clear()
                if not tries_left:
                    raise
            except BaseException:
                self._stamper.clear()
                raise
        raise AssertionError("The last try returns or raises.")

    def announce(self) -> None:
        """Send `appended` for what was committed since the last time."""
        if self._announced != self._sequence:
            self._announced = self._sequence
            appended.send_robust(sender=Intake, position={self._partition: self._sequence})

    def _write(self, batches: Sequence[Batch]) -> int:
        """The sequence of the chunk; 0 where there was nothing to append."""
        drafts = [draft for batch in batches for draft in batch.drafts]
        rejections = [rejection for batch in batches for rejection in batch.rejections]
        received = sum((batch.received or batch.by_hub() for batch in batches), Counter())
        sequence, now = 0, int(time.time() * 1000)
        with self._log.writer(self._partition) as writer:
            new = _new(writer, drafts)
            accepted: Counter[str] = Counter()
            if new:
                events = self._stamper.stamp(writer, new)
                sequence = writer.append(events, now)
                accepted.update(event.hub for event in events)
            if rejections:
                writer.reject(rejections)
            duplicates = Counter(draft.hub for draft in drafts if draft.is_duplicate)
            rejected = Counter(rejection.hub for rejection in rejections)
            for hub in received | accepted | duplicates | rejected:
                account = Account(received[hub], accepted[hub], duplicates[hub], rejected[hub])
                writer.account(hub, now // HOUR_MS, account)
        return sequence


def _new(writer: LogWriter, drafts: list[Draft]) -> list[Draft]:
    """The drafts that are no duplicates, with their ids claimed; the others are marked."""
    first: dict[tuple[str, str], Draft] = {}
    for draft in drafts:
        draft.is_duplicate = False
        if draft.sent.id and first.setdefault((draft.hub, draft.sent.id), draft) is not draft:
            draft.is_duplicate = True
    for pair in writer.claim_ids(list(first)):
        first[pair].is_duplicate = True
    return [draft for draft in drafts if not draft.is_duplicate]


def _halves(batches: Sequence[Batch]) -> list[Sequence[Batch]]:
    """Batches in two parts, a single one in its first events and the others; nothing where it is of one event."""
    some = [batch for batch in batches if batch.drafts or batch.rejections]
    if len(some) > 1:
        return [some[: len(some) // 2], some[len(some) // 2 :]]
    (whole,) = some
    drafts, rejections = (len(whole.drafts) + 1) // 2, len(whole.rejections) // 2
    first = Batch(whole.drafts[:drafts], whole.rejections[:rejections])
    second = Batch(whole.drafts[drafts:], whole.rejections[rejections:])
    return [[first], [second]] if first.by_hub() and second.by_hub() else []


def _outcome(batch: Batch) -> Outcome:
    duplicates = sum(draft.is_duplicate for draft in batch.drafts)
    return Outcome(len(batch.drafts) - duplicates, duplicates)
