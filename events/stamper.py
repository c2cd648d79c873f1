"""The stamper: the order-dependent work of an append. It numbers visitors and visits and finds the visit of an event.

It runs inside the append, which is the only writer at that moment, so that order of arrival is the order of the log.
"""

from collections.abc import Sequence

from aggregations.event import Event
from events.log import LogWriter, VisitSpan
from events.normaliser import Draft, unnamed_visit_key

VISIT_GAP_MS = 30 * 60 * 1000


class _Visit:
    __slots__ = ("first_at", "key", "last_at", "number", "ordinal")

    def __init__(self, key: bytes, number: int, ordinal: int, first_at: int, last_at: int) -> None:
        self.key = key
        self.number = number
        self.ordinal = ordinal
        self.first_at = first_at
        self.last_at = last_at


class _Visitor:
    __slots__ = ("number", "visits")

    def __init__(self, number: int) -> None:
        self.number = number
        self.visits: dict[bytes, _Visit] = {}

    def visit_at(self, at: int) -> _Visit | None:
        """The visit in which `at` lies or within 30 minutes of which it lies; of several the earliest."""
        found = None
        for visit in self.visits.values():
            if visit.first_at - VISIT_GAP_MS <= at <= visit.last_at + VISIT_GAP_MS and (
                found is None or (visit.first_at, visit.number) < (found.first_at, found.number)
            ):
                found = visit
        return found


class Stamper:
    """Stamps drafts, with a cache of the numbering that is valid while nobody else has appended."""

    def __init__(self, capacity: int = 500_000) -> None:
        self._capacity = capacity
        self._sequence = -1
        self.clear()

    def clear(self) -> None:
        """Forget everything; an append that failed or another writer's append makes the cache wrong."""
        self._visitors: dict[bytes, _Visitor] = {}
        self._last: dict[str, list[int]] = {}

    def stamp(self, writer: LogWriter, drafts: Sequence[Draft]) -> list[Event]:
        """The events of the drafts, in their order. Saves new numbers; the caller appends in the same write."""
        if not writer.is_current(self._sequence):
            self.clear()
        self._trim()
        self._load(writer, drafts)
        new_visitors: list[tuple[str, bytes, int]] = []
        touched: dict[bytes, tuple[str, int, _Visit]] = {}
        events = [self._event(draft, new_visitors, touched) for draft in drafts]
        writer.save_numbering(
            new_visitors,
            [
                (hub, visitor, visit.key, VisitSpan(visit.number, visit.ordinal, visit.first_at, visit.last_at))
                for hub, visitor, visit in touched.values()
            ],
        )
        return events

    def committed(self, sequence: int) -> None:
        """The append of the last `stamp` is on disk and has this sequence."""
        self._sequence = sequence

    def _trim(self) -> None:
        """Drop the half of the visitors that has been in the cache for longest, where there are too many."""
        if len(self._visitors) > self._capacity:
            keys = list(self._visitors)
            for key in keys[: len(keys) // 2]:
                del self._visitors[key]

    def _load(self, writer: LogWriter, drafts: Sequence[Draft]) -> None:
        """Read the visitors of the drafts that are not in the cache, their visits, and the hubs' last numbers."""
        hubs = {draft.hub for draft in drafts} - self._last.keys()
        if hubs:
            self._last |= {hub: list(numbers) for hub, numbers in writer.last_numbers(sorted(hubs)).items()}
        missing = {
            draft.visitor_key: (draft.hub, draft.visitor_key)
            for draft in drafts
            if draft.visitor_key not in self._visitors
        }
        if not missing:
            return
        numbers = writer.visitors(list(missing.values()))
        visits = writer.visits([(hub, number) for (hub, _), number in numbers.items()])
        for (hub, key), number in numbers.items():
            visitor = self._visitors[key] = _Visitor(number)
            for visit_key, span in visits[hub, number].items():
                visitor.visits[visit_key] = _Visit(visit_key, span.number, span.ordinal, span.first_at, span.last_at)

    def _event(
        self,
        draft: Draft,
        new_visitors: list[tuple[str, bytes, int]],
        touched: dict[bytes, tuple[str, int, _Visit]],
    ) -> Event:
        hub = draft.hub
        visitor = self._visitors.get(draft.visitor_key)
        if visitor is None:
            last = self._last[hub]
            last[0] += 1
            visitor = self._visitors[draft.visitor_key] = _Visitor(last[0])
            new_visitors.append((hub, draft.visitor_key, last[0]))
        at = draft.occurred_at
        key = draft.visit_key
        visit = visitor.visit_at(at) if key is None else visitor.visits.get(key)
        if visit is None:
            visit = self._new_visit(draft, visitor)
            touched[visit.key] = (hub, visitor.number, visit)
        elif at < visit.first_at or at > visit.last_at:
            visit.first_at = min(visit.first_at, at)
            visit.last_at = max(visit.last_at, at)
            touched[visit.key] = (hub, visitor.number, visit)
        return _event(draft, visitor.number, visit)

    def _new_visit(self, draft: Draft, visitor: _Visitor) -> _Visit:
        at = draft.occurred_at
        ordinal = len(visitor.visits) + 1
        last = self._last[draft.hub]
        last[1] += 1
        key = draft.visit_key or unnamed_visit_key(draft.visitor_key, at, ordinal)
        visit = visitor.visits[key] = _Visit(key, last[1], ordinal, at, at)
        return visit


def _event(draft: Draft, visitor: int, visit: _Visit) -> Event:
    """The event, by position: this is the hottest line of the collector."""
    sent = draft.sent
    return Event(
        draft.hub,
        draft.id,
        draft.action,
        draft.occurred_at,
        draft.received_at,
        visitor,
        visit.number,
        sent.visit_number or visit.ordinal,
        draft.is_bot,
        draft.is_clamped,
        sent.duration_ms or 0,
        sent.media or None,
        sent.media_kind or None,
        sent.title or None,
        sent.pages,
        sent.page,
        sent.network or None,
        sent.share or None,
        sent.via or None,
        sent.target or None,
        sent.previous or None,
        sent.referrer or None,
        draft.source,
        sent.intermediary or None,
        draft.device,
        draft.browser,
        draft.os,
        draft.country,
        draft.language,
        draft.properties,
        draft.visitor_key,
        visit.key,
    )
