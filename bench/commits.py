"""What a group commit costs the disk."""

import os
from collections.abc import Callable

from django.conf import settings
from django.db import connections

from bench.figures import Figures, Options, at_least, per_second

PAGE = 4_096


def measure(options: Options) -> Figures:
    """Commits of 4 KiB in the log's database, beside as many bytes synced to a plain file."""
    seconds = 0.1 if options.is_quick else 1.0
    limit = per_second(syncing(PAGE), seconds)
    value = durable_commits(PAGE, seconds)
    return {"durable_commits": at_least(None, value, "commits/s", limit, "fdatasync of as many bytes in a plain file")}


def syncing(size: int) -> Callable[[], None]:
    """Appends `size` bytes to a plain file and syncs it."""
    page = os.urandom(size)
    handle = os.open(settings.DATA_DIR / "plain", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def sync() -> None:
        os.write(handle, page)
        os.fdatasync(handle)

    return sync


def durable_commits(size: int, seconds: float = 1.0) -> float:
    """Commits a second of one row of `size` bytes in the log's database (WAL, synchronous FULL)."""
    page = os.urandom(size)
    with connections["log"].cursor() as cursor:
        cursor.execute("CREATE TABLE commits (payload BLOB)")
        rate = per_second(lambda: cursor.execute("INSERT INTO commits VALUES (%s)", [page]), seconds)
        cursor.execute("DROP TABLE commits")
    return rate
