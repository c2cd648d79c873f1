"""Many creations or deletions in one request. Each answer is looked at."""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec

from batch.view_store import StoreAway
from views_layer.stores.elastic.server import Server

TRIES_FOR_S = 20.0
"""How long a write is tried again where the server is busy."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 2.0
BUSY = {429, 502, 503, 504}
CREATED, OK, MISSING, THERE = 201, 200, 404, 409

Action = tuple[bytes, ...]
"""The lines of one action: what to do, and the source of a document."""
T = TypeVar("T")


def creation(index: str, id: str, source: dict) -> Action:
    """Makes a document; one that is there stays as it is."""
    return _line({"create": {"_index": index, "_id": id}}), _line(source)


def replacement(index: str, id: str, source: dict, version: int) -> Action:
    """Makes a document, or puts it in the place of an older version."""
    return _line({"index": {"_index": index, "_id": id, "version": version, "version_type": "external"}}), _line(source)


def deletion(index: str, id: str) -> Action:
    return (_line({"delete": {"_index": index, "_id": id}}),)


def send(server: Server, actions: Sequence[Action], refresh: bool = False) -> int:
    """Do actions; returns how many documents were made.

    What the server has no room for now is tried again, for TRIES_FOR_S. Raises StoreAway where it refuses.
    """
    pending, created, pause = actions, 0, FIRST_PAUSE_S
    deadline = time.monotonic() + TRIES_FOR_S
    while True:
        refused, reason = pending, ""
        lines: list[Any] = [line for action in pending for line in action]
        try:
            with server.answering():
                answer = server.client.bulk(
                    operations=lines,
                    refresh=refresh,
                    filter_path="errors,items.*.status,items.*.error",
                )
            refused, reason, made = _judged(server, pending, answer["items"])
            created += made
        except StoreAway as error:
            reason = str(error)
        if not refused:
            return created
        if time.monotonic() + pause > deadline:
            raise StoreAway(f"The view store took {len(refused)} of {len(pending)} rows not: {reason}")
        time.sleep(pause)
        pending, pause = refused, min(pause * 2, LAST_PAUSE_S)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some


def _judged(server: Server, actions: Sequence[Action], items: Sequence[dict]) -> tuple[list[Action], str, int]:
    """The actions that may be tried again, why, and how many rows were made. Raises StoreAway for other refusals."""
    again, reason, created = [], "", 0
    for action, item in zip(actions, items, strict=True):
        ((verb, found),) = item.items()
        status, error = found["status"], found.get("error", {})
        if (
            status in (CREATED, OK)
            or (verb in ("create", "index") and status == THERE)
            or (verb == "delete" and status == MISSING)
        ):
            created += verb == "create" and status == CREATED
        elif status in BUSY:
            again.append(action)
            reason = f"{error.get('type')}: {error.get('reason')}"
        else:
            raise StoreAway(
                f"The view store at {server.where} refused a row with {status}: {error.get('type')}, {error.get('reason')}."
                " Where its index is gone, the next run makes all rows anew."
            )
    return again, reason, created


def _line(value: dict) -> bytes:
    return msgspec.json.encode(value)
