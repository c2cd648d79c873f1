"""The benchmarks: one literal list of functions, each of which measures a figure and its limit in the same run."""

import os
import time
from collections.abc import Callable

from django.conf import settings
from django.db import connections

Figure = dict[str, float | str | None]


def figure(value: float, unit: str, limit: float, target: str) -> Figure:
    """A measured value beside the best that this machine could do, and what is aimed at."""
    return {
        "value": round(value, 2),
        "unit": unit,
        "limit": round(limit, 2),
        "ratio": round(value / limit, 3),
        "target": target,
    }


def per_second(act: Callable[[], object], seconds: float = 1.0) -> float:
    """How often `act` can be called in a second, measured over about `seconds`."""
    began, calls = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        act()
        calls += 1
    return calls / passed


def durable_commits() -> Figure:
    """Commits of 4 KiB in the log's database (WAL, synchronous FULL); limit: fdatasync of as much in a plain file."""
    page = os.urandom(4096)
    with open(settings.DATA_DIR / "plain", "ab", buffering=0) as file:

        def sync() -> None:
            file.write(page)
            os.fdatasync(file.fileno())

        limit = per_second(sync)
    with connections["log"].cursor() as cursor:
        cursor.execute("CREATE TABLE commits (payload BLOB)")
        value = per_second(lambda: cursor.execute("INSERT INTO commits VALUES (%s)", [page]))
        cursor.execute("DROP TABLE commits")
    return figure(value, "commits/s", limit, "ratio 0.3 or more: SQLite adds no second sync to a group commit")


FIGURES: list[Callable[[], Figure]] = [durable_commits]
