"""The turn: a document that one writer holds at a time, of all processes and partitions."""

import logging
import os
import time

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError

from events.log import LogBusy, WriterFenced
from events.logs.mongo.server import Document, Server

logger = logging.getLogger(__name__)

NAME = "numbering"
LEASE_S = 10.0
"""How long a turn may last. Who waits measures by its own clock how long one holder has had it."""
WAIT_S = 30.0
PAUSE_S = 0.003


class Turn:
    """A writer's turn. `revision` tells which state of the numbering it found."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._token = os.urandom(8).hex()
        self._taken_at: float | None = None
        self.revision = 0

    @property
    def is_taken(self) -> bool:
        return self._taken_at is not None

    def take(self) -> None:
        """Wait for the turn. Raises LogBusy where nobody gives it up for WAIT_S, though it is taken from one who sleeps."""
        began = since = time.monotonic()
        seen: str | None = None
        self._taken_at = began  # an answer may get lost, so from now on it is to be given back
        while (found := self._taken_from(None)) is None:
            holder, now = self._holder(), time.monotonic()
            if holder != seen:
                seen, since = holder, now
            elif holder is not None and now - since > LEASE_S and (found := self._taken_from(holder)) is not None:
                break
            if now - began > WAIT_S:
                raise LogBusy(f"Others have numbered events for {WAIT_S:g} seconds; nothing was written, try again.")
            time.sleep(PAUSE_S)
        self._taken_at, self.revision = time.monotonic(), found["revision"]

    def _taken_from(self, holder: str | None) -> Document | None:
        """Whoever slept may have numbered, so taking it from one makes a new revision."""
        return self._server["turns"].find_one_and_update(
            {"_id": NAME, "holder": holder},
            {"$set": {"holder": self._token}, "$inc": {"revision": 0 if holder is None else 1}},
            return_document=ReturnDocument.AFTER,
        )

    def _holder(self) -> str | None:
        found = self._server["turns"].find_one({"_id": NAME})
        if found is None:
            try:
                self._server["turns"].insert_one({"_id": NAME, "holder": None, "revision": 0})
            except DuplicateKeyError:
                logger.debug("Another process made the turn.")
            return None
        return found["holder"]

    def refuse_lost(self) -> None:
        """Raises WriterFenced where the lease is over, after which another may have the turn."""
        if self._taken_at is None or time.monotonic() - self._taken_at > LEASE_S:
            raise WriterFenced(f"The append took more than {LEASE_S:g} seconds and lost its turn; try again.")

    def give_back(self, is_changed: bool) -> None:
        """End it. Where that cannot be said to the server, others wait until the lease is over."""
        if self._taken_at is None:
            return
        self._taken_at = None
        try:
            self._server["turns"].update_one(
                {"_id": NAME, "holder": self._token}, {"$set": {"holder": None}, "$inc": {"revision": int(is_changed)}}
            )
        except PyMongoError:
            logger.warning("A turn could not be given back; others wait for %g s.", LEASE_S, exc_info=True)
