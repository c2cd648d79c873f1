"""Claims of event ids."""

import hashlib
import logging
import os
import time
from collections import defaultdict
from collections.abc import Sequence

from bson import Binary
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from events.log import LogBusy, WriterFenced
from events.logs.mongo.chunks import Chunks, Owner
from events.logs.mongo.server import Server

logger = logging.getLogger(__name__)

DUPLICATE = 11_000
KEYS_PER_QUERY = 1_000
PATIENCE_S = 0.05
"""How long an attempt may still commit that has claimed an id, before another takes it away."""
PAUSE_S = 0.005
TRIES = 100


def id_of(hub: str, event_id: str) -> bytes:
    """16 bytes that stand for an event id of a hub."""
    return hashlib.blake2b(f"{hub}\0{event_id}".encode(), digest_size=16).digest()


class Ids:
    """The claims of one attempt to append."""

    def __init__(self, server: Server, chunks: Chunks) -> None:
        self._server, self._chunks = server, chunks
        self._owner: Owner | None = None
        self._claimed: set[bytes] = set()

    @property
    def are_claimed(self) -> bool:
        return bool(self._claimed)

    def claim(self, ids: Sequence[tuple[str, str]], owner: Owner) -> set[tuple[str, str]]:
        """Claim (hub, event id) pairs for an attempt; returns those that are in a chunk. Raises WriterFenced, LogBusy."""
        pairs = {id_of(hub, event_id): (hub, event_id) for hub, event_id in ids}
        self._owner = owner
        own = self._claimed & pairs.keys()
        wanted, known = pairs.keys() - own, set[bytes]()
        self._claimed |= wanted
        for _ in range(TRIES):
            wanted -= self._insert(wanted)
            for theirs, keys in self._owners(wanted).items():
                if self._has_committed(theirs):
                    known |= keys
                    wanted -= keys
                else:
                    wanted -= self._take_over(keys, list(theirs))
            if not wanted:
                self._claimed -= known
                return {pairs[key] for key in known | own}
        raise LogBusy("Others claim and give back the same event ids again and again; nothing was written, try again.")

    def _insert(self, wanted: set[bytes]) -> set[bytes]:
        """Claim keys that nobody has; returns them."""
        keys = sorted(wanted)  # neighbours share a page
        documents = [{"_id": Binary(key), "owner": self._owner} for key in keys]
        if not documents:
            return set()
        try:
            self._server["ids"].insert_many(documents, ordered=False)
        except BulkWriteError as error:
            taken = {problem["index"] for problem in error.details["writeErrors"] if problem["code"] == DUPLICATE}
            if len(taken) < len(error.details["writeErrors"]) or error.details["writeConcernErrors"]:
                raise
            return {key for index, key in enumerate(keys) if index not in taken}
        return set(keys)

    def _owners(self, keys: set[bytes]) -> dict[tuple, set[bytes]]:
        found: dict[tuple, set[bytes]] = defaultdict(set)
        wanted = sorted(keys)
        for start in range(0, len(wanted), KEYS_PER_QUERY):
            some = [Binary(key) for key in wanted[start : start + KEYS_PER_QUERY]]
            for claim in self._server["ids"].find({"_id": {"$in": some}}):
                found[tuple(claim["owner"])].add(bytes(claim["_id"]))
        return found

    def _has_committed(self, owner: tuple) -> bool:
        """Whether an attempt has committed. Afterwards it is certain: where it has not, it never will.

        Raises WriterFenced where that took away the sequence of the attempt of this object as well.
        """
        partition, sequence, token = owner
        deadline = time.monotonic() + PATIENCE_S
        while (there := self._chunks.token_at(partition, sequence)) is None and time.monotonic() < deadline:
            time.sleep(PAUSE_S)
        if there is None:
            try:
                self._chunks.make_unusable(partition, sequence, there := os.urandom(8).hex())
            except DuplicateKeyError:
                there = self._chunks.token_at(partition, sequence)
            if self._owner is not None and [partition, sequence] == self._owner[:2]:
                raise WriterFenced(f"An event id is claimed for chunk {sequence} of {partition!r} as well; try again.")
        return there == token

    def _take_over(self, keys: set[bytes], lost: Owner) -> set[bytes]:
        """Claim keys of an attempt that can commit no more; returns those that nobody else was faster with."""
        for start in range(0, len(wanted := sorted(keys)), KEYS_PER_QUERY):
            some = {"_id": {"$in": [Binary(key) for key in wanted[start : start + KEYS_PER_QUERY]]}}
            self._server["ids"].update_many(some | {"owner": lost}, {"$set": {"owner": self._owner}})
        return self._owners(keys)[tuple(self._owner or ())]

    def give_back(self) -> None:
        """Delete the claims of an attempt that certainly did not commit, as well as that goes: they are harmless."""
        wanted = sorted(self._claimed)
        try:
            for start in range(0, len(wanted), KEYS_PER_QUERY):
                some = {"_id": {"$in": [Binary(key) for key in wanted[start : start + KEYS_PER_QUERY]]}}
                self._server["ids"].delete_many(some | {"owner": self._owner})
        except PyMongoError:
            logger.warning("The claims of %s stay; who meets them takes them over.", self._owner, exc_info=True)
