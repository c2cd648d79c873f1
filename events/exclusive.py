"""One writer at a time, whichever database."""

from django.db import connections


def shut_out_others(alias: str, name: str) -> None:
    """Let the transaction that is open on a database be the only one of its `name` until it ends; waits for the one before.

    A transaction on SQLite holds the write lock from its begin, so there it is so already. PostgreSQL takes an advisory
    lock, and gives up after the `lock_timeout` of the connection with OperationalError.
    """
    connection = connections[alias]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"affluence {name}"])
