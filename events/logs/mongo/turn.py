"""The turn: a document that one writer holds at a time, of all processes and partitions."""

import logging
import os
import time

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError

from events.log import AppendTooSlow, LogBusy
from events.logs.mongo.server import Document, Server

logger = logging.getLogger(__name__)

NAME = "numbering"
LEASE_S = 10.0
"""How long a turn may last. Who waits measures by its own clock how long one holder has had it."""
NEXT_S = 1.0
"""How long a turn that is free is left to who asked for it next; by then it has died."""
WAIT_S = 30.0
PAUSE_S = 0.003


class Turn:
    """A writer's turn. `revision` tells which state of the numbering it found.

    One of those who wait is the next: without that, a writer that always has more to write would hardly let others in.
    """

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
        began = time.monotonic()
        held, left_free = _Unchanged(), _Unchanged()
        self._taken_at = began  # an answer may get lost, so from now on it is to be given back
        found = self._taken_where({"holder": None, "next": None})
        while found is None:
            if time.monotonic() - began > WAIT_S:
                self._update({"next": self._token}, {"$set": {"next": None}})
                raise LogBusy(f"Others have numbered events for {WAIT_S:g} seconds; nothing was written, try again.")
            holder, following = self._state()
            if following is None and holder is not None:
                self._update({"next": None}, {"$set": {"next": self._token}})
            if holder is not None:
                may_try = held.for_s(holder) > LEASE_S
            else:
                may_try = following in (None, self._token) or left_free.for_s(following) > NEXT_S
            if may_try:
                found = self._taken_where({"holder": holder, "next": following})
            else:
                time.sleep(PAUSE_S)
        self._taken_at, self.revision = time.monotonic(), found["revision"]

    def _taken_where(self, state: Document) -> Document | None:
        """Whoever slept may have numbered, so taking it from one makes a new revision."""
        return self._server["turns"].find_one_and_update(
            {"_id": NAME} | state,
            {"$set": {"holder": self._token, "next": None}, "$inc": {"revision": 0 if state["holder"] is None else 1}},
            return_document=ReturnDocument.AFTER,
        )

    def _update(self, state: Document, change: Document) -> None:
        self._server["turns"].update_one({"_id": NAME} | state, change)

    def _state(self) -> tuple[str | None, str | None]:
        """Who has the turn, and who is the next."""
        found = self._server["turns"].find_one({"_id": NAME})
        if found is None:
            try:
                self._server["turns"].insert_one({"_id": NAME, "holder": None, "next": None, "revision": 0})
            except DuplicateKeyError:
                logger.debug("Another process made the turn.")
            return None, None
        return found["holder"], found.get("next")

    def refuse_lost(self) -> None:
        """Raises AppendTooSlow where the lease is over, after which another may have the turn."""
        if self._taken_at is None or time.monotonic() - self._taken_at > LEASE_S:
            raise AppendTooSlow(f"The append took more than {LEASE_S:g} seconds and lost its turn; try again.")

    def give_back(self, is_changed: bool) -> None:
        """End it. Where that cannot be said to the server, others wait until the lease is over."""
        if self._taken_at is None:
            return
        self._taken_at = None
        try:
            self._update({"holder": self._token}, {"$set": {"holder": None}, "$inc": {"revision": int(is_changed)}})
        except PyMongoError:
            logger.warning("A turn could not be given back; others wait for %g s.", LEASE_S, exc_info=True)


class _Unchanged:
    """How long something has been the same, by this process's clock."""

    def __init__(self) -> None:
        self._value: str | None = None
        self._since = 0.0

    def for_s(self, value: str | None) -> float:
        now = time.monotonic()
        if value != self._value:
            self._value, self._since = value, now
        return now - self._since
