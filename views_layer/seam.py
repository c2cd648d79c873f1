"""The seam, where both layers meet. The only module that knows speed and batch.

Why an answer is exact. The log is one sequence of events. A cut is a position in it, taken by the script that swaps the
buffers, and never a time: an event is before the cut or after it, in both layers alike. Then

    every event up to cut E        is in the view rows of epoch E, and in no buffer that a reader of E reads;
    every event after it, to mark  is in the buffers of the epochs after E, each once;

and states merge to the same bytes in any order, so rows + buffers == the fold of the log up to the mark.

A reader first takes, in one script, the published epoch E and the entries of all buffers after it, and then the rows of
E. Rows are addressed by the epoch that wrote them and never change, so it does not matter when they are read, as long
as they are there: the rows that E needs are deleted only after E + 1 has been published, and a reader that meets a
deleted row starts again.

Publishing is two steps: the ledger, then one script in Redis that flips the epoch and drops the frozen buffer. Between
the two a reader still reads epoch E - 1 with its frozen buffer, which is the same set of events. After a crash between
them the consumer takes the second step (speed.recovery). A swap is two steps as well: the script in Redis, then the
record of the cut. After a crash between them the next swap is refused, returns the same cut, and that is recorded.

A late event goes the same way as any other: it is after the last cut in the log, so it is in a buffer, in the hour in
which it occurred; the next run merges it into that hour's row, and into its day and month.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis
from django.utils import timezone

from aggregations.cells import Cells, DamagedCells, decode
from aggregations.rollups import Rollup
from batch import archive, ledger
from batch.models import Audit, Mismatch, Run
from batch.run import Progress, run_epoch, silent
from batch.view_store import NotSealed, RowsGone, StoreAway, view_store
from events.cuts import cut_position, published_cut, record_cut, waiting_cut
from events.log import EventLog, Position, at_or_before, event_log
from events.models import Cut, RejectedEvent
from speed import buffers, consumer, folding, recovery
from views_layer.tries import Tries, is_due, tries_of

logger = logging.getLogger(__name__)

OVERDUE = timedelta(minutes=10)
"""How late an hourly publication may be before the pipeline counts as unhealthy."""
AHEAD = timedelta(minutes=5)
"""How far apart the clocks of processes may be before a cut is dated anew."""
DOES = {Run.HOURLY: 1, Run.DAILY: 2, Run.REBUILD: 3}
"""How much the kinds of run do: each does what those below it do."""
WAIT_S = 120
"""How long a command waits for a run of somebody else that says nothing; a rebuild may take much longer in all."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What one answer is computed from: an epoch's rows, the buffers' cells after it, all at one log position.

    `has_rows` is False where the view store is known to have lost the epoch, or to be away: then only raw events give the
    answer. `has_buffers` is False without Redis: then the answer ends at the cut.
    """

    epoch: int
    cut: Position
    cut_at: datetime | None
    mark: Position
    as_of: datetime
    has_rows: bool
    has_buffers: bool
    cells: dict[str, list[Cells]]


def moment(hub: str, rollups: Sequence[Rollup], now: datetime) -> Moment:
    """The current moment of a hub, with the buffers' cells of some rollups."""
    log = event_log()
    head = log.head()
    state, cells = _buffered(hub, rollups)
    # Read after the buffers: the ledger is ahead of them by a publication at most, unless they are of an old dump.
    published = published_cut()
    epoch = published.epoch if published else 0
    if state is None or state.birth != log.birth() or state.published not in (epoch, epoch - 1):
        return _moment_of_rows(published, now)
    if state.published != epoch:
        published = Cut.objects.filter(epoch=state.published).first()
    return Moment(
        epoch=state.published,
        cut=published.position if published else {},
        cut_at=published.cut_at if published else None,
        mark=state.mark,
        as_of=now if state.mark == head else _received_at(state.mark, now),
        has_rows=_has_rows(state.published),
        has_buffers=True,
        cells=cells,
    )


def verify(moment: Moment, are_rows_unproved: bool = False) -> None:
    """To be called when everything was read. Raises RowsGone where what `moment` needs may have been deleted meanwhile.

    What readers of an epoch need is deleted only after the epoch after the next has been published. `are_rows_unproved`: of
    the view store something else was read after the addresses that `must_be_sealed`, or without such.
    """
    published = published_cut()
    if published and published.epoch > moment.epoch + 1:
        raise RowsGone(f"Epoch {published.epoch} was published while epoch {moment.epoch} was read; read again.")
    if moment.has_rows and are_rows_unproved and not view_store().is_sealed(moment.epoch):
        raise NotSealed(moment.epoch)


def _has_rows(epoch: int) -> bool:
    """Whether the rows of an epoch can be read, to be proved by who reads them; False also where the view store is away."""
    try:
        return view_store().seems_sealed(epoch)
    except StoreAway as away:
        logger.warning("%s The answer comes from the raw events.", away)
        return False


def _buffered(hub: str, rollups: Sequence[Rollup]) -> tuple[buffers.Pipeline | None, dict[str, list[Cells]]]:
    """The pipeline and the cells of a hub's buffers; no pipeline where Redis is away or empty, or they are damaged."""
    try:
        return _read_buffers(hub, rollups)
    except redis.RedisError as error:
        logger.warning("Redis does not answer (%s); the answer ends at the last cut.", error)
    return None, {}


def _read_buffers(hub: str, rollups: Sequence[Rollup]) -> tuple[buffers.Pipeline | None, dict[str, list[Cells]]]:
    try:
        found = buffers.snapshot(hub, [rollup.name for rollup in rollups])
        if found is None:
            return None, {}
        return found.pipeline, {
            rollup.name: [decode(entry, rollup.keys, rollup.measures) for entry in found.entries[rollup.name]]
            for rollup in rollups
        }
    except DamagedCells:
        logger.exception("A buffer of %s is damaged; the answer ends at the last cut until it is built again.", hub)
        buffers.condemn()
    return None, {}


def _moment_of_rows(published: Cut | None, now: datetime) -> Moment:
    cut = published.position if published else {}
    return Moment(
        epoch=published.epoch if published else 0,
        cut=cut,
        cut_at=published.cut_at if published else None,
        mark=cut,
        as_of=published.cut_at if published else now,
        has_rows=_has_rows(published.epoch if published else 0),
        has_buffers=False,
        cells={},
    )


def _received_at(mark: Position, now: datetime) -> datetime:
    """When the last applied chunk was received; `now` where none was."""
    received = [at for at in (event_log().received_at(partition, n) for partition, n in mark.items()) if at]
    return min([*(datetime.fromtimestamp(at / 1000, tz=now.tzinfo) for at in received), now])


class FrozenBuffers:
    """What batch needs of the speed layer."""

    def frozen(self, epoch: int) -> dict[tuple[str, str], bytes]:
        """The states of the frozen buffer, all of one buffer; those of lost lists are empty.

        Raises Fenced where the epoch has been published.
        """
        missing: list[tuple[str, str]] = []
        while True:
            state = recovery.ensure(event_log())
            if state.published >= epoch:
                raise ledger.Fenced(f"Epoch {epoch} has been published by another run.")
            names = buffers.frozen_names(epoch)
            found = dict(zip(names or [], buffers.entries_of(epoch, names or []), strict=True))
            missed, missing = missing, [name for name, entries in found.items() if not entries]
            # Lists that are missing once may have been read while Redis was emptied; missing twice, they are lost.
            if names is not None and missing == missed:
                return {name: _merged(name[1], entries) if entries else b"" for name, entries in found.items()}

    def retire(self, epoch: int) -> None:
        buffers.retire(epoch, cut_position(epoch))


def _merged(rollup: str, entries: list[bytes]) -> bytes:
    """The state of entries; where one is damaged the bytes as they are, which the audit tells from batch's."""
    try:
        return folding.merged(rollup, entries)
    except DamagedCells:
        return b"".join(entries)


def swap(log: EventLog, now: datetime) -> Cut:
    """Swap the buffers and record the cut; where a frozen buffer waits, its cut. Idempotent until that is published."""
    while True:
        swapped = buffers.swap(recovery.ensure(log).birth)
        if swapped is None:
            continue
        epoch, position = swapped
        cut = record_cut(epoch, position, now)
        if cut.position == position and cut.published_at is None:
            return cut
        logger.warning("Redis was put back between recovery and swap: epoch %d was cut at %s.", epoch, cut.position)


def run_now(kind: str, progress: Progress = silent) -> Run:
    """Apply what is in the log, swap, run and publish: afterwards the rows hold every event accepted before the call.

    An epoch that waits is finished first, also one that another process has cut between; so the run that is returned
    is of this kind, or of one that does more. Raises TimeoutError where another process holds a claim for too long.
    """
    log = event_log()
    head = log.head()
    while True:
        while (waiting := _frozen(log)) is not None:
            _finish(waiting, Run.HOURLY, progress)
        consumer.apply_new(log, until=head)
        cut = swap(log, timezone.now())
        run = _finish(cut, kind, progress)
        if DOES[run.kind] >= DOES[kind] and at_or_before(head, cut.position):
            return run


def run_waiting(now: datetime) -> Run | None:
    """Run the epoch that waits for its publication, whatever pause its failures have brought it.

    None where none waits, or another run has it.
    """
    waiting = _frozen(event_log())
    return None if waiting is None else _run(waiting.epoch, kind_due(now), silent)


def _frozen(log: EventLog) -> Cut | None:
    """The cut of a frozen buffer that waits, recorded if its record is missing; None where nothing waits."""
    state = recovery.ensure(log)
    if state.frozen is None:
        return waiting_cut()
    assert state.cut is not None
    return record_cut(state.frozen, state.cut, timezone.now())


def _finish(cut: Cut, kind: str, progress: Progress) -> Run:
    heard, deadline = None, time.monotonic() + WAIT_S
    while (run := _run(cut.epoch, kind, progress)) is None:
        done = Run.objects.filter(epoch=cut.epoch, published_at__isnull=False).first()
        if done is not None:
            buffers.retire(cut.epoch, cut.position)
            return done
        said = Run.objects.filter(epoch=cut.epoch).values_list("id", "alive_at").first()
        if said != heard:
            heard, deadline = said, time.monotonic() + WAIT_S
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"Epoch {cut.epoch} has been claimed by another run for {WAIT_S} s; see Runs in the admin."
            )
        time.sleep(0.2)
    return run


def _run(epoch: int, kind: str, progress: Progress) -> Run | None:
    """One run of an epoch; None where another run has it, or took it because this one was too slow."""
    try:
        return run_epoch(epoch, kind, FrozenBuffers(), progress)
    except ledger.Fenced as fenced:
        logger.warning("%s", fenced)
        return None


def reconcile(now: datetime) -> Run | None:
    """Do what is due: finish an epoch that waits; else swap and run where a full hour has passed since the last cut.

    A missed tick costs seconds and a doubled one nothing. The first run after 00:00 GMT is the daily one. A view store
    that lost its rows, or is of another declaration, is rebuilt; an archive that lost files is written again. An epoch
    whose runs fail one after the other waits longer and longer, see views_layer.tries. With a view store that is away
    nothing is published, and buffers keep what waits: the next tick tries again.
    """
    try:
        return _reconciled(now)
    except StoreAway as away:
        logger.warning("%s The next tick tries again.", away)
        return None


def _reconciled(now: datetime) -> Run | None:
    log = event_log()
    waiting = _frozen(log)
    if waiting is not None:
        return _run(waiting.epoch, kind_due(now), silent) if is_due(tries_of(waiting.epoch, now), now) else None
    published = published_cut()
    if published and not view_store().is_sealed(published.epoch):
        return run_now(Run.REBUILD)
    if published and archive.lost(published.epoch):
        return run_now(Run.DAILY)
    if not hour_is_due(published.cut_at if published else None, now):
        return None
    return _run(swap(log, now).epoch, kind_due(now), silent)


def hour_is_due(last_cut_at: datetime | None, now: datetime) -> bool:
    """True where a full hour lies between the last cut and now, or there is no cut yet.

    A cut of the future was dated by a clock that was ahead; waiting for that time could take hours.
    """
    if last_cut_at is None or last_cut_at > now + AHEAD:
        return True
    return last_cut_at < _full_hour(now)


def _full_hour(at: datetime) -> datetime:
    """The full hour at or before a time."""
    return at.replace(minute=0, second=0, microsecond=0)


def kind_due(now: datetime) -> str:
    """Daily where no run since 00:00 GMT was one from the raw events; else hourly."""
    last = ledger.last_daily_at()
    return Run.DAILY if last is None or last.date() < now.date() else Run.HOURLY


def status(now: datetime, has_redis: bool = True) -> dict[str, Any]:
    """Where the pipeline stands. `lag_events` 0: every 202 is in the answers; `lag_seconds`: how long the oldest waits.

    `settled`: the buffers agree with the ledger. Without Redis, which is not asked where `has_redis` is False, they do
    not, and answers end at the cut. `overdue`: the publication of a full hour is late by more than OVERDUE.
    `tries`: those of an epoch that waits, None where no run of it has failed. `mismatches`: those that nobody has
    acknowledged. `accounts`: of what was received in the last 24 hours.
    """
    log = event_log()
    head, published, waiting = log.head(), published_cut(), waiting_cut()
    state = _settled(log) if has_redis else None
    cut = published.position if published else {}
    applied = state.mark if state else cut
    hour = int(now.timestamp()) // 3_600
    day = list(log.accounts(hour - 24, hour + 1).values())
    began_at = published.cut_at if published else _received_at(dict.fromkeys(head, 1), now)
    return {
        "log": head,
        "applied": applied,
        "cut": cut,
        "cut_at": published.cut_at.isoformat() if published else None,
        "published_epoch": published.epoch if published else 0,
        "lag_events": log.count_between(applied, head),
        "lag_seconds": _waited_s(log, applied, head, now),
        "audits": Audit.objects.count(),
        "mismatches": Mismatch.objects.filter(acknowledged_at=None).count(),
        "rejected": RejectedEvent.objects.filter(replayed_at=None).count(),
        "accounts": {
            "received": sum(account.received for account in day),
            "accepted": sum(account.accepted for account in day),
            "duplicates": sum(account.duplicates for account in day),
            "rejected": sum(account.rejected for account in day),
            "balanced": all(account.is_balanced for account in day),
        },
        "settled": state is not None,
        "overdue": began_at < _full_hour(now - OVERDUE),
        "tries": _told(tries_of(waiting.epoch, now)) if waiting else None,
    }


def _told(tries: Tries | None) -> dict[str, Any] | None:
    if tries is None:
        return None
    return {
        "epoch": tries.epoch,
        "count": tries.count,
        "error": tries.error,
        "next_at": tries.next_at.isoformat(timespec="seconds"),
    }


def buffer_sizes() -> tuple[dict[str, tuple[int, int]], int]:
    """Lists and estimated bytes of the `active` and `frozen` buffer, and all bytes of Redis. Raises redis.RedisError."""
    return buffers.sizes(), buffers.used_bytes()


def rewrite_buffers() -> None:
    """Let Redis write its file anew, so that nothing is left in it of buffers that were dropped. Raises redis.RedisError."""
    buffers.rewrite_file()


def _settled(log: EventLog) -> buffers.Pipeline | None:
    try:
        return recovery.settled(log)
    except redis.RedisError as error:
        logger.warning("Redis does not answer (%s); the answers end at the last cut.", error)
        return None


def _waited_s(log: EventLog, applied: Position, head: Position, now: datetime) -> float:
    """How long the oldest event that is not applied has been in the log; 0 where all are."""
    behind = {partition: n for partition, n in head.items() if n > applied.get(partition, 0)}
    next_chunks = {partition: applied.get(partition, 0) + 1 for partition in behind}
    return max(0.0, (now - _received_at(next_chunks, now)).total_seconds())
