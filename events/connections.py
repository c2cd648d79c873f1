"""Connections to databases outside Django's requests, and in those that last long: no signal renews them there."""

from django.db import connections


def renew() -> None:
    """Close this thread's connections that are broken or too old, and give those of a pool back; none in a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
