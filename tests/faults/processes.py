"""Faults of processes: they are killed, frozen, doubled, missing, or have a wrong clock."""

import signal
from contextlib import suppress

import psutil

from tests.faults.scene import (
    BATCH,
    BEAT,
    INTAKE,
    LEASE_S,
    SPEED,
    STRIKES_WITHIN_S,
    WEB,
    Do,
    Scene,
    frozen_at,
    hour,
    hour_is_published,
    nothing,
    strike,
)
from tests.faults.stack import NotSo, until, wait


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
    until(scene.stack.is_healthy, scene.stack.profile.healed_s, "/healthz 200 after the supervisor was killed")


def kill_everything(scene: Scene) -> None:
    """kill -9 of all processes at once, as when the power fails; then a new start."""
    assert scene.stack.serve is not None
    scene.stack.serve.kill()
    scene.stack.signal("", signal.SIGKILL)
    scene.stack.serve.wait()
    scene.stack.launch()
    until(scene.stack.is_healthy, scene.stack.profile.healed_s, "/healthz 200 after everything was killed")


def kill_at(scene: Scene, point: str, when: str, part: str, trigger: Do = nothing, skip: int = 0) -> None:
    strike(scene, point, when, "kill", part, trigger, skip=scene.random.randint(0, skip))


def kill_in_command(scene: Scene, point: str, when: str, arguments: tuple[str, ...], skip: int = 0) -> None:
    """kill -9 of a `run_batch` at a point."""
    scene.stack.arm(point, when, "kill", "run_batch", skip=scene.random.randint(0, skip))
    process = scene.stack.command("run_batch", *arguments)
    process.communicate(timeout=120)
    if process.returncode != -signal.SIGKILL:
        raise NotSo(f"run_batch was not killed {when} {point}: it ended with {process.returncode}")


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


def wrong_clock(scene: Scene, part: str, seconds: float) -> None:
    """One part's clock is stepped, everything heals with the clock as wrong as it is, it is put right, and hours go on."""
    if part in (WEB, INTAKE) and seconds < 0:
        # What occurs in the future of a clock is clamped to its now: the oracle would have to know when it arrived.
        scene.load.pause(scene.stack.profile.healed_s)
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
        until(scene.stack.is_healthy, scene.stack.profile.healed_s, f"/healthz 200 after {part} ended")
    finally:
        scene.stack.skew(part, 0)
        scene.load.behind_ms = 0
    hour_is_published(scene)
