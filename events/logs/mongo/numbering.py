"""The numbers of visitors and visits, and the outlines of visitors with many visits.

A visit in an outline has a `reach`, its `last_at`. All visits of visitors that are not frequent have one, so that of one
who becomes frequent only those that are hidden are to be written.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile

from bson import Binary
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from events.log import FREQUENT, VisitSpan, WriterFenced
from events.logs.mongo.server import Document, Server

KEYS_PER_QUERY = 500
UPDATES_AT_ONCE = 1_000
DUPLICATE = 11_000
SPAN = {"k": 1, "number": 1, "ordinal": 1, "first_at": 1, "last_at": 1}

NewVisitor = tuple[str, bytes, int]
SavedVisit = tuple[str, int, bytes, VisitSpan]


class Numbering:
    """What the log knows of visitors and visits: a cache of the chunks."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def visitors(self, keys: Sequence[tuple[str, bytes]]) -> dict[tuple[str, bytes], int]:
        return {
            (found["h"], bytes(found["k"])): found["number"]
            for hub, some in _by_hub(keys)
            for found in self._server["visitors"].find({"h": hub, "k": {"$in": [Binary(key) for key in some]}})
        }

    def last_numbers(self, hubs: Iterable[str]) -> dict[str, tuple[int, int]]:
        return {hub: (self._last("visitors", hub), self._last("visits", hub)) for hub in hubs}

    def _last(self, name: str, hub: str) -> int:
        found = self._server[name].find_one({"h": hub}, {"number": 1}, sort=[("number", -1)])
        return found["number"] if found else 0

    def visits(self, visitors: Sequence[tuple[str, int]]) -> dict[tuple[str, int], dict[bytes, VisitSpan]]:
        spans: dict[tuple[str, int], dict[bytes, VisitSpan]] = {visitor: {} for visitor in visitors}
        for hub, some in _by_hub(visitors):
            for found in self._server["visits"].find({"h": hub, "v": {"$in": some}}, SPAN | {"v": 1}):
                spans[hub, found["v"]][bytes(found["k"])] = _span(found)
        return spans

    def frequent(self, visitors: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Also mends the outlines that a writer has left half written."""
        counts = {}
        for visitor, found in self._frequent(visitors).items():
            counts[visitor] = self._rebuild(*visitor, found) if found["writer"] else found["visits"]
        return counts

    def _frequent(self, visitors: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Document]:
        return {
            (found["h"], found["v"]): found
            for hub, some in _by_hub(list(visitors))
            for found in self._server["frequent"].find({"h": hub, "v": {"$in": some}})
        }

    def named_visits(self, hub: str, visitor: int, keys: Sequence[bytes]) -> dict[bytes, VisitSpan]:
        spans = {}
        for start in range(0, len(keys), KEYS_PER_QUERY):
            some = [Binary(key) for key in keys[start : start + KEYS_PER_QUERY]]
            for found in self._server["visits"].find({"h": hub, "v": visitor, "k": {"$in": some}}, SPAN):
                spans[bytes(found["k"])] = _span(found)
        return spans

    def first_visits(self, hub: str, visitor: int, windows: Iterable[tuple[int, int]]) -> dict[bytes, VisitSpan]:
        spans = {}
        key, span = b"", None
        for start, end in sorted(windows):
            if span is None or span.last_at < start:
                found = self._outlined(hub, visitor, {"$gte": start}, 1)
                if not found:
                    break
                key, span = bytes(found[0]["k"]), _span(found[0])
            if span.first_at <= end:
                spans[key] = span
        return spans

    def _outlined(self, hub: str, visitor: int, reach: Document, order: int, limit: int = 1) -> list[Document]:
        """The first visits of an outline with such a reach, in order of it."""
        found = self._server["visits"].find({"h": hub, "v": visitor, "reach": reach}, SPAN)
        return list(found.sort("reach", order).limit(limit))

    def save(self, visitors: Sequence[NewVisitor], visits: Sequence[SavedVisit]) -> None:
        """Write new visitors, and new or longer visits. Raises WriterFenced where a number or an ordinal is given already."""
        self._insert("visitors", [{"h": hub, "k": Binary(key), "number": number} for hub, key, number in visitors])
        if not visits:
            return
        frequent = self._frequent({(hub, visitor) for hub, visitor, _, _ in visits})
        for found in frequent.values():
            self._begin(found)
        self._save_visits(visits)
        self._mind_frequent(visits, frequent)

    def _save_visits(self, visits: Sequence[SavedVisit]) -> None:
        last = {hub: self._last("visits", hub) for hub in {hub for hub, _, _, _ in visits}}
        self._insert(
            "visits",
            [
                {
                    "h": hub,
                    "v": visitor,
                    "k": Binary(key),
                    "number": span.number,
                    "ordinal": span.ordinal,
                    "first_at": span.first_at,
                    "last_at": span.last_at,
                    "reach": span.last_at,
                }
                for hub, visitor, key, span in visits
                if span.number > last[hub]
            ],
        )
        longer = [
            UpdateOne(
                {"h": hub, "v": visitor, "k": Binary(key), "number": span.number},
                {"$min": {"first_at": span.first_at}, "$max": {"last_at": span.last_at, "reach": span.last_at}},
            )
            for hub, visitor, key, span in visits
            if span.number <= last[hub]
        ]
        if self._update(longer) < len(longer):
            raise WriterFenced("Another writer has numbered these visits meanwhile; nothing was written, try again.")

    def _update(self, changes: list[UpdateOne]) -> int:
        """Change visits; returns how many were found."""
        return sum(
            self._server["visits"].bulk_write(changes[start : start + UPDATES_AT_ONCE], ordered=False).matched_count
            for start in range(0, len(changes), UPDATES_AT_ONCE)
        )

    def _insert(self, name: str, documents: list[Document]) -> None:
        if not documents:
            return
        try:
            self._server[name].insert_many(documents)
        except BulkWriteError as error:
            if all(problem["code"] == DUPLICATE for problem in error.details["writeErrors"]):
                raise WriterFenced("Another writer gave a number first; nothing was written, try again.") from error
            raise

    def _begin(self, found: Document) -> None:
        """Say that an outline is being written: if the end is never said, it is made anew. Raises WriterFenced."""
        of_it = {"h": found["h"], "v": found["v"], "revision": found["revision"]}
        was_half_written = bool(found["writer"])
        found["writer"], found["revision"] = os.urandom(8).hex(), found["revision"] + 1
        mark = {"writer": found["writer"], "revision": found["revision"]}
        if not self._server["frequent"].update_one(of_it, {"$set": mark}).matched_count:
            raise WriterFenced("Another writer numbers the same visitor; nothing was written, try again.")
        found["is_half_written"] = was_half_written

    def _end(self, found: Document, visits: int) -> None:
        """Say that an outline is whole. Raises WriterFenced where another wrote it meanwhile; it is then made anew."""
        of_it = {"h": found["h"], "v": found["v"]}
        done = {"$set": {"writer": None, "visits": visits}}
        if not self._server["frequent"].update_one(of_it | {"revision": found["revision"]}, done).matched_count:
            self._server["frequent"].update_one(of_it, {"$set": {"writer": found["writer"]}, "$inc": {"revision": 1}})
            raise WriterFenced("Another writer numbers the same visitor; nothing was written, try again.")

    def _mind_frequent(self, visits: Sequence[SavedVisit], frequent: dict[tuple[str, int], Document]) -> None:
        """Keep the outlines of those who are frequent, or become so by these visits, which are written already."""
        saved: dict[tuple[str, int], list[tuple[bytes, VisitSpan]]] = defaultdict(list)
        for hub, visitor, key, span in visits:
            saved[hub, visitor].append((key, span))
        for (hub, visitor), some in saved.items():
            found = frequent.get((hub, visitor))
            most = max(span.ordinal for _, span in some)
            if found is None and most > FREQUENT:
                found = {"h": hub, "v": visitor, "visits": 0, "revision": 1, "writer": os.urandom(8).hex()}
                self._insert("frequent", [found])
                self._rebuild(hub, visitor, found)
            elif found is not None and found["is_half_written"]:
                self._rebuild(hub, visitor, found)
            elif found is not None:
                self._unset({"h": hub, "v": visitor, "k": {"$in": [Binary(key) for key, _ in some]}})
                for key, span in some:
                    self._outline(hub, visitor, key, span)
                self._end(found, max(most, found["visits"]))

    def _outline(self, hub: str, visitor: int, key: bytes, span: VisitSpan) -> None:
        """Take a visit into its visitor's outline, in place of those that it hides, unless one hides it.

        A visit hides those after it, by (first_at, number), that end no later. Visits only grow, so what is hidden
        stays hidden until it grows itself: each visit leaves the outline at most once for each time it is written.
        """
        order = (span.first_at, span.number)
        after = self._outlined(hub, visitor, {"$gte": span.last_at}, 1)
        if after and _order(after[0]) < order:
            return
        hidden = None
        while hidden is None or len(hidden) == KEYS_PER_QUERY:
            before = self._outlined(hub, visitor, {"$lte": span.last_at}, -1, KEYS_PER_QUERY)
            hidden = list(takewhile(lambda found: _order(found) > order, before))
            if hidden:
                self._unset({"h": hub, "v": visitor, "k": {"$in": [found["k"] for found in hidden]}})
        self._server["visits"].update_one({"h": hub, "v": visitor, "k": Binary(key)}, {"$set": {"reach": span.last_at}})

    def _unset(self, visits: Document) -> None:
        self._server["visits"].update_many(visits, {"$unset": {"reach": ""}})

    def _rebuild(self, hub: str, visitor: int, found: Document) -> int:
        """Make an outline from all visits; returns their number."""
        visits = list(self._server["visits"].find({"h": hub, "v": visitor}, SPAN | {"reach": 1}))
        changes, farthest = [], None
        for visit in sorted(visits, key=_order):
            reach = visit["last_at"] if farthest is None or visit["last_at"] > farthest else None
            farthest = visit["last_at"] if reach is not None else farthest
            if visit.get("reach") != reach:
                change = {"$unset": {"reach": ""}} if reach is None else {"$set": {"reach": reach}}
                changes.append(UpdateOne({"_id": visit["_id"]}, change))
        self._update(changes)
        count = max(visit["ordinal"] for visit in visits)
        self._end(found, count)
        return count

    def forget(self, hub: str, visitors: Iterable[int]) -> None:
        for visitor in visitors:
            self._server["visitors"].update_one({"h": hub, "number": visitor}, {"$set": {"k": _random_key()}})
            changes = [
                UpdateOne(
                    {"_id": found["_id"]},
                    {"$set": {"k": _random_key(), "first_at": 0, "last_at": 0}, "$unset": {"reach": ""}},
                )
                for found in self._server["visits"].find({"h": hub, "v": visitor}, {"_id": 1})
            ]
            self._update(changes)


def _by_hub(keys: Sequence[tuple]) -> Iterable[tuple[str, list]]:
    """The second parts of pairs by their first, in lists of bounded length."""
    by_hub: dict[str, list] = defaultdict(list)
    for hub, key in keys:
        by_hub[hub].append(key)
    for hub, values in by_hub.items():
        for start in range(0, len(values), KEYS_PER_QUERY):
            yield hub, values[start : start + KEYS_PER_QUERY]


def _span(found: Document) -> VisitSpan:
    return VisitSpan(found["number"], found["ordinal"], found["first_at"], found["last_at"])


def _order(found: Document) -> tuple[int, int]:
    return found["first_at"], found["number"]


def _random_key() -> Binary:
    return Binary(os.urandom(16))
