"""Several writers of a log on MongoDB, switched before each word to the server, without the turn that keeps them apart.

So what is shown is what holds whatever happens to a turn: no event is lost or in the log twice, no number is given twice.
"""

import functools
import random
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from django.db import connections
from pymongo.collection import Collection

from events.intake import Batch, Intake
from events.log import LogBusy
from events.logs.mongo import MongoEventLog
from events.logs.mongo.turn import Turn
from events.normaliser import Caller, normalise
from events.sent import TrustedSent
from tests import mongo
from tests.simulation import scheduler

pytestmark = [pytest.mark.services, pytest.mark.django_db(databases="__all__", transaction=True)]

WORDS = (
    "aggregate", "bulk_write", "delete_many", "find", "find_one", "find_one_and_update", "insert_many", "insert_one",
    "update_many", "update_one",
)  # fmt: skip
SEEDS = range(8)
START = 1_795_000_000_000


def stepping(name: str, function):
    @functools.wraps(function)
    def said(*args, **kwargs):
        actor = getattr(scheduler._current, "actor", None)
        if actor is not None and not getattr(actor, "is_silent", False):
            if getattr(actor, "is_dead", False):
                raise scheduler.Crash(name)
            try:
                scheduler.step(name)
            except scheduler.Crash:
                actor.is_dead = True
                raise
        return function(*args, **kwargs)

    return said


@pytest.fixture
def log(monkeypatch) -> Iterator[MongoEventLog]:
    with mongo.fresh_log() as log:
        log.head()
        for name in WORDS:
            monkeypatch.setattr(Collection, name, stepping(name, getattr(Collection, name)))
        monkeypatch.setattr("events.logs.mongo.ids.PATIENCE_S", 0)
        monkeypatch.setattr(Turn, "take", take_nothing)
        yield log


def take_nothing(turn: Turn) -> None:
    found = turn._server["turns"].find_one({"_id": "numbering"})
    turn._taken_at, turn.revision = time.monotonic(), found["revision"] if found else 0


def draft(number: int, visitor: int):
    sent = TrustedSent(hub="acme", action="view", visitor=str(visitor), id=f"e{number}")
    return normalise(sent, Caller(lambda hub: 0, True), START + number * 60_000)


class Clients:
    """They send batches of events, some of which others send too, until each is acknowledged."""

    def __init__(self, log: MongoEventLog, seed: int) -> None:
        self.log, self.random = log, random.Random(seed)
        self.acknowledged: set[str] = set()
        self.turns = scheduler.Scheduler(seed, lambda actor: None)
        self.fenced = Counter[str]()
        self.crashes = 3

    def batches(self) -> list[list[int]]:
        return [self.random.sample(range(12), self.random.randint(1, 4)) for _ in range(3)]

    def send(self, name: str, partition: str, batches: list[list[int]]) -> None:
        def work() -> None:
            intake = Intake(MongoEventLog(self.log._server._url), partition)
            for batch in batches:
                while True:
                    try:
                        intake.append([Batch([draft(number, number % 3) for number in batch])])
                        break
                    except LogBusy:
                        self.fenced[name] += 1
                self.acknowledged |= {f"e{number}" for number in batch}

        self.turns.add(name, work)

    def run(self) -> None:
        sent = {f"{partition}{n}": (partition, self.batches()) for partition in "ab" for n in (1, 2)}
        for name, (partition, batches) in sent.items():
            self.send(name, partition, batches)
        for _ in range(5_000):
            living = [actor for actor in self.turns.actors if not actor.is_done]
            if not living:
                return
            actor = self.turns.random.choice(living)
            actor.must_crash = bool(self.crashes) and self.turns.random.random() < 0.02
            actor.turn()
            if isinstance(actor.error, scheduler.Crash):
                self.crashes -= 1
                self.send(f"{actor.name}'", *sent[actor.name.rstrip("'")])
            elif actor.error is not None:
                raise actor.error
        raise AssertionError("not done after 5,000 turns")


@pytest.mark.parametrize("seed", SEEDS)
def test_no_event_is_lost_or_counted_twice(log, seed):
    clients = Clients(log, seed)
    try:
        clients.run()
    finally:
        clients.turns.end()
        connections.close_all()
    chunks = list(log.read({}))
    events = [event for chunk in chunks for event in chunk.events]
    ids = Counter(event.id for event in events)
    assert (set(ids), max(ids.values())) == (clients.acknowledged, 1)
    assert log.head() == {name: sum(chunk.partition == name for chunk in chunks) for name in "ab"}
    visitors = {(event.visitor_key, event.visitor) for event in events}
    visits = {(event.visitor, event.visit_key, event.visit) for event in events}
    assert len(visitors) == len({key for key, _ in visitors}) == len({number for _, number in visitors})
    assert len(visits) == len({number for _, _, number in visits})
    hour = int(time.time() * 1000) // 3_600_000
    accounts = log.accounts(hour - 1, hour + 1).values()
    assert all(account.adds_up and account.accepted == account.stored for account in accounts)
    assert sum(account.stored for account in accounts) == len(events)
