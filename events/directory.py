"""The directory: which hubs there are and what a key may do, remembered for a few seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from django.db import OperationalError, connection

from aggregations.buckets import instant_ms
from events.connections import renew
from events.models import ApiKey, Hub

SECONDS = 2.0
CAPACITY = 10_000

T = TypeVar("T")
_away = {"until": 0.0}


class Memory(Generic[T]):
    """The answers of `look_up`, also negative ones, for a few seconds; at most CAPACITY, so names must be short."""

    def __init__(self, look_up: Callable[[str], T], clock: Callable[[], float] = time.monotonic) -> None:
        self._look_up = look_up
        self._clock = clock
        self._answers: dict[str, tuple[float, T]] = {}

    def __call__(self, name: str) -> T:
        now = self._clock()
        known = self._answers.get(name)
        if known is not None and known[0] > now:
            return known[1]
        answer = self._look_up(name)
        if len(self._answers) >= CAPACITY:
            self._answers = {}
        self._answers[name] = (now + SECONDS, answer)
        return answer


def counted_since(slug: str) -> int | None:
    """Since when a hub keeps numbers, in milliseconds (0: for ever); None where there is no such hub."""
    with _own_connection():
        found = Hub.objects.filter(slug=slug).values_list("rows_since").first()
    if found is None:
        return None
    return instant_ms(found[0]) if found[0] else 0


def grant_of(digest: str) -> tuple[str, str] | None:
    """Hub and scope of the key of a digest that is not revoked."""
    with _own_connection():
        found = ApiKey.in_use(digest)
        return None if found is None else (found.hub.slug, found.scope)


@contextmanager
def _own_connection() -> Iterator[None]:
    """Before, close a connection that is broken; afterwards give one of a pool back: a thread of the collector waits long
    for its commit.

    Raises OperationalError; at once where a PostgreSQL was away a moment ago, since a pool says so only after seconds.
    """
    if time.monotonic() < _away["until"]:
        raise OperationalError("The database was away a moment ago.")
    renew()
    try:
        yield
    except OperationalError:
        if connection.vendor == "postgresql":
            _away["until"] = time.monotonic() + SECONDS
        raise
    finally:
        renew()
