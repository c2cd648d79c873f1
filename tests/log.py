"""The event log that settings name, whichever it is: written past the intake, and damaged as an operator could."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from aggregations.event import Event
from aggregations.rollups import HOUR_MS
from events.log import Account, event_log
from events.logs.mongo import MongoEventLog
from events.logs.mongo.chunks import chunk_id
from events.models import Chunk, EventId, FrequentVisitor, LogBirth, Projection, Visit, Visitor

TABLES = (Chunk, LogBirth, EventId, Visitor, Visit, FrequentVisitor, Projection)


def append(events: Sequence[Event], received_at: int = 1) -> int:
    """Append one chunk, accounted for as the intake does; returns its sequence."""
    with event_log().writer() as writer:
        sequence = writer.append(events, received_at)
        for hub, count in Counter(event.hub for event in events).items():
            writer.account(hub, received_at // HOUR_MS, Account(received=count, accepted=count))
    return sequence


def lose() -> None:
    """Empty the log. It gets another birth."""
    for table in TABLES:
        table.objects.all().delete()
    if is_mongo():
        empty_collections()


def empty_collections() -> None:
    """Empty a log on MongoDB; what SQL keeps of it stays."""
    for name in database().list_collection_names():
        database()[name].delete_many({})
    event_log.cache_clear()


def lose_birth() -> None:
    """Forget which log it is, as a restore does."""
    LogBirth.objects.all().delete()
    if is_mongo():
        database()["births"].delete_many({})
        event_log.cache_clear()


def lose_chunk(sequence: int) -> None:
    """Delete a chunk behind the log's back; what the process knew of the log is forgotten."""
    Chunk.objects.filter(sequence=sequence).delete()
    if is_mongo():
        database()["chunks"].delete_one({"_id": chunk_id("main", sequence)})
        event_log.cache_clear()


def has_number(hub: str, visitor: int) -> bool:
    """Whether the number of a visitor is taken."""
    if is_mongo():
        return database()["visitors"].find_one({"h": hub, "number": visitor}) is not None
    return Visitor.objects.filter(hub=hub, number=visitor).exists()


def is_mongo() -> bool:
    return isinstance(event_log(), MongoEventLog)


def database() -> Any:
    log = event_log()
    assert isinstance(log, MongoEventLog)
    return log._server.database
