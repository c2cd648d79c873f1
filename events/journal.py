"""What SQLite keeps of what was overwritten."""

import time

from django.db import connections

from events.log import LogBusy

TRIES, PAUSE_S = 100, 0.1


def empty_journal(alias: str) -> None:
    """Leave no trace of what was overwritten: the write-ahead log still holds it (free pages are zeroed).

    Nothing to do on other databases. Raises LogBusy where readers hold it for long; what was removed stays removed.
    """
    connection = connections[alias]
    if connection.vendor != "sqlite":
        return
    for _ in range(TRIES):
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            is_busy, _, _ = cursor.fetchone()
        if not is_busy:
            return
        time.sleep(PAUSE_S)
    raise LogBusy(f"What was removed is still in the journal of {alias!r}, which is in use; try again.")
