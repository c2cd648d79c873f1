"""The consumer and the hourly run on 400,000 events of one hour, as after a launch."""

import time
from collections.abc import Sequence

import duckdb
from django.utils import timezone

from batch import archive
from batch.models import Audit, Run
from bench import house, mix
from bench.figures import Figures, Options, at_least, at_most, say, seconds_of
from events.log import event_log
from speed.consumer import apply_new
from views_layer import seam

CHUNK_EVENTS = 100
"""Of a chunk: what the requests of a few milliseconds commit together under load."""
HOUR_MS = 3_600_000


def measure(options: Options) -> Figures:
    """Events applied a second, beside the decoding of their chunks; the hourly run, beside DuckDB's scan of its files."""
    house.migrate()
    house.new_hub()
    now = int(time.time() * 1000)
    wanted = options.scaled(400_000, 4_000)
    with house.embedded_redis():
        house.publish_log(timezone.now())
        count = mix.append(mix.events("acme", wanted, now - HOUR_MS, now), CHUNK_EVENTS)
        decoding = seconds_of(lambda: sum(len(chunk.events) for chunk in event_log().read({})))
        cpu_began = time.process_time()
        applying = seconds_of(apply_new)
        cpu_applied = time.process_time()
        say(f"applied {count} events in {applying:.1f} s, {cpu_applied - cpu_began:.1f} s of a core")
        running = seconds_of(lambda: seam.run_now(Run.HOURLY))
        say(f"hourly run in {running:.1f} s, {time.process_time() - cpu_applied:.1f} s of a core")
        audit = Audit.objects.latest("epoch")
        if audit.mismatch_count or not audit.compared:
            raise AssertionError(f"The audit compared {audit.compared} states, and {audit.mismatch_count} differ.")
        scanning = scan_seconds(archive.paths(archive.visible(2)))
    return {
        "applied": at_least(20_000, count / applying, "events/s", count / decoding, "decoding the same chunks"),
        "hourly_run": at_most(
            10, running, f"s for {count} events", scanning, "DuckDB's scan of all columns of its files"
        ),
    }


def scan_seconds(paths: Sequence[str]) -> float:
    """How long DuckDB takes to read every column of some files of the archive, from the page cache."""
    columns = ", ".join(archive.KEPT_FIELDS)
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        scan = f"SELECT bit_xor(hash({columns})) FROM read_parquet({list(paths)})"
        return min(seconds_of(lambda: connection.execute(scan).fetchall()) for _ in range(3))
