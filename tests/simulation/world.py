"""The world of a schedule: a log, its readers' reference, the actors, and what may happen to them."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from django.conf import settings
from django.http import QueryDict
from django.utils import timezone

from aggregations.event import Event
from aggregations.metrics import present
from aggregations.reference import reference_fold
from aggregations.rollups import HOUR_MS, rollup_named
from batch import ledger
from batch.models import ArchiveFile, Audit, KeptRow, Mismatch, RebuiltWindow, Restatement, Run
from batch.view_store import RowsGone
from events.log import event_log
from events.models import Cut, Hub, Media, Removal
from speed import buffers, consumer
from speed.server import address
from tests import caches, log
from tests.rows import lose_rows
from tests.simulation.scheduler import Actor, Crash, Scheduler, step
from views_layer import gather, seam
from views_layer.question import Question, read_question

HUB = "acme"
FIRST_HOUR = datetime(2026, 3, 1, 20, tzinfo=UTC)
HOURS = 8
FROM_TO = f"from={FIRST_HOUR:%Y-%m-%dT%H}:00:00Z&to={FIRST_HOUR + timedelta(hours=HOURS):%Y-%m-%dT%H}:00:00Z"
ROLLUPS = (rollup_named("hub"), rollup_named("media"))
KINDS = (Run.HOURLY, Run.HOURLY, Run.HOURLY, Run.DAILY, Run.REBUILD)
STALE = timedelta(hours=-1)
LONG = timedelta(hours=1)


class Inconsistent(AssertionError):
    """An answer that is not the reference fold of the log up to the reader's mark."""


def empty(url: str) -> None:
    """A new world: no log, no ledger, no rows, no files, no buffers."""
    log.lose()
    for model in (
        Cut,
        Media,
        Removal,
        Run,
        Audit,
        RebuiltWindow,
        Restatement,
        ArchiveFile,
        KeptRow,
    ):
        model.objects.all().delete()
    lose_rows()
    Hub.objects.get_or_create(slug=HUB)
    shutil.rmtree(settings.ARCHIVE_DIR, ignore_errors=True)
    with address(url).client(5) as client:
        client.flushall()


class World:
    """One schedule: actors over the production code, a checker after every turn, and chaos by the seed."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch, url: str, chunks: int, chaos: bool) -> None:
        empty(url)
        self.redis = address(url).client(5)
        self.hub = Hub.objects.get(slug=HUB)
        self.scheduler = Scheduler(seed, self.after_turn)
        self.random = self.scheduler.random
        self.chunks, self.chaos = chunks, chaos
        self.reads = self.published = self.rows_only = 0
        self.log: list[list[Event]] = []
        self.dumps: list[dict[bytes, bytes]] = []
        self._folded: dict[tuple[int, str], dict] = {}
        self._patch(monkeypatch)

    def _patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("batch.run", "speed.folding"):
            monkeypatch.setattr(f"{module}.ROLLUPS", ROLLUPS)
        caches.renew(monkeypatch)
        monkeypatch.setattr("views_layer.seam.time.sleep", lambda _: step("wait"))
        fail = ledger.fail

        def fail_unless_dead(run: Run, error: BaseException) -> None:
            if not isinstance(error, Crash):
                fail(run, error)

        monkeypatch.setattr(ledger, "fail", fail_unless_dead)

    # What the actors do.

    def append(self) -> None:
        for number in range(self.chunks):
            for _ in range(self.random.randrange(5)):
                step("append")
            events = [self._event(number, place) for place in range(self.random.randrange(1, 4))]
            log.append(events, received_at=number)
            self.log.append(events)

    def _event(self, number: int, place: int) -> Event:
        hour = min(number * HOURS // self.chunks, HOURS - 1)
        if self.random.random() < 0.4:
            hour = self.random.randrange(hour + 1)
        visitor = self.random.randrange(1, 9)
        at = int(FIRST_HOUR.timestamp() * 1000) + hour * HOUR_MS + self.random.randrange(HOUR_MS)
        media = self.random.choice(["a", "b", None])
        return Event(HUB, f"{number}-{place}", "view", at, at, visitor, visitor, 1, media=media)

    def consume(self) -> None:
        while not self.is_over():
            consumer.apply_new()
            step("consumed")

    def run_batches(self) -> None:
        while not self.is_over():
            step("due")
            # A claim that is alive is kept, or taken from a run that was only slow: a zombie from then on.
            ledger.LEASE = self.random.choice([LONG, LONG, STALE])
            kind = self.random.choice(KINDS)
            try:
                if self.random.random() < 0.5:
                    seam.run_now(kind)
                else:
                    seam.run_epoch(seam.swap(event_log(), timezone.now()).epoch, kind, seam.FrozenBuffers())
            except ledger.Fenced:
                step("fenced")

    def read(self) -> None:
        while not self.is_over():
            self.check()
            step("read")

    def is_over(self) -> bool:
        return len(self.log) == self.chunks

    # What happens to them.

    def after_turn(self, actor: Actor) -> None:
        self.check()
        if not self.chaos:
            return
        chance = self.random.random()
        if chance < 0.004:
            self.redis.flushall()
        elif chance < 0.014:
            self.dumps.append({key: self.redis.dump(key) for key in self.redis.scan_iter()})
        elif chance < 0.018 and self.dumps:
            self.redis.flushall()
            for key, value in self.random.choice(self.dumps).items():
                self.redis.restore(key, 0, value)
        elif chance < 0.022 and not Cut.objects.filter(published_at__isnull=True).exists():
            # Between runs: one that is emptied while a run writes needs a rebuild by hand.
            lose_rows()
        elif chance < 0.029 and not actor.is_done and actor.name != "appender":
            self._crash(actor)

    def _crash(self, actor: Actor) -> None:
        actor.must_crash = True
        actor.turn()
        if isinstance(actor.error, Crash):
            actor.error = None
            ledger.LEASE = STALE
        if actor.is_done:
            self.scheduler.actors.remove(actor)
            self.scheduler.add(actor.name, actor._work)
        self.check()

    # What must hold.

    def check(self) -> None:
        """One answer equals the reference fold of the log up to the mark that it was made from."""
        names = ("hour_of_day", "media") if self.reads % 3 == 0 else ("hour_of_day",)
        for _ in range(5):
            moment = seam.moment(HUB, ROLLUPS, timezone.now())
            try:
                answers = {name: self._answer(moment, name) for name in names}
                seam.verify(moment)
            except RowsGone:
                continue
            break
        else:
            raise Inconsistent("rows were gone five times")
        expected = {name: self._expected(moment.mark.get("main", 0), name) for name in names}
        if answers != expected:
            raise Inconsistent(f"At {moment.mark} of epoch {moment.epoch}: {answers} instead of {expected}.")
        self.reads += 1
        self.rows_only += not moment.has_buffers

    def _answer(self, moment: seam.Moment, name: str) -> dict:
        cells = gather.gather(self.hub, question(name), moment).cells
        columns = cells.keys[name].values(), present(cells, "events"), present(cells, "visitors")
        return {value: (events, visitors) for value, events, visitors in zip(*columns, strict=True)}

    def _expected(self, mark: int, name: str) -> dict:
        if (mark, name) not in self._folded:
            self._folded[mark, name] = _shown([event for chunk in self.log[:mark] for event in chunk], name)
        return self._folded[mark, name]

    # One schedule.

    def play(self) -> None:
        """Run the actors to the end of the log, then the pipeline to its end; everything must be published once."""
        self.scheduler.add("appender", self.append)
        for name, work in self._workers():
            self.scheduler.add(name, work)
        try:
            self.scheduler.run(until=lambda: False)
        finally:
            self.scheduler.end()
        ledger.LEASE = STALE
        seam.run_now(Run.HOURLY)
        self.check()
        self.published = Cut.objects.filter(published_at__isnull=False).count()

    def _workers(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("consumer 1", self.consume),
            ("consumer 2", self.consume),
            ("runner 1", self.run_batches),
            ("runner 2", self.run_batches),
            ("reader", self.read),
        ]

    def ending(self) -> dict:
        """What the end of every schedule looks like."""
        head, state = event_log().head(), buffers.pipeline()
        published = seam.published_cut()
        return {
            "published": published and published.position == head,
            "applied": state and state.mark == head,
            "frozen": state and state.frozen,
            "mismatches": Mismatch.objects.count(),
        }


@cache
def question(name: str) -> Question:
    """Events and visitors by a dimension: `hour_of_day` needs rows of hours, `media` takes days and months too."""
    return read_question(
        QueryDict(f"metrics=events,visitors&by={name}&robots=include&{FROM_TO}"), "UTC", timezone.now()
    )


def _shown(events: list[Event], name: str) -> dict:
    """The answer to `question(name)` by the reference fold."""
    rollup = rollup_named("media" if name == "media" else "hub")
    grouped: dict = {}
    for key, states in reference_fold(events, rollup).get(HUB, {}).items():
        value = key[2] if name == "media" else key[0] % 24
        count, visitors = grouped.get(value, (0, frozenset()))
        grouped[value] = count + states["events"], visitors | frozenset(states["visitors"])
    return {value: (count, len(visitors)) for value, (count, visitors) in grouped.items()}


BEST_ENDING = {"published": True, "applied": True, "frozen": None, "mismatches": 0}
