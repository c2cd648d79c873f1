"""The faults: one literal list. Each is done to a running stack under load, and is over when its `do` returns."""

import random
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from tests.faults.check import Checker
from tests.faults.load import Load
from tests.faults.stack import NotSo, Stack, until, wait

STRIKES_WITHIN_S = 45.0
LEASE_S = 61.0
"""A little longer than the claim of a run that says nothing (batch.ledger.LEASE)."""
TWO_HOURS = 7200.0
WEB, SPEED, BATCH, BEAT, REDIS = "web", "worker-speed", "worker-batch", "beat", "redis"
BROKER, ALONE = "broker", ""
DATABASES = ("log", "affluence", "views")


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
        self.load.pause(60)
        self.checker.healed()
        self.load.go_on()


Do = Callable[[Scene], None]


@dataclass(frozen=True)
class Fault:
    """Faults of different subjects may strike together; one without subject strikes alone."""

    name: str
    subject: str
    do: Do


def hour_is_published(scene: Scene) -> None:
    """Ticks go on: the next full hour is published. Raises NotSo."""
    epoch, _ = scene.checker.published()
    scene.stack.pass_hour()
    full_hour = scene.stack.now() // 3600 * 3600

    def is_published() -> bool:
        now_epoch, cut_at = scene.checker.published()
        return now_epoch > epoch and cut_at >= full_hour

    until(is_published, 60, "the next full hour published")


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


# What is done.


def kill(scene: Scene, part: str) -> None:
    """kill -9 of one process of a part, at a random moment."""
    wait(scene.random.uniform(0, 1))
    found = scene.stack.processes(part)
    if found:
        with suppress(psutil.Error):
            scene.random.choice(found).kill()
    wait(0.5)


def kill_in_run(scene: Scene, part: str) -> None:
    """kill -9 at a random moment of a batch run."""
    scene.stack.pass_hour()
    wait(scene.random.uniform(0.2, 2.5))
    scene.stack.signal(part, signal.SIGKILL)


def kill_supervisor(scene: Scene) -> None:
    """kill -9 of the supervisor; whoever runs it (systemd, an operator) starts it again."""
    assert scene.stack.serve is not None
    scene.stack.serve.kill()
    scene.stack.serve.wait()
    scene.stack.launch()
    until(scene.stack.is_healthy, 60, "/healthz 200 after the supervisor was killed")


def kill_everything(scene: Scene) -> None:
    """kill -9 of all processes at once, as when the power fails; then a new start."""
    assert scene.stack.serve is not None
    scene.stack.serve.kill()
    scene.stack.signal("", signal.SIGKILL)
    scene.stack.serve.wait()
    scene.stack.launch()
    until(scene.stack.is_healthy, 60, "/healthz 200 after everything was killed")


def strike(scene: Scene, point: str, when: str, action: str, part: str, trigger: Do, **more: Any) -> dict:
    """Arm a point, pull the trigger, wait for the strike; returns what struck. Raises NotSo."""
    before = len(scene.stack.struck())
    scene.stack.arm(point, when, action, part, **more)
    trigger(scene)

    def mine() -> list[dict]:
        return [one for one in scene.stack.struck()[before:] if (one["point"], one["when"]) == (point, when)]

    until(mine, STRIKES_WITHIN_S, f"{action} {when} {point} in {part}")
    return mine()[0]


def kill_at(scene: Scene, point: str, when: str, part: str, trigger: Do = nothing, skip: int = 0) -> None:
    strike(scene, point, when, "kill", part, trigger, skip=scene.random.randint(0, skip))


def kill_in_command(scene: Scene, point: str, when: str, arguments: tuple[str, ...], skip: int = 0) -> None:
    """kill -9 of a `run_batch` at a point."""
    scene.stack.arm(point, when, "kill", "run_batch", skip=scene.random.randint(0, skip))
    process = scene.stack.command("run_batch", *arguments)
    process.communicate(timeout=120)
    if process.returncode != -signal.SIGKILL:
        raise NotSo(f"run_batch was not killed {when} {point}: it ended with {process.returncode}")


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


def zombie_run(scene: Scene, point: str, when: str = "before") -> None:
    """A run is frozen past its lease, another one publishes its epoch, and it wakes: it must publish nothing."""
    with frozen_at(scene, point, when, "worker-batch", hour):
        scene.stack.pass_time(LEASE_S)
        scene.stack.manage("run_batch")
        wait(0.5)


def zombie_meets_run(scene: Scene) -> None:
    """A run is frozen past its lease and wakes in the middle of the run that took over."""
    with frozen_at(scene, "fold", "before", "worker-batch", hour):
        scene.stack.pass_time(LEASE_S)
        before = len(scene.stack.struck())
        scene.stack.arm("publish", "before", "delay", "run_batch", seconds=3)
        process = scene.stack.command("run_batch")
        until(lambda: len(scene.stack.struck()) > before, STRIKES_WITHIN_S, "the second run at publish")
    process.communicate(timeout=120)


def zombie_consumer(scene: Scene) -> None:
    """A consumer is frozen before it applies, a second one applies the same, and it wakes: nothing may count twice."""
    with frozen_at(scene, "apply.script", "before", SPEED, nothing), scene.stack.second(SPEED):
        until(lambda: not scene.checker.status()["lag_events"], STRIKES_WITHIN_S, "applied by the second consumer")


def late_consumer(scene: Scene) -> None:
    """A consumer is frozen before it applies, a run applies, swaps and publishes, and it wakes."""
    with frozen_at(scene, "apply.script", "before", SPEED, nothing):
        scene.stack.manage("run_batch")


def frozen_in_ledger(scene: Scene) -> None:
    """A run is frozen past its lease inside a transaction of the ledger, which nobody else can write meanwhile."""
    with frozen_at(scene, "archive.record", "before", BATCH, hour):
        scene.stack.pass_time(LEASE_S)
        wait(5 * scene.long)


def two_runs(scene: Scene) -> None:
    """Two run_batch at once, while a full hour passes for the worker."""
    kinds = [scene.random.choice(([], ["--daily"], ["--rebuild"])) for _ in range(2)]
    running = [scene.stack.command("run_batch", *kind) for kind in kinds]
    scene.stack.pass_hour()
    for process in running:
        out, err = process.communicate(timeout=180)
        if process.returncode:
            raise NotSo(f"run_batch ended with {process.returncode}: {(out + err)[-800:]}")


def two_beats(scene: Scene) -> None:
    """A second beat sends the same ticks, over a full hour."""
    with scene.stack.second(BEAT):
        wait(4)
        scene.stack.pass_hour()
        wait(4)


def two_of(scene: Scene, part: str) -> None:
    """A second worker takes from the same queue, over a full hour, and is killed."""
    with scene.stack.second(part):
        wait(4)
        scene.stack.pass_hour()
        wait(4)


def no_beat(scene: Scene) -> None:
    """No beat over three full hours."""
    with scene.stack.kept_down("beat"):
        for _ in range(3):
            scene.stack.pass_hour()
            wait(2)


def broker(scene: Scene, says: str) -> None:
    """Every message to the broker is lost or doubled, over a full hour."""
    path = scene.stack.directory / "broker"
    path.write_text(says)
    scene.stack.pass_hour()
    wait(5 * scene.long)
    path.unlink()


def drop_queues(scene: Scene) -> None:
    """The messages that wait in the broker are gone."""
    scene.stack.pass_hour()
    for _ in range(30):
        with suppress(Exception), scene.stack.redis() as client:
            client.delete("speed", "batch")
        wait(0.1)


def disk_full(scene: Scene, point: str, part: str, of: str, trigger: Do = nothing) -> None:
    """The disk is full from a point on, for seconds. Where no disk can be made, the point alone fails, once."""
    if not scene.stack.has_disk:
        strike(scene, point, "before", "refuse-space", part, trigger, of=of)
        return
    try:
        strike(scene, point, "before", "fill", part, trigger, ballast=str(scene.stack.ballast))
        wait(4 * scene.long)
    finally:
        scene.stack.free_disk()


def locked(scene: Scene, database: str) -> None:
    """Another process holds a database's write lock for seconds, over a full hour."""
    with scene.stack.locked(database):
        scene.stack.pass_hour()
        wait(6 * scene.long)


def redis_emptied(scene: Scene) -> None:
    wait(scene.random.uniform(0, 1))
    wipe(scene)


def redis_file_lost(scene: Scene) -> None:
    scene.stack.put_redis_back(None)


def redis_restored(scene: Scene) -> None:
    """Redis comes back with an append-only file from before a published epoch."""
    dump = scene.stack.base / f"dump-{len(scene.dumps)}.aof"
    shutil.copy(scene.stack.append_only_file, dump)
    scene.dumps.append(dump)
    scene.stack.manage("run_batch")
    wait(1)
    scene.stack.put_redis_back(dump)


def redis_restored_any(scene: Scene) -> None:
    """Redis comes back with any of the files copied so far."""
    if not scene.dumps:
        redis_restored(scene)
        return
    scene.stack.put_redis_back(scene.random.choice(scene.dumps))


def redis_file_damaged(scene: Scene) -> None:
    """Redis comes back with a file that it refuses: bytes of its middle are overwritten."""
    damaged = scene.stack.base / "damaged.aof"
    shutil.copy(scene.stack.append_only_file, damaged)
    with damaged.open("r+b") as file:
        file.seek(damaged.stat().st_size // 2)
        file.write(b"\0" * 64)
    scene.stack.put_redis_back(damaged)


def redis_gone(scene: Scene) -> None:
    with scene.stack.kept_down("redis"):
        scene.stack.pass_hour()
        wait(10 * scene.long)


def redis_hangs(scene: Scene) -> None:
    freeze(scene, "redis", 8)


def redis_out_of_memory(scene: Scene) -> None:
    with scene.stack.redis() as client:
        client.config_set("maxmemory", 1)
        scene.stack.pass_hour()
        wait(8 * scene.long)
        client.config_set("maxmemory", 0)


def views_emptied(scene: Scene) -> None:
    scene.stack.empty_view_store()


def views_emptied_in_run(scene: Scene) -> None:
    with frozen_at(scene, "seal", "before", "worker-batch", hour):
        scene.stack.empty_view_store()


def views_file_lost(scene: Scene) -> None:
    """The file of the view store is deleted while nothing runs."""
    scene.stack.stop()
    for path in scene.stack.data_dir.glob("views.sqlite3*"):
        path.unlink()
    scene.stack.start()


def archive_lost(scene: Scene) -> None:
    """The archive is deleted when it holds something."""
    scene.stack.manage("run_batch")
    scene.stack.delete_archive()


def views_and_archive_lost(scene: Scene) -> None:
    scene.stack.manage("run_batch")
    scene.stack.empty_view_store()
    scene.stack.delete_archive()


def wrong_clock(scene: Scene, part: str, seconds: float) -> None:
    """One part's clock is stepped, everything heals with the clock as wrong as it is, it is put right, and hours go on."""
    if part == "web" and seconds < 0:
        # What occurs in the future of a clock is clamped to its now: the oracle would have to know when it arrived.
        scene.load.pause(60)
        scene.load.behind_ms = int(-seconds * 1000)
        scene.load.go_on()
    try:
        scene.stack.skew(part, seconds)
        wait(2)
        scene.stack.pass_hour()
        wait(3)
        scene.settle()
        # A part that ends in order, as after days, stores what it keeps in memory: beat its last ticks.
        scene.stack.signal(part, signal.SIGTERM)
        wait(2)
        until(scene.stack.is_healthy, 60, f"/healthz 200 after {part} ended")
    finally:
        scene.stack.skew(part, 0)
        scene.load.behind_ms = 0
    hour_is_published(scene)


def _at(
    point: str, part: str, trigger: Do = nothing, skip: int = 0, whens: Sequence[str] = ("before", "after")
) -> list[Fault]:
    """kill -9 before and after a point; of a point that a run comes to often, at any of the first `skip` + 1 times."""
    return [
        Fault(
            f"kill -9 {when} {point}",
            part,
            partial(kill_at, point=point, when=when, part=part, trigger=trigger, skip=skip),
        )
        for when in whens
    ]


def _full(point: str, part: str, of: str, trigger: Do = nothing) -> Fault:
    return Fault(f"disk full before {point}", ALONE, partial(disk_full, point=point, part=part, of=of, trigger=trigger))


def _zombie(point: str, when: str = "before") -> Fault:
    return Fault(
        f"zombie run: frozen past its lease {when} {point}", ALONE, partial(zombie_run, point=point, when=when)
    )


def _command(point: str, when: str, *arguments: str, skip: int = 0) -> Fault:
    do = partial(kill_in_command, point=point, when=when, arguments=arguments, skip=skip)
    return Fault(f"kill -9 {' '.join(['run_batch', *arguments])} {when} {point}", BATCH, do)


def _clock(part: str, hours: int) -> Fault:
    name = f"clock of {part} {abs(hours)} hours {'ahead' if hours > 0 else 'behind'}"
    return Fault(name, ALONE, partial(wrong_clock, part=part, seconds=hours * 3600))


CATALOGUE: tuple[Fault, ...] = (
    *(Fault(f"kill -9 {part}", part, partial(kill, part=part)) for part in (WEB, SPEED, BATCH, BEAT, REDIS)),
    Fault("kill -9 supervisor", ALONE, kill_supervisor),
    Fault("kill -9 everything at once", ALONE, kill_everything),
    *(Fault(f"kill -9 {part} in a run", part, partial(kill_in_run, part=part)) for part in (SPEED, BATCH, REDIS)),
    *_at("append.ids", WEB),
    *_at("append.numbering", WEB),
    *_at("append.chunk", WEB),
    *_at("append.commit", WEB),
    *_at("append.announce", WEB),
    *_at("nudge", WEB),
    *_at("apply.fold", SPEED, whens=["before"]),
    *_at("apply.learn", SPEED),
    *_at("apply.script", SPEED, skip=5),
    *_at("apply.compact", SPEED, skip=10),
    *_at("recover.install", SPEED, wipe),
    *_at("swap.script", BATCH, hour),
    *_at("swap.record", BATCH, hour),
    *_at("claim", BATCH, hour),
    *_at("archive.range", BATCH, hour),
    *_at("archive.file", BATCH, hour, skip=2),
    *_at("archive.record", BATCH, hour, skip=2),
    *_at("archive.join", BATCH, midnight),
    *_at("fold", BATCH, hour),
    *_at("audit", BATCH, hour),
    *_at("rows", BATCH, hour, skip=40),
    *_at("recompute", BATCH, midnight, skip=2),
    *_at("seal", BATCH, hour),
    *_at("publish", BATCH, hour),
    *_at("publish.mark", BATCH, hour),
    *_at("retire", BATCH, hour),
    *_at("clean.rows", BATCH, hour),
    *_at("clean.files", BATCH, midnight),
    _command("rows", "after", "--rebuild", skip=60),
    _command("publish", "before", "--daily"),
    _command("swap.script", "after"),
    *(Fault(f"freeze {part}", part, partial(freeze, part=part, seconds=6)) for part in (WEB, SPEED, BATCH, BEAT)),
    *(_zombie(point) for point in ("archive.file", "fold", "rows", "audit", "seal", "publish")),
    _zombie("publish", "after"),
    Fault("zombie run: wakes in the run that took over", ALONE, zombie_meets_run),
    Fault("run frozen in a transaction of the ledger", ALONE, frozen_in_ledger),
    Fault("zombie consumer: wakes after a second one applied", ALONE, zombie_consumer),
    Fault("zombie consumer: wakes after a swap", ALONE, late_consumer),
    *(Fault(f"two of {part}", part, partial(two_of, part=part)) for part in (SPEED, BATCH)),
    Fault("two beats", BEAT, two_beats),
    Fault("no beat over three full hours", BEAT, no_beat),
    Fault("two batch runs at once", ALONE, two_runs),
    Fault("broker messages lost", BROKER, partial(broker, says="lose")),
    Fault("broker messages doubled", BROKER, partial(broker, says="double")),
    Fault("broker queues deleted", BROKER, drop_queues),
    _full("append.chunk", WEB, "sqlite"),
    _full("archive.file", BATCH, "file", hour),
    _full("rows", BATCH, "sqlite", hour),
    _full("publish", BATCH, "sqlite", hour),
    *(Fault(f"{name}.sqlite3 locked for a while", ALONE, partial(locked, database=name)) for name in DATABASES),
    Fault("redis emptied", REDIS, redis_emptied),
    Fault("redis emptied, its file lost", ALONE, redis_file_lost),
    Fault("redis restored from a dump before the last epoch", ALONE, redis_restored),
    Fault("redis restored from any earlier dump", ALONE, redis_restored_any),
    Fault("redis restored from a damaged file", ALONE, redis_file_damaged),
    Fault("redis gone for a while", ALONE, redis_gone),
    Fault("redis hangs for a while", ALONE, redis_hangs),
    Fault("redis out of memory", ALONE, redis_out_of_memory),
    Fault("view store emptied", ALONE, views_emptied),
    Fault("view store emptied in a run", ALONE, views_emptied_in_run),
    Fault("view store's file lost", ALONE, views_file_lost),
    Fault("archive deleted", ALONE, archive_lost),
    Fault("view store and archive deleted", ALONE, views_and_archive_lost),
    *(_clock(part, hours) for part in (WEB, SPEED, BATCH, BEAT) for hours in (2, -2)),
)


def chosen(only: Sequence[str]) -> list[Fault]:
    """The faults whose name contains one of these; all where none is given."""
    return [fault for fault in CATALOGUE if not only or any(words in fault.name for words in only)]


def schedule(count: int, seed: int, only: Sequence[str] = ()) -> Iterator[list[Fault]]:
    """Groups of one to three faults, `count` in all: first each fault of the catalogue in some order, then any."""
    chance = random.Random(seed)
    some = chosen(only)
    left: list[Fault] = []
    while count > 0:
        left = left or chance.sample(some, len(some))
        group = [left.pop()]
        size = min(count, chance.choice((1, 1, 1, 2, 3)))
        while left and len(group) < size and _may_meet(group, left[-1]):
            group.append(left.pop())
        count -= len(group)
        yield group


def _may_meet(group: Sequence[Fault], fault: Fault) -> bool:
    subjects = [fault.subject, *(other.subject for other in group)]
    return all(subjects) and len(set(subjects)) == len(subjects)
