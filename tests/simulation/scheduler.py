"""Actors that take turns: threads of which one runs at a time, switched only at named steps, in an order made by a seed.

A step is a call of a production function that `STEPS` names. The functions are wrapped where their callers find them, so
that the code under test is what runs in production.
"""

import functools
import importlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connections

STEPS = (
    "speed.buffers.pipeline",
    "speed.buffers.apply",
    "speed.buffers.entries_of",
    "speed.buffers.compact",
    "speed.buffers.swap",
    "speed.buffers.retire",
    "speed.buffers.install",
    "speed.buffers.snapshot",
    "speed.buffers.frozen_names",
    "speed.recovery.published_cut",
    "speed.recovery.waiting_cut",
    "speed.recovery.rebuild",
    "events.logs.orm.OrmEventLog.head",
    "events.logs.orm.OrmEventLog.read",
    "views_layer.seam.record_cut",
    "views_layer.seam.published_cut",
    "views_layer.seam.waiting_cut",
    "batch.ledger.claim",
    "batch.ledger.publish",
    "batch.archive.add_range",
    "batch.archive.compact",
    "batch.archive.clean_up",
    "batch.run._Work._say",
    "batch.run._Work._record_audit",
    "views_layer.stores.orm.OrmViewStore.addresses",
    "views_layer.stores.orm.OrmViewStore.fetch",
    "views_layer.stores.orm.OrmViewStore.write",
    "views_layer.stores.orm.OrmViewStore.seal",
    "views_layer.stores.orm.OrmViewStore.is_sealed",
    "views_layer.stores.orm.OrmViewStore.clean_up",
)
PATIENCE_S = 60


class Crash(BaseException):
    """The death of an actor: nothing that it would do afterwards may count."""


class Actor:
    """A thread that waits for its turn before each step."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name, self._work = name, work
        self.at = "start"
        self.stalls = 0
        self.is_done = self.must_crash = False
        self.error: BaseException | None = None
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        _current.actor = self
        self._go.acquire()
        try:
            self._work()
        except BaseException as error:
            self.error = error
        finally:
            connections.close_all()
            self.is_done = True
            self._paused.release()

    def pause(self, step: str) -> None:
        """Give the turn back; go on, or crash, when it comes again. Called in the actor's thread."""
        self.at = step
        self._paused.release()
        self._go.acquire()
        if self.must_crash:
            self.must_crash = False
            raise Crash(step)

    def turn(self) -> None:
        """Run to the next step. Called by the scheduler."""
        self._go.release()
        assert self._paused.acquire(timeout=PATIENCE_S), f"{self.name} hangs after {self.at}"


_current = threading.local()


def step(name: str) -> None:
    """A step of the actor that runs; nothing for the scheduler itself."""
    actor = getattr(_current, "actor", None)
    if actor is not None:
        actor.pause(name)


@contextmanager
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make each call of a function in STEPS a step."""
    with monkeypatch.context() as patch:
        for path in STEPS:
            owner, name = _found(path)
            patch.setattr(owner, name, _stepping(path.rpartition(".")[2], getattr(owner, name)))
        yield


def _found(path: str) -> tuple[object, str]:
    owner_path, _, name = path.rpartition(".")
    return _resolve(owner_path), name


def _resolve(path: str) -> object:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        owner_path, _, name = path.rpartition(".")
        return getattr(_resolve(owner_path), name)


def _stepping(name: str, function: Callable) -> Callable:
    @functools.wraps(function)
    def stepping(*args, **kwargs):
        step(name)
        return function(*args, **kwargs)

    return stepping


class Scheduler:
    """Gives turns to actors by a seeded generator, until those that are waited for are done."""

    def __init__(self, seed: int, after_turn: Callable[[Actor], None]) -> None:
        self.random = random.Random(seed)
        self._after_turn = after_turn
        self.actors: list[Actor] = []
        self.trace: list[str] = []

    def add(self, name: str, work: Callable[[], None]) -> Actor:
        self.actors.append(Actor(name, work))
        return self.actors[-1]

    def run(self, until: Callable[[], bool], most_turns: int = 100_000) -> None:
        """Give turns. An actor is left stalled for many turns now and then; one that failed fails the schedule."""
        for _ in range(most_turns):
            living = [actor for actor in self.actors if not actor.is_done]
            if not living or until():
                return
            ready = [actor for actor in living if actor.stalls <= 0] or living
            actor = self.random.choice(ready)
            for other in living:
                other.stalls -= 1
            if self.random.random() < 0.02:
                actor.stalls = self.random.randrange(10, 250)
            actor.turn()
            self.trace.append(f"{actor.name} {actor.at}")
            if actor.error is not None:
                raise actor.error
            self._after_turn(actor)
        raise AssertionError(f"not done after {most_turns} turns")

    def end(self) -> None:
        """Crash every actor that still waits, so that no thread is left."""
        for actor in self.actors:
            for _ in range(1_000):
                if actor.is_done:
                    break
                actor.must_crash = True
                actor.turn()
