"""One append to the log."""

import logging
import os
import time
from collections.abc import Iterable, Sequence

from pymongo.errors import PyMongoError

from aggregations.event import Event
from events.log import Account, ChunkTooLarge, LogBusy, LogUnsure, LogWriter, Rejection, VisitSpan, WriterFenced
from events.logs.mongo.chunks import Chunks, document
from events.logs.mongo.ids import Ids
from events.logs.mongo.numbering import NewVisitor, Numbering, SavedVisit
from events.logs.mongo.projection import HubAccount, Projection, said
from events.logs.mongo.server import Document, Server
from events.logs.mongo.turn import Turn

logger = logging.getLogger(__name__)

SETTLE_S, SETTLE_PAUSE_S = 30.0, 0.05
LARGEST = 12 * 1024 * 1024
"""Bytes of a chunk's events and rejections; MongoDB takes documents of 16 MiB."""
REJECTION = 1_000
"""Bytes of a rejection beside its payload, at most about."""


class MongoLogWriter(LogWriter):
    """Claims ids at once; keeps all else until `commit`, which writes numbers, then the chunk, then rejections and accounts.

    A write of several chunks commits them one after the other, so it claims no ids.
    """

    def __init__(self, server: Server, chunks: Chunks, projection: Projection, partition: str) -> None:
        self._server, self._chunks, self._projection, self._partition = server, chunks, projection, partition
        self._token = os.urandom(8).hex()
        self._turn = Turn(server)
        self._ids = Ids(server, chunks)
        self._numbering = Numbering(server)
        self._sequence, self._revision = chunks.last(partition)
        self._documents: list[Document] = []
        self._new_visitors: list[NewVisitor] = []
        self._saved_visits: list[SavedVisit] = []
        self._forgotten: list[tuple[str, int]] = []
        self._rejections: list[Rejection] = []
        self._accounts: list[HubAccount] = []
        self._has_numbered = False
        self._may_be_written = False

    def _take_turn(self) -> None:
        if not self._turn.is_taken:
            self._turn.take()
            if self._revision != self._turn.revision and not self._documents:
                self._sequence, self._revision = self._chunks.look(self._partition)

    def is_current(self, sequence: int) -> bool:
        self._take_turn()
        return (self._sequence, self._revision) == (sequence, self._turn.revision)

    def claim_ids(self, ids: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        if not ids:
            return set()
        if self._documents:
            raise ValueError("Ids are claimed before the chunk of their events is appended.")
        self._take_turn()
        return self._ids.claim(ids, [self._partition, self._sequence + 1, self._token])

    def visitors(self, keys: Sequence[tuple[str, bytes]]) -> dict[tuple[str, bytes], int]:
        return self._numbering.visitors(keys)

    def last_numbers(self, hubs: Sequence[str]) -> dict[str, tuple[int, int]]:
        return self._numbering.last_numbers(hubs)

    def frequent(self, visitors: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        return self._numbering.frequent(visitors)

    def visits(self, visitors: Sequence[tuple[str, int]]) -> dict[tuple[str, int], dict[bytes, VisitSpan]]:
        return self._numbering.visits(visitors)

    def named_visits(self, hub: str, visitor: int, keys: Sequence[bytes]) -> dict[bytes, VisitSpan]:
        return self._numbering.named_visits(hub, visitor, keys)

    def first_visits(self, hub: str, visitor: int, windows: Iterable[tuple[int, int]]) -> dict[bytes, VisitSpan]:
        return self._numbering.first_visits(hub, visitor, windows)

    def save_numbering(
        self,
        visitors: Sequence[tuple[str, bytes, int]],
        visits: Sequence[tuple[str, int, bytes, VisitSpan]],
    ) -> None:
        self._new_visitors += visitors
        self._saved_visits += visits

    def forget(self, hub: str, visitors: Sequence[int]) -> None:
        self._take_turn()
        if not self._documents:  # others may have appended since this process last did
            self._sequence, self._revision = self._chunks.look(self._partition)
        self._forgotten += [(hub, visitor) for visitor in visitors]

    def append(self, events: Sequence[Event], received_at: int) -> int:
        if self._documents and self._ids.are_claimed:
            raise ValueError("A write that claims ids appends one chunk.")
        sequence = self._sequence + len(self._documents) + 1
        owner = [self._partition, sequence, self._token]
        self._documents.append(document(owner, events, received_at, self._revision))
        return sequence

    def reject(self, rejections: Sequence[Rejection]) -> None:
        self._rejections += rejections

    def account(self, hub: str, hour: int, account: Account) -> None:
        self._accounts.append((hub, hour, account))

    def commit(self) -> None:
        """Write it all. Raises ChunkTooLarge; WriterFenced, LogBusy, LogUnsure, PyMongoError before the last chunk is
        written, never after.
        """
        if self._ids.are_claimed and not self._documents:
            self.append([], int(time.time() * 1000))
        self._refuse_large()
        self._number()
        if not self._documents:
            self._projection.write(self._rejections, self._accounts)
            return
        self._documents[-1] |= said(self._rejections, self._accounts)
        for one in self._documents:
            if self._turn.is_taken:
                one["revision"] = self._turn.revision + self._has_numbered
            self._insert(one)
            self._chunks.know(one)

    def _refuse_large(self) -> None:
        size = max((one["size"] for one in self._documents), default=0)
        if self._documents:
            size += sum(len(one.payload) + REJECTION for one in self._rejections)
        if size > LARGEST:
            raise ChunkTooLarge(f"{size} bytes of events do not fit into one chunk, which holds {LARGEST}.")

    def _number(self) -> None:
        if not (self._new_visitors or self._saved_visits or self._forgotten):
            return
        self._take_turn()
        self._turn.refuse_lost()
        self._has_numbered = True
        for hub, visitor in self._forgotten:
            self._numbering.forget(hub, [visitor])
        self._numbering.save(self._new_visitors, self._saved_visits)
        self._turn.refuse_lost()

    def _insert(self, one: Document) -> None:
        self._may_be_written = True
        try:
            self._server["chunks"].insert_one(one)
        except PyMongoError as error:
            self._settle(one["sequence"], error)

    def _settle(self, sequence: int, cause: PyMongoError) -> None:
        """Find out who has a sequence whose insert failed, or got no answer; where nobody has, see to it that it stays so.

        Raises LogBusy or WriterFenced where it is not this writer; LogUnsure where the server does not tell in time.
        """
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            try:
                found = self._chunks.token_at(self._partition, sequence)
                if found is None:
                    self._chunks.make_unusable(self._partition, sequence, os.urandom(8).hex())
            except PyMongoError as error:  # also where a chunk is there that a majority does not have yet
                logger.info("Who has chunk %d is unknown yet: %s", sequence, error)
                time.sleep(SETTLE_PAUSE_S)
                continue
            if found == self._token:
                return
            self._may_be_written = False
            if found is None:
                raise LogBusy(
                    f"The event log cannot be written now ({cause}); nothing was written, try again."
                ) from cause
            raise WriterFenced(
                f"Another writer took chunk {sequence} of partition {self._partition!r}; nothing was written, try again."
            ) from cause
        raise LogUnsure(
            f"The event log went away while it was written ({cause}); whether it was is unknown. Send the events again later:"
            " one with the same id counts once."
        ) from cause

    def undo(self) -> None:
        """Give back what a failed write has claimed, unless it may be written; look again at who was faster."""
        if not self._may_be_written:
            self._ids.give_back()
        self._chunks.forget(self._partition)

    def end(self) -> None:
        """Let the next writer number."""
        self._turn.give_back(self._has_numbered)

    def follow(self) -> None:
        """Take what was committed over to SQL."""
        if self._documents:
            self._projection.follow(self._partition, self._documents)
