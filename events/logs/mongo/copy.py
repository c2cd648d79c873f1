"""A log in SQL tables, copied to MongoDB: chunks byte by byte, ids, numbers. The inbox and the accounts stay where they are."""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from bson import Binary
from django.db import connections
from pymongo.errors import BulkWriteError

from aggregations.rollups import HOUR_MS
from events import models
from events.logs.mongo.chunks import Chunks, chunk_id
from events.logs.mongo.ids import DUPLICATE, id_of
from events.logs.mongo.server import Document, Server
from events.logs.orm import ALIAS, OrmEventLog, unpack

TOKEN = "copied"  # noqa: S105
"""The token of all copied chunks; ids belong to the first of them."""
ROWS = 1_000
COLUMNS = {
    "chunks": ("partition", "sequence", "received_at", "event_count", "payload"),
    "ids": ("hub", "event_id"),
    "visitors": ("hub", "key", "number"),
    "visits": ("hub", "visitor", "key", "number", "ordinal", "first_at", "last_at", "reach"),
    "frequent": ("hub", "visitor", "visits"),
}
TABLES = {
    "chunks": (models.Chunk, ("partition", "sequence")),
    "ids": (models.EventId, ("hub", "event_id")),
    "visitors": (models.Visitor, ("hub", "number")),
    "visits": (models.Visit, ("hub", "number")),
    "frequent": (models.FrequentVisitor, ("hub", "visitor")),
}
"""What is copied, in this order, and by what it is sorted."""

Progress = Callable[[str, int, int], None]


class CopyRefused(Exception):
    """Why nothing (more) was copied, in a sentence with the way out."""


@dataclass(frozen=True, slots=True)
class Digest:
    """How many there are, and a sum of hashes, which does not depend on their order."""

    count: int = 0
    total: int = 0

    @property
    def name(self) -> str:
        return f"{self.total:032x}"


def copy(url: str, progress: Progress) -> dict[str, Digest]:
    """Copy, and read both sides again; returns what was copied, by collection. Goes on where an earlier copy stopped.

    Raises CopyRefused, PyMongoError.
    """
    server = Server(url)
    server.ensure_indexes()
    chunks = Chunks(server)
    _refuse_other_log(server, chunks)
    for name in TABLES:
        _copy_rows(server, name, chunks.head() if name == "chunks" else {}, progress)
    for partition, last in OrmEventLog().head().items():
        models.Projection.objects.update_or_create(name=partition, defaults={"value": last})
    return _verified(server, progress)


def _refuse_other_log(server: Server, chunks: Chunks) -> None:
    """A target may hold the beginning of this log, copied before, and nothing else."""
    there, here = chunks.head(), OrmEventLog().head()
    if not here:
        raise CopyRefused("The tables of this installation hold no chunk; there is nothing to copy.")
    for partition, last in there.items():
        found = server["chunks"].find_one({"_id": chunk_id(partition, last)})
        row = models.Chunk.objects.filter(partition=partition, sequence=last).values(*COLUMNS["chunks"]).first()
        if row is None or found is None or found["token"] != TOKEN or not _is_same_chunk(row, found):
            raise CopyRefused(
                f"The target holds another log: its chunk {last} of partition {partition!r} is none that was copied from"
                " here. Name an empty database."
            )
    if not there and any(server[name].find_one({}, {"_id": 1}) for name in ("ids", "visitors", "visits")):
        raise CopyRefused("The target holds ids or numbers of another log; name an empty database.")


def _is_same_chunk(row: dict, found: Document) -> bool:
    return (row["received_at"], bytes(row["payload"])) == (found["received_at"], bytes(found["payload"]))


def _copy_rows(server: Server, name: str, after: dict[str, int], progress: Progress) -> None:
    model, order = TABLES[name]
    total, done = model._default_manager.count(), 0
    owner = [*models.Chunk.objects.order_by("partition", "sequence").values_list("partition", "sequence")[0], TOKEN]
    for rows in _pages(name, order):
        documents = [_document(name, row, owner) for row in rows if name != "chunks" or row[1] > after.get(row[0], 0)]
        _insert(server, name, documents)
        done += len(rows)
        progress(name, done, total)


def _pages(name: str, order: tuple[str, ...]) -> Iterator[list[tuple]]:
    """The rows of a table, in order, a page at a time."""
    model, columns = TABLES[name][0], COLUMNS[name]
    places = [columns.index(column) for column in order]
    table, names = model._meta.db_table, ", ".join(columns)
    query = f"SELECT {names} FROM {table} {{}} ORDER BY {', '.join(order)} LIMIT {ROWS}"
    last: tuple = ()
    while True:
        after = f"WHERE ({', '.join(order)}) > ({', '.join(['%s'] * len(order))})" if last else ""
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(query.format(after), last)
            rows = cursor.fetchall()
        if not rows:
            return
        last = tuple(rows[-1][place] for place in places)
        yield rows


def _document(name: str, row: tuple, owner: list) -> Document:
    """What the log keeps for a row of the tables."""
    said = dict(zip(COLUMNS[name], row, strict=True))
    if name == "chunks":
        payload = bytes(said["payload"])
        said |= {"_id": chunk_id(said["partition"], said["sequence"]), "payload": Binary(payload), "size": len(payload)}
        said |= {"hour": said["received_at"] // HOUR_MS, "token": TOKEN, "revision": 0, "accounts": []}
        return said | {"version": 0, "pending": [], "stored": said["event_count"]}
    if name == "ids":
        return {"_id": Binary(id_of(said["hub"], said["event_id"])), "owner": owner}
    found = {"h": said.pop("hub")}
    if "key" in said:
        found["k"] = Binary(bytes(said.pop("key")))
    if "visitor" in said:
        found["v"] = said.pop("visitor")
    if name == "frequent":
        # Made anew at first use: whatever an outline of the tables leaves out is left out by the rule of this log.
        return found | said | {"revision": 1, "writer": TOKEN}
    if name == "visits":
        said["reach"] = said["last_at"]
    return found | said


def _insert(server: Server, name: str, documents: list[Document]) -> None:
    """Insert those that an earlier copy has not; that the others are the same is verified at the end."""
    if not documents:
        return
    try:
        server[name].insert_many(documents, ordered=name == "chunks")
    except BulkWriteError as error:
        if any(problem["code"] != DUPLICATE for problem in error.details["writeErrors"]):
            raise


def _verified(server: Server, progress: Progress) -> dict[str, Digest]:
    found = {}
    for name, (model, order) in TABLES.items():
        progress(f"verify {name}", 0, model._default_manager.count())
        rows = (row for page in _pages(name, order) for row in page)
        here = _digest(_of_row(name, row) for row in rows)
        there = _digest(_of_document(name, one) for one in server[name].find({}))
        if here != there:
            raise CopyRefused(
                f"The copy differs from the log: {here.count} {name} here with digest {here.name}, {there.count} there with"
                f" {there.name}. Stop all collectors and copy again; if it still differs, drop the target and start anew."
            )
        found[name] = here
    return found


def _digest(found: Iterable[bytes]) -> Digest:
    count = total = 0
    for one in found:
        count += 1
        total += int.from_bytes(hashlib.blake2b(one, digest_size=16).digest())
    return Digest(count, total % (1 << 128))


def _of_row(name: str, row: tuple) -> bytes:
    return _of_document(name, _document(name, row, []))


def _of_document(name: str, found: Document) -> bytes:
    """The bytes that both sides must agree on. Raises LogCorrupt where a chunk's bytes are not those that were written."""
    if name == "chunks":
        events = len(unpack(found["payload"]))
        numbers = struct.pack(">qqqq", found["sequence"], found["received_at"], found["event_count"], events)
        return found["_id"].encode() + numbers + bytes(found["payload"])
    if name == "ids":
        return bytes(found["_id"])
    kept = ("h", "v", "k", "number", "ordinal", "first_at", "last_at", "visits")
    return repr([bytes(found[key]) if key == "k" else found[key] for key in kept if key in found]).encode()
