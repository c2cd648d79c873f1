"""The consumer and the hourly run on 400,000 events of one hour, as after a launch."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import duckdb
from django.utils import timezone

from batch import archive
from batch import run as batch_run
from batch.models import Audit, Run
from bench import house, mix
from bench.figures import Figures, Options, at_least, at_most, say, seconds_of
from events.log import event_log
from speed import buffers
from speed.consumer import apply_new
from views_layer import seam

CHUNK_EVENTS = 100
"""Of a chunk: what the requests of a few milliseconds commit together under load."""
HOUR_MS = 3_600_000
AUDIT = (
    (seam.FrozenBuffers, "frozen"),
    (batch_run, "encode"),
    (batch_run._Work, "_record_audit"),
    (batch_run._Work, "_audit_accounts"),
)
"""What an hourly run does for the audit alone, but for the digest of the states: that is measured by itself."""


def measure(options: Options) -> Figures:
    """Events applied a second, beside the decoding of their chunks; the hourly run, beside DuckDB's scan of its files;
    the part of its time that the audit takes, beside that of fetching the frozen buffer.
    """
    house.migrate()
    house.new_hub()
    now = int(time.time() * 1000)
    wanted = options.scaled(400_000, 4_000)
    with house.a_redis():
        house.publish_log(timezone.now())
        count = mix.append(mix.events("acme", wanted, now - HOUR_MS, now), CHUNK_EVENTS)
        decoding = seconds_of(lambda: sum(len(chunk.events) for chunk in event_log().read({})))
        cpu_began = time.process_time()
        applying = seconds_of(apply_new)
        cpu_applied = time.process_time()
        say(f"applied {count} events in {applying:.1f} s, {cpu_applied - cpu_began:.1f} s of a core")
        with timed(*AUDIT) as auditing, timed((buffers, "entries_of")) as fetching:
            running = seconds_of(lambda: seam.run_now(Run.HOURLY))
        say(f"hourly run in {running:.1f} s, {time.process_time() - cpu_applied:.1f} s of a core")
        states = b"".join(state for found in auditing.told["frozen"] for state in found.values())
        seconds = auditing.seconds | {"digest": seconds_of(lambda: hashlib.sha256(states).hexdigest())}
        say(f"audit of {len(states)} bytes: " + ", ".join(f"{name} {took:.3f} s" for name, took in seconds.items()))
        audit = Audit.objects.latest("epoch")
        if audit.mismatch_count or not audit.compared:
            raise AssertionError(f"The audit compared {audit.compared} states, and {audit.mismatch_count} differ.")
        scanning = scan_seconds(archive.paths(archive.visible(2)))
    return {
        "applied": at_least(20_000, count / applying, "events/s", count / decoding, "decoding the same chunks"),
        "hourly_run": at_most(
            10, running, f"s for {count} events", scanning, "DuckDB's scan of all columns of its files"
        ),
        "audit": at_most(
            0.2,
            sum(seconds.values()) / running,
            "of the hourly run's time",
            sum(fetching.seconds.values()) / running,
            "fetching the frozen buffer",
        ),
    }


class Timed:
    """By name of a function: the seconds that its calls took, and what they returned."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.told: dict[str, list[Any]] = {}

    def around(self, name: str, function: Callable) -> Callable:
        self.seconds[name], self.told[name] = 0.0, []

        def call(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                told = function(*arguments, **options)
            finally:
                self.seconds[name] += time.perf_counter() - began
            self.told[name].append(told)
            return told

        return call


@contextmanager
def timed(*functions: tuple[Any, str]) -> Iterator[Timed]:
    """Times the calls of functions, each named by what holds it and its name there."""
    found = Timed()
    with ExitStack() as stack:
        for owner, name in functions:
            stack.enter_context(patch.object(owner, name, found.around(name, getattr(owner, name))))
        yield found


def scan_seconds(paths: Sequence[str], fields: Sequence[str] = archive.KEPT_FIELDS) -> float:
    """How long DuckDB takes to read some columns of some files of the archive, from the page cache."""
    columns = ", ".join(fields)
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        scan = f"SELECT bit_xor(hash({columns})) FROM read_parquet({list(paths)})"
        return min(seconds_of(lambda: connection.execute(scan).fetchall()) for _ in range(3))
