"""What a fault is, what it may touch, and how it comes to strike."""

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.faults.check import Checker
from tests.faults.load import Load
from tests.faults.stack import Stack, until, wait

STRIKES_WITHIN_S = 45.0
LEASE_S = 61.0
"""A little longer than the claim of a run that says nothing (batch.ledger.LEASE)."""
TWO_HOURS = 7200.0
WEB, SPEED, BATCH, BEAT, INTAKE, REDIS = "web", "worker-speed", "worker-batch", "beat", "intake", "redis"
BROKER, ALONE = "broker", ""


@dataclass
class Scene:
    """What a fault may touch. `long` stretches those that last, such as a Redis that is down."""

    stack: Stack
    load: Load
    checker: Checker
    random: random.Random
    long: float = 1.0
    dumps: list[Path] = field(default_factory=list)

    def settle(self) -> None:
        """In the middle of a fault: rest, and let everything be exact. Raises NotSo."""
        self.load.pause(self.stack.profile.healed_s)
        self.checker.healed()
        self.load.go_on()


Do = Callable[[Scene], None]


@dataclass(frozen=True)
class Fault:
    """Faults of different subjects may strike together; one without subject strikes alone.

    It is done where the profile has the part that it `needs`; without one, in every profile.
    """

    name: str
    subject: str
    do: Do
    needs: str = ""


def hour_is_published(scene: Scene) -> None:
    """Ticks go on: the next full hour is published. Raises NotSo."""
    epoch, _ = scene.checker.published()
    scene.stack.pass_hour()
    full_hour = scene.stack.now() // 3600 * 3600

    def is_published() -> bool:
        now_epoch, cut_at = scene.checker.published()
        return now_epoch > epoch and cut_at >= full_hour

    until(is_published, scene.stack.profile.healed_s, "the next full hour published")


# Triggers: what makes the processes come to a point.


def nothing(scene: Scene) -> None:
    """The load alone does."""


def hour(scene: Scene) -> None:
    scene.stack.pass_hour()


def midnight(scene: Scene) -> None:
    scene.stack.pass_midnight()


def wipe(scene: Scene) -> None:
    with scene.stack.redis() as client:
        client.flushall()


# How it strikes.


def strike(scene: Scene, point: str, when: str, action: str, part: str, trigger: Do, **more: Any) -> dict:
    """Arm a point, pull the trigger, wait for the strike; returns what struck. Raises NotSo."""
    before = len(scene.stack.struck())
    scene.stack.arm(point, when, action, part, **more)
    trigger(scene)

    def mine() -> list[dict]:
        return [one for one in scene.stack.struck()[before:] if (one["point"], one["when"]) == (point, when)]

    until(mine, STRIKES_WITHIN_S, f"{action} {when} {point} in {part}")
    return mine()[0]


def freeze(scene: Scene, part: str, seconds: float) -> None:
    scene.stack.signal(part, signal.SIGSTOP)
    wait(seconds * scene.long)
    scene.stack.signal(part, signal.SIGCONT)


@contextmanager
def frozen_at(scene: Scene, point: str, when: str, part: str, trigger: Do) -> Iterator[None]:
    """A process that is stopped at a point, until the context is left."""
    found = strike(scene, point, when, "stop", part, trigger)
    try:
        yield
    finally:
        with suppress(psutil.Error):
            psutil.Process(found["pid"]).resume()
