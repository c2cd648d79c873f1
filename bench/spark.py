"""Spark beside DuckDB: the fold of a window's events into the cells of every rollup, by each on both cores of this machine.

Needs what requirements-spark.txt names, and Java. On one machine it tells what Spark costs; how many cores are worth it
follows from that.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
from django.conf import settings

from aggregations.cells import encode
from aggregations.rollups import ROLLUPS
from batch import archive
from batch.engine import Engine
from batch.engines.duck import DuckEngine
from batch.engines.spark import SparkEngine
from bench import mix
from bench.figures import Figures, Options, at_least, say, seconds_of

SIZES = {"400k": 400_000, "4m": 4_000_000}
AN_HOUR = 20_000
"""Events of an hour: the larger window is longer, not denser."""
HOUR_MS = 3_600_000
ROUNDS = 2
MASTER = "local[2]"


def measure(options: Options) -> Figures:
    """Events a second of Spark for each size, after a fold that warms it; the states are compared to the byte."""
    figures: Figures = {}
    duck, spark = DuckEngine(), SparkEngine(MASTER)
    try:
        say(f"session opened in {seconds_of(spark.session):.1f} s")
        few = written(settings.ARCHIVE_DIR / "few", 1_000)
        say(f"first fold of 1,000 events in {seconds_of(lambda: folded(spark, few)):.2f} s")
        say(f"second in {seconds_of(lambda: folded(spark, few)):.2f} s")
        for name, wanted in SIZES.items():
            size = options.scaled(wanted, 2_000)
            paths = written(settings.ARCHIVE_DIR / name, size)
            if folded(duck, paths) != folded(spark, paths):
                raise AssertionError(f"Of {size} events DuckDB and Spark make different states.")
            rounds = options.scaled(ROUNDS, 1)
            fastest, limit = (best(engine, paths, rounds) for engine in (spark, duck))
            say(f"{size} events: Spark {fastest:.2f} s, DuckDB {limit:.2f} s")
            figures[f"spark_fold_{name}"] = at_least(
                None, size / fastest, "events/s", size / limit, "DuckDB's fold of the same files"
            )
    finally:
        spark.close()
    return figures


def written(folder: Path, count: int) -> list[str]:
    """Files of the archive's form with events of one hub, in order of time."""
    folder.mkdir(parents=True)
    events = mix.events("acme", count, 0, max(count // AN_HOUR, 1) * HOUR_MS)
    return list(_files(folder, events))


def _files(folder: Path, events: Iterator) -> Iterator[str]:
    number = 0
    while some := list(islice(events, archive.EVENTS_HELD)):
        path = folder / f"{number}.parquet"
        table = archive.table_of(some).sort_by(archive.ORDER)
        pq.write_table(table, path, compression="zstd", row_group_size=archive.ROW_GROUP)
        yield str(path)
        number += 1


def best(engine: Engine, paths: list[str], rounds: int) -> float:
    """Seconds of the fastest of some folds."""
    return min(seconds_of(lambda: consumed(engine, paths)) for _ in range(rounds))


def consumed(engine: Engine, paths: list[str]) -> None:
    """Fold, and let each rollup go, as a run does."""
    with engine.window(paths) as window:
        for _ in window.folds(ROLLUPS):
            pass


def folded(engine: Engine, paths: list[str]) -> dict[str, dict[str, bytes]]:
    """The bytes of each rollup by hub."""
    with engine.window(paths) as window:
        return {
            rollup.name: {hub: encode(cells, rollup.measures) for hub, cells in found.items()}
            for rollup, found in window.folds(ROLLUPS)
        }
