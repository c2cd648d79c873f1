"""The documents of chunks."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from bson import Binary

from aggregations.event import Event
from aggregations.rollups import HOUR_MS
from events.log import LogGap, Position
from events.logs.mongo.server import Document, Server
from events.logs.orm import pack

CHUNKS_PER_PAGE = 1_000
BYTES_PER_PAGE = 4 * 1024 * 1024

LAST = {"partition": 1, "sequence": 1, "revision": 1}

Owner = list[Any]
"""Partition, sequence and token of an attempt to append."""


def chunk_id(partition: str, sequence: int) -> str:
    """Sorts as partitions and sequences do."""
    return f"{partition}/{sequence:012d}"


def between(partition: str, after: int, last: int) -> Document:
    """The filter of the chunks after + 1 to last."""
    return {"_id": {"$gt": chunk_id(partition, after), "$lte": chunk_id(partition, last)}}


def gap(partition: str, sequence: int) -> LogGap:
    return LogGap(f"Chunk {sequence} of partition {partition!r} is missing; restore the log before reading on.")


def document(owner: Owner, events: Sequence[Event], received_at: int, revision: int) -> Document:
    """A chunk. `version` counts removals from it; `pending` are those that the accounts may not know, and `stored` are its
    events with those.
    """
    partition, sequence, token = owner
    payload = pack(events)
    return {
        "_id": chunk_id(partition, sequence),
        "partition": partition,
        "sequence": sequence,
        "token": token,
        "received_at": received_at,
        "hour": received_at // HOUR_MS,
        "event_count": len(events),
        "size": len(payload),
        "payload": Binary(payload),
        "revision": revision,
        "accounts": [],
        "version": 0,
        "pending": [],
        "stored": len(events),
    }


class Chunks:
    """The chunks of a log."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._last: dict[str, tuple[int, int]] = {}

    def token_at(self, partition: str, sequence: int) -> str | None:
        """Of the attempt that has a sequence for ever; None where it is free."""
        found = self._server["chunks"].find_one({"_id": chunk_id(partition, sequence)}, {"token": 1})
        return found["token"] if found else None

    def last(self, partition: str) -> tuple[int, int]:
        """Sequence and revision of a partition's last chunk, as far as this process knows; (0, 0) where there is none.

        A process that is behind is fenced when it appends, and looks again.
        """
        return self._last[partition] if partition in self._last else self.look(partition)

    def look(self, partition: str) -> tuple[int, int]:
        """The same as the server knows it. Sequences are contiguous, so those after the last known one are tried."""
        if partition not in self._last:
            found = self._newest(partition)
        else:
            found = step = self._at(partition, self._last[partition][0])
            while step is not None:
                found, step = step, self._at(partition, step["sequence"] + 1)
        if found is None:
            return 0, 0
        return self.know(found)

    def know(self, found: Document) -> tuple[int, int]:
        """Remember a partition's last chunk."""
        self._last[found["partition"]] = found["sequence"], found["revision"]
        return self._last[found["partition"]]

    def forget(self, partition: str) -> None:
        """Look at the server next time."""
        self._last.pop(partition, None)

    def _at(self, partition: str, sequence: int) -> Document | None:
        return self._server["chunks"].find_one({"_id": chunk_id(partition, sequence)}, LAST)

    def _newest(self, partition: str) -> Document | None:
        of_it = {"_id": {"$gt": f"{partition}/", "$lt": f"{partition}0"}}  # 0 follows /
        return self._server["chunks"].find_one(of_it, LAST, sort=[("_id", -1)])

    def head(self) -> Position:
        """The last sequence of each partition, found by hops over the index."""
        head: Position = {}
        after = ""
        while True:
            found = self._server["chunks"].find_one({"_id": {"$gt": after}}, {"partition": 1}, sort=[("_id", 1)])
            if found is None:
                return head
            partition = found["partition"]
            newest = self._newest(partition)
            head[partition] = newest["sequence"] if newest else 0
            after = f"{partition}0"

    def make_unusable(self, partition: str, sequence: int, token: str) -> None:
        """Put an empty chunk at a sequence, so that no attempt commits there. Raises DuplicateKeyError, LogGap."""
        if sequence > 1 and self.token_at(partition, sequence - 1) is None:
            raise gap(partition, sequence - 1)
        now = int(time.time() * 1000)
        self._server["chunks"].insert_one(document([partition, sequence, token], [], now, 0))

    def documents(self, partition: str, after: int, last: int) -> Iterator[Document]:
        """Chunks after + 1 to last; holds a page of bounded bytes in memory and no cursor open between pages.

        Raises LogGap.
        """
        while after < last:
            end = self._page_end(partition, after, last)
            for found in list(self._server["chunks"].find(between(partition, after, end)).sort("_id", 1)):
                if found["sequence"] != after + 1:
                    raise gap(partition, after + 1)
                yield found
                after += 1
            if after != end:
                raise gap(partition, after + 1)

    def _page_end(self, partition: str, after: int, last: int) -> int:
        """The sequence that ends the next page: as many chunks as fit in BYTES_PER_PAGE, at least one. Raises LogGap."""
        sizes = self._server["chunks"].find(between(partition, after, last), {"sequence": 1, "size": 1})
        end = total = 0
        for found in sizes.sort("_id", 1).limit(CHUNKS_PER_PAGE):
            total += found["size"]
            if end and total > BYTES_PER_PAGE:
                break
            end = found["sequence"]
        if not end:
            raise gap(partition, after + 1)
        return end
