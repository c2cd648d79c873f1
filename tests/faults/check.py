"""The check: answers over HTTP and the log itself, against what was accepted.

Three claims. In the log every accepted id is there once, and none that was not sent. At rest every answer is the
oracle's. And any answer at all, given at any moment, is the log up to the end of one of its chunks.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import Any
from urllib.parse import urlencode

from tests.faults.load import HUBS, NAMELESS, Facts
from tests.faults.stack import NotSo, Stack, until, wait

HOUR_MS = 3_600_000
METRICS = ("events", "views", "duration_ms", "shares", "visits", "visitors")
SUMS = METRICS[:4]
SHOWN = 6
LOOKS_EVERY_S = 0.25
"""To look is a load of its own: FerretDB reads all chunks to tell the last."""


@dataclass
class Numbers:
    """One row of the oracle: sums and sets."""

    events: int = 0
    views: int = 0
    duration_ms: int = 0
    shares: int = 0
    visits: set[tuple[str, str]] = field(default_factory=set)
    visitors: set[str] = field(default_factory=set)

    def add(self, facts: Facts) -> None:
        self.events += 1
        self.views += facts.action == "view" and facts.media is not None
        self.duration_ms += facts.duration_ms
        self.shares += facts.action == "share"
        self.visits.add((facts.visitor, facts.visit))
        self.visitors.add(facts.visitor)

    def shown(self, metrics: Iterable[str]) -> tuple[int, ...]:
        values = (getattr(self, metric) for metric in metrics)
        return tuple(len(value) if isinstance(value, set) else value for value in values)


def _hour(facts: Facts) -> str:
    return datetime.fromtimestamp(facts.occurred_at // HOUR_MS * 3600, UTC).isoformat(timespec="seconds")


QUESTIONS: dict[str, tuple[dict[str, str], Callable[[Facts], tuple]]] = {
    "total": ({}, lambda facts: ()),
    "by media": ({"by": "media"}, lambda facts: (facts.media,)),
    "by action": ({"by": "action"}, lambda facts: (facts.action,)),
    "by hour": ({"interval": "hour", "timezone": "UTC"}, lambda facts: (_hour(facts),)),
    "by media and action, raw": ({"by": "media,action"}, lambda facts: (facts.media, facts.action)),
}
"""What is asked of every hub: parameters, and the row of an event. No rollup holds media and action together."""


class Oracle:
    """The accepted events, counted once; `queued` are those that may wait in the queue. `take` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.ids: set[tuple[str, str]] = set()
        self.queued: set[tuple[str, str]] = set()
        self.rows: dict[tuple[str, str], dict[tuple, Numbers]] = {(h, q): {} for h in HUBS for q in QUESTIONS}
        self.first_at, self.last_at = 2**62, 0

    def take(self, accepted: list[Facts], is_queued: bool) -> None:
        with self._lock:
            for facts in accepted:
                self.ids.add((facts.hub, facts.id))
                if is_queued:
                    self.queued.add((facts.hub, facts.id))
                self.first_at, self.last_at = (
                    min(self.first_at, facts.occurred_at),
                    max(self.last_at, facts.occurred_at),
                )
                for name, (_, row_of) in QUESTIONS.items():
                    self.rows[facts.hub, name].setdefault(row_of(facts), Numbers()).add(facts)


class Reader(threading.Thread):
    """Asks for totals again and again; each answer must be the log up to some chunk."""

    def __init__(self, stack: Stack, keys: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self._stack, self._keys = stack, keys
        self.answers: list[tuple[str, tuple[int, int], dict]] = []
        self.by_status: Counter[int] = Counter()
        self.start()

    def run(self) -> None:
        asked = urlencode(
            {"metrics": "events,duration_ms", "from": "2020-01-01", "to": "2100-01-01", "robots": "include"}
        )
        while True:
            for hub in HUBS:
                status, answer = self._stack.request(f"/api/hubs/{hub}/stats?{asked}", key=self._keys[hub])
                self.by_status[status] += 1
                if status == 200:
                    totals = answer["totals"]
                    self.answers.append((hub, (totals["events"], totals["duration_ms"]), answer["meta"]))
                wait(0.1)


class Wrong(NotSo):
    """An answer that says it is exact, of a pipeline that says nothing lags, is not what was accepted."""


class Checker:
    """Compares, and says what differs. What is compared must be at rest: nothing is being sent."""

    def __init__(self, stack: Stack, oracle: Oracle, read_keys: dict[str, str]) -> None:
        self._stack, self._oracle, self._keys = stack, oracle, read_keys
        self._reader = Reader(stack, read_keys)
        self._position: dict[str, int] = {}
        self._in_log: Counter[tuple[str, str]] = Counter()
        self._prefixes: dict[str, set[tuple[int, int]]] = {hub: {(0, 0)} for hub in HUBS}
        self._sums: dict[str, tuple[int, int]] = dict.fromkeys(HUBS, (0, 0))
        self.answers_checked = 0
        self.healed_last = ""
        """What was the last not to be as it must be; empty where all was, at once."""
        self.asked = 0

    @property
    def by_status(self) -> dict[int, int]:
        return dict(self._reader.by_status)

    def status(self) -> dict[str, Any]:
        """What `pipeline_status --json` prints, at the world's time."""
        from views_layer import seam

        _renew_connections()
        return seam.status(datetime.fromtimestamp(self._stack.now(), UTC))

    def is_published(self) -> bool:
        """True where no cut waits for its publication."""
        from events.cuts import waiting_cut

        _renew_connections()
        return waiting_cut() is None

    def published(self) -> tuple[int, float]:
        """The published epoch and when it was cut; zeros before the first."""
        from events.cuts import published_cut

        _renew_connections()
        cut = published_cut()
        return (cut.epoch, cut.cut_at.timestamp()) if cut else (0, 0.0)

    def healed(self) -> float:
        """Wait until everything serves, nothing lags and all answers are exact; returns how long it took. Raises NotSo."""
        seconds = self._stack.profile.healed_s
        found: list[str] = ["not asked yet"]
        self.healed_last = ""

        def is_healed() -> bool:
            found[:] = self.differences()
            self.healed_last = found[0] if found else self.healed_last
            return not found

        try:
            took = until(is_healed, seconds, "exact", LOOKS_EVERY_S)
        except Wrong:
            raise
        except NotSo:
            raise NotSo(f"after {seconds:.0f} s: {'; '.join(found)}") from None
        if wrong := [*self.log_differences(), *self.answer_differences()]:
            raise NotSo("; ".join(wrong[:SHOWN]))
        return took

    def differences(self) -> list[str]:
        """What is not yet as it must be, at most a few: health, lag, then answers.

        Raises Wrong where everything serves, nothing lags before and after the answers, and one that is exact differs.
        """
        from events.log import AWAY

        if not self._stack.is_healthy():
            return [f"/healthz says {self._stack.request('/healthz', seconds=5)}"]
        try:
            return self._differences()
        except AWAY as error:
            return [f"a store does not serve: {error}"]

    def _differences(self) -> list[str]:
        self._read_log()
        if self._oracle.queued:
            return [f"{len(self._oracle.queued)} confirmed ids of the queue are not in the log yet"]
        before = self.status()
        if before["lag_events"]:
            return [f"lag_events is {before['lag_events']} at {before['applied']} of {before['log']}"]
        failing: list[str] = []
        wrong: list[str] = []
        for hub, name in product(HUBS, QUESTIONS):
            status, answer, differing = self._compared(hub, name)
            if status != 200:
                failing.append(f"{hub} {name}: {status} {answer}")
            (wrong if status == 200 and answer["meta"]["exact"] else failing).extend(differing)
            if len(failing) + len(wrong) >= SHOWN:
                break
        if wrong and self.status()["lag_events"] == 0:
            raise Wrong("; ".join(wrong))
        return [*failing, *wrong]

    def _compared(self, hub: str, name: str) -> tuple[int, Any, list[str]]:
        """One question: status, answer, and the rows that differ."""
        wanted = self._oracle.rows[hub, name]
        metrics = SUMS if hub == NAMELESS else METRICS
        asked = (
            QUESTIONS[name][0] | {"metrics": ",".join(metrics), "robots": "include", "limit": "10000"} | self._range()
        )
        status, answer = self._stack.request(f"/api/hubs/{hub}/stats?{urlencode(asked)}", key=self._keys[hub])
        self.asked += 1
        if status != 200 or not wanted:
            return status, answer, []
        names = ["time"] if "interval" in asked else asked["by"].split(",") if "by" in asked else []
        rows = {tuple(row[n] for n in names): tuple(row[m] for m in metrics) for row in answer["results"]}
        if "interval" in asked:
            # Buckets without events are there, with zeros.
            rows = {key: values for key, values in rows.items() if any(values)}
        shown = {key: numbers.shown(metrics) for key, numbers in wanted.items()}
        differing = sorted((key for key in shown.keys() | rows.keys() if shown.get(key) != rows.get(key)), key=repr)
        source = answer["meta"]["source"]
        return (
            status,
            answer,
            [
                f"{hub} {name} {key}: answered {rows.get(key)}, accepted {shown.get(key)} ({source})"
                for key in differing[:2]
            ],
        )

    def _range(self) -> dict[str, str]:
        bounds = self._oracle.first_at // HOUR_MS, self._oracle.last_at // HOUR_MS + 1
        first, last = (datetime.fromtimestamp(hour * 3600, UTC).isoformat() for hour in bounds)
        return {"from": first, "to": last}

    def log_differences(self) -> list[str]:
        """Ids that are in the log more than once, or not at all, or were never accepted. To be called at rest."""
        self._read_log()
        found = ((self.lost(), "lost from"), (self.doubled(), "doubled in"), (self._strange(), "never accepted are in"))
        return [f"{len(pairs)} ids {what} the log, such as {min(pairs)}" for pairs, what in found if pairs]

    def _read_log(self) -> None:
        """Read on, up to the end of the log. Raises LogAway."""
        from events.log import event_log

        for chunk in event_log().read(self._position):
            self._position = {chunk.partition: chunk.sequence}
            for event in chunk.events:
                self._in_log[event.hub, event.id] += 1
                events, duration = self._sums[event.hub]
                self._sums[event.hub] = events + 1, duration + event.duration_ms
            for hub, sums in self._sums.items():
                self._prefixes[hub].add(sums)
        self._oracle.queued -= self._in_log.keys()

    def lost(self) -> set[tuple[str, str]]:
        """The accepted ids that were not in the log when it was read last."""
        return self._oracle.ids - self._in_log.keys()

    def doubled(self) -> set[tuple[str, str]]:
        """The ids that were in the log more than once when it was read last."""
        return {pair for pair, count in self._in_log.items() if count > 1}

    def _strange(self) -> set[tuple[str, str]]:
        return self._in_log.keys() - self._oracle.ids

    def forget_answers(self) -> None:
        """After a failure: the answers given meanwhile are known to be wrong."""
        self._reader.answers = []

    def answer_differences(self) -> list[str]:
        """The answers given meanwhile that are no prefix of the log; to be called after `log_differences`."""
        answers, self._reader.answers = self._reader.answers, []
        self.answers_checked += len(answers)
        return [
            f"{hub} was answered {numbers} (events, duration_ms), which the log never was: {meta}"
            for hub, numbers, meta in answers
            if numbers not in self._prefixes[hub]
        ]


def _renew_connections() -> None:
    """Close those of this thread that a server's end has broken."""
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()
