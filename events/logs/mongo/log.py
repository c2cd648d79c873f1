"""The log and its reading."""

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bson import Binary
from pymongo.errors import DuplicateKeyError, PyMongoError

from aggregations.event import Event
from events.log import Account, Chunk, EventLog, LogAway, LogBusy, LogCorrupt, LogUnfit, LogWriter, Position
from events.logs.mongo.chunks import Chunks, between, chunk_id
from events.logs.mongo.numbering import Numbering
from events.logs.mongo.projection import Projection
from events.logs.mongo.server import Document, Server
from events.logs.mongo.writer import MongoLogWriter
from events.logs.orm import pack, unpack

PARTITION = re.compile(r"[a-z0-9_-]{1,64}")


class MongoEventLog(EventLog):
    """The event log in a database of a MongoDB server, named by URL."""

    def __init__(self, url: str) -> None:
        self._server = Server(url)
        self._chunks = Chunks(self._server)
        self._projection = Projection(self._server, self._chunks)
        self._caught_up: set[str] = set()
        self._birth = ""

    def birth(self) -> str:
        """It is asked for once: a process that runs while its log is replaced is to be started again."""
        with _reading():
            while not self._birth:
                found = self._server["births"].find_one({"_id": "log"})
                if found is None:
                    with suppress(DuplicateKeyError):
                        self._server["births"].insert_one({"_id": "log", "mark": secrets.token_hex(8)})
                else:
                    self._birth = found["mark"]
        return self._birth

    @contextmanager
    def writer(self, partition: str = "main") -> Iterator[LogWriter]:
        if not PARTITION.fullmatch(partition):
            raise ValueError(f"{partition!r} names no partition; use a to z, 0 to 9, - and _, at most 64 characters.")
        try:
            if partition not in self._caught_up:
                self._projection.catch_up(partition)
                self._caught_up.add(partition)
            writer = MongoLogWriter(self._server, self._chunks, self._projection, partition)
            try:
                yield writer
                writer.commit()
            except BaseException:
                writer.undo()
                raise
            finally:
                writer.end()
        except PyMongoError as error:
            raise LogBusy(f"The event log cannot be written now ({error}); nothing was written, try again.") from error
        writer.follow()

    def head(self) -> Position:
        with _reading():
            return self._chunks.head()

    def read(self, after: Position, until: Position | None = None) -> Iterator[Chunk]:
        with _reading():
            for partition, last in sorted((self._chunks.head() if until is None else until).items()):
                for found in self._chunks.documents(partition, after.get(partition, 0), last):
                    yield Chunk(partition, found["sequence"], found["received_at"], _events(found))

    def remove(self, until: Position, is_removed: Callable[[Event], bool]) -> int:
        removed = 0
        try:
            for partition, last in sorted(until.items()):
                for found in self._chunks.documents(partition, 0, last):
                    removed += self._remove(found, is_removed)
        except PyMongoError as error:
            raise LogBusy(f"Not all events could be removed ({error}); try again.") from error
        return removed

    def _remove(self, found: Document, is_removed: Callable[[Event], bool]) -> int:
        """Write a chunk again without some events, those of them that are still there; returns how many."""
        removed = 0
        while any(map(is_removed, events := _events(found))):
            kept = [event for event in events if not is_removed(event)]
            counts = Counter(event.hub for event in events)
            counts.subtract(event.hub for event in kept)
            version, payload = found["version"] + 1, pack(kept)
            change = {
                "version": version,
                "event_count": len(kept),
                "size": len(payload),
                "payload": Binary(payload),
                "pending": [
                    *found["pending"],
                    *({"version": version, "hub": hub, "count": counts[hub]} for hub in counts if counts[hub]),
                ],
            }
            as_read = {"_id": found["_id"], "version": found["version"], "stored": found["stored"]}
            if self._server["chunks"].update_one(as_read, {"$set": change}).matched_count:
                removed = len(events) - len(kept)
                break
            (found,) = self._chunks.documents(found["partition"], found["sequence"] - 1, found["sequence"])
        if removed or found["pending"]:
            self._projection.take_removed(found["_id"])
        return removed

    def accounts(self, start: int, end: int) -> dict[int, Account]:
        with _reading():
            return self._projection.accounts(start, end)

    def received_at(self, partition: str, sequence: int) -> int | None:
        with _reading():
            found = self._server["chunks"].find_one({"_id": chunk_id(partition, sequence)}, {"received_at": 1})
        return found["received_at"] if found else None

    def visitor_number(self, hub: str, key: bytes) -> int | None:
        with _reading():
            return Numbering(self._server).visitors([(hub, key)]).get((hub, key))

    def count_between(self, after: Position, until: Position) -> int:
        total = {"_id": None, "count": {"$sum": "$event_count"}}
        with _reading():
            return sum(
                found["count"]
                for partition, last in until.items()
                for found in self._server["chunks"].aggregate(
                    [{"$match": between(partition, after.get(partition, 0), last)}, {"$group": total}]
                )
            )

    def prepare(self) -> list[str]:
        return self._server.ensure_indexes()

    def weakness(self) -> str | None:
        try:
            self._server.refuse_unfit()
            if self._server.is_one_alone():
                return (
                    "The event log's MongoDB is one server alone: what its disk loses is lost. Make it a replica set."
                )
        except PyMongoError as error:
            raise LogUnfit(f"The event log's MongoDB cannot be asked what it promises: {error}") from error
        return None

    def trouble(self) -> str | None:
        return self._server.trouble()


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise LogAway(f"The event log's MongoDB does not serve ({error}); it is needed to go on.") from error


def _events(found: Document) -> list[Event]:
    try:
        return unpack(found["payload"])
    except LogCorrupt as error:
        raise LogCorrupt(f"Chunk {found['sequence']} of partition {found['partition']!r}: {error}") from error
