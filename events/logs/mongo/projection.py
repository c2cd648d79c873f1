"""What SQL keeps of the chunks: the inbox of rejected events, their counts, and the accounts. Each chunk counts there once."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from django.db import DatabaseError
from pymongo.errors import PyMongoError

from events.log import Account, LogBusy, LogWriter, Rejection
from events.logs.mongo.chunks import Chunks, between
from events.logs.mongo.server import Document, Server
from events.logs.orm import OrmEventLog
from events.models import Projection as Mark

logger = logging.getLogger(__name__)

CHUNKS_AT_ONCE = 500
FOLLOW_S = 1.0
"""How long accounts may wait in this process for the next append; who asks for them has them taken over first."""
SAID = ("sequence", "accounts", "rejections")

HubAccount = tuple[str, int, Account]
"""A hub, an hour since 1970, and what became of its events."""


class Projection:
    """Takes what chunks say into the SQL tables, under marks of how far that is done."""

    def __init__(self, server: Server, chunks: Chunks) -> None:
        self._server, self._chunks = server, chunks
        self._sql = OrmEventLog()
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[list[Document], float]] = {}

    def write(self, rejections: Sequence[Rejection], accounts: Sequence[HubAccount]) -> None:
        """Write what belongs to no chunk. Raises LogBusy."""
        if rejections or accounts:
            with self._sql.writer() as sql:
                _write(sql, rejections, accounts)

    def follow(self, partition: str, written: Sequence[Document]) -> None:
        """Take over chunks that have just been committed: at once where they reject events, else once in a while.

        Where that fails they are taken over later, since they are committed whatever becomes of this.
        """
        said = [{name: one[name] for name in SAID if name in one} | {"_id": one["_id"]} for one in written]
        with self._lock:
            waiting, followed_at = self._waiting.get(partition, ([], 0.0))
            waiting = [*waiting, *said]
            is_due = any("rejections" in one for one in said) or time.monotonic() - followed_at > FOLLOW_S
            self._waiting[partition] = ([], time.monotonic()) if is_due else (waiting, followed_at)
        if not is_due:
            return
        try:
            with self._sql.writer() as sql:
                done = _value(partition)
                is_next = [one["sequence"] - done for one in waiting] == list(range(1, len(waiting) + 1))
                if is_next:
                    self._take(sql, partition, waiting)
            if is_next:
                self._strip(waiting)
            else:
                self.catch_up(partition)
        except (LogBusy, DatabaseError, PyMongoError) as error:
            logger.warning("Rejections and accounts of chunk %s wait to be taken over: %s", written[0]["_id"], error)

    def catch_up(self, partition: str) -> None:
        """Take over all chunks of a partition that are not yet. Raises LogBusy, PyMongoError."""
        last, _ = self._chunks.look(partition)
        while (done := _value(partition)) < last:
            self._strip(self._said(partition, done - 1, done))
            found = self._said(partition, done, min(last, done + CHUNKS_AT_ONCE))
            with self._sql.writer() as sql:
                if is_next := _value(partition) == done:
                    self._take(sql, partition, found)
            if is_next:
                self._strip(found)

    def _said(self, partition: str, after: int, last: int) -> list[Document]:
        return list(self._server["chunks"].find(between(partition, after, last), dict.fromkeys(SAID, 1)).sort("_id", 1))

    def _take(self, sql: LogWriter, partition: str, found: Sequence[Document]) -> None:
        for one in found:
            _write(sql, map(_rejection, one.get("rejections", ())), map(_account, one["accounts"]))
        Mark.objects.update_or_create(name=partition, defaults={"value": found[-1]["sequence"]})

    def _strip(self, found: Iterable[Document]) -> None:
        """Take payloads of rejected events, which the inbox has now, out of chunks: they may have to be erased."""
        ids = [one["_id"] for one in found if one.get("rejections")]
        if ids:
            self._server["chunks"].update_many({"_id": {"$in": ids}}, {"$unset": {"rejections": ""}})

    def take_removed(self, identity: str) -> None:
        """Take over what was removed from a chunk. Raises LogBusy, PyMongoError."""
        found = self._server["chunks"].find_one(
            {"_id": identity}, {"hour": 1, "version": 1, "event_count": 1, "pending": 1}
        )
        if found is None or not found["pending"]:
            return
        with self._sql.writer() as sql:
            done = _value(identity)
            for one in found["pending"]:
                if one["version"] > done:
                    sql.account(one["hub"], found["hour"], Account(removed=one["count"]))
            Mark.objects.update_or_create(name=identity, defaults={"value": max(done, found["version"])})
        taken = {"_id": identity, "version": found["version"]}
        self._server["chunks"].update_one(taken, {"$set": {"pending": [], "stored": found["event_count"]}})

    def accounts(self, start: int, end: int) -> dict[int, Account]:
        """The accounts of hours, read again until SQL said the same before and after the chunks were counted."""
        for partition in self._chunks.head():
            self.catch_up(partition)
        while True:
            marks, before = _marks(self._chunks.head()), self._sql.accounts(start, end)
            stored = self._stored(marks, start, end)
            if (_marks(marks), self._sql.accounts(start, end)) == (marks, before):
                break
        return {
            hour: Account(
                **{name: getattr(before.get(hour, Account()), name) for name in COUNTED}, stored=stored.get(hour, 0)
            )
            for hour in sorted(before.keys() | stored.keys())
        }

    def _stored(self, marks: dict[str, int], start: int, end: int) -> Counter[int]:
        """By hour the events in chunks that are taken over, and those removed from them of which SQL does not know."""
        stored: Counter[int] = Counter()
        sums = {"_id": "$hour", "stored": {"$sum": "$stored"}}
        for partition, mark in marks.items():
            of_it = between(partition, 0, mark) | {"hour": {"$gte": start, "$lt": end}}
            for found in self._server["chunks"].aggregate([{"$match": of_it}, {"$group": sums}]):
                stored[found["_id"]] += found["stored"]
        return stored


COUNTED = ("received", "accepted", "duplicates", "rejected", "removed")


def said(rejections: Sequence[Rejection], accounts: Sequence[HubAccount]) -> Document:
    """What a chunk says of rejections and accounts."""
    found: Document = {
        "accounts": [
            {"hub": hub, "hour": hour} | {name: getattr(account, name) for name in COUNTED}
            for hub, hour, account in accounts
        ]
    }
    if rejections:
        found["rejections"] = [asdict(one) for one in rejections]
    return found


def _rejection(said: Document) -> Rejection:
    return Rejection(**said)


def _account(said: Document) -> HubAccount:
    return said["hub"], said["hour"], Account(**{name: said[name] for name in COUNTED})


def _write(sql: LogWriter, rejections: Iterable[Rejection], accounts: Iterable[HubAccount]) -> None:
    if some := list(rejections):
        sql.reject(some)
    for hub, hour, account in accounts:
        sql.account(hub, hour, account)


def _value(name: str) -> int:
    return Mark.objects.filter(name=name).values_list("value", flat=True).first() or 0


def _marks(names: Iterable[str]) -> dict[str, int]:
    return dict(Mark.objects.filter(name__in=list(names)).values_list("name", "value"))
