"""The stamper: the order-dependent work of an append. It numbers visitors and visits and finds the visit of an event.

It runs inside the append, which is the only writer at that moment, so that order of arrival is the order of the log.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter

from aggregations.event import Event
from events.log import FREQUENT, LogWriter, VisitSpan
from events.normaliser import Draft, unnamed_visit_key

VISIT_GAP_MS = 30 * 60 * 1000

_last_at = attrgetter("last_at")


class _Visit:
    __slots__ = ("first_at", "key", "last_at", "number", "ordinal")

    def __init__(self, key: bytes, number: int, ordinal: int, first_at: int, last_at: int) -> None:
        self.key = key
        self.number = number
        self.ordinal = ordinal
        self.first_at = first_at
        self.last_at = last_at

    @property
    def order(self) -> tuple[int, int]:
        return self.first_at, self.number


class _Visitor:
    """A visitor: how many visits it has, and those of them that matter for the drafts at hand.

    The outline holds the visits that can be the earliest at some time: in order of (first_at, number), without those
    that end no later than one before them. So its ends rise, and the earliest visit at a time is found by bisection.
    """

    __slots__ = ("count", "number", "outline", "visits")

    def __init__(self, number: int, count: int = 0) -> None:
        self.number = number
        self.count = count
        self.visits: dict[bytes, _Visit] = {}
        self.outline: list[_Visit] = []

    def visit_at(self, at: int) -> _Visit | None:
        """The visit in which `at` lies or within 30 minutes of which it lies; of several the earliest."""
        index = bisect_left(self.outline, at - VISIT_GAP_MS, key=_last_at)
        if index < len(self.outline) and self.outline[index].first_at <= at + VISIT_GAP_MS:
            return self.outline[index]
        return None

    def add(self, visit: _Visit) -> None:
        self.visits[visit.key] = visit
        self._join(visit)

    def stretch(self, visit: _Visit, at: int) -> None:
        """Make a visit long enough to hold `at`."""
        if at > visit.last_at and self.outline[-1] is visit:
            visit.last_at = at
            return
        index = bisect_left(self.outline, visit.last_at, key=_last_at)
        if index < len(self.outline) and self.outline[index] is visit:
            del self.outline[index]
        visit.first_at = min(visit.first_at, at)
        visit.last_at = max(visit.last_at, at)
        self._join(visit)

    def _join(self, visit: _Visit) -> None:
        """Take a visit into the outline in place of those that it hides, unless one hides it."""
        outline, order = self.outline, visit.order
        if not outline or (visit.last_at > outline[-1].last_at and order > outline[-1].order):
            outline.append(visit)
            return
        start = end = bisect_left(outline, visit.last_at, key=_last_at)
        if end < len(outline):
            if outline[end].order < order:
                return
            end += outline[end].last_at == visit.last_at
        while start and outline[start - 1].order > order:
            start -= 1
        outline[start:end] = [visit]


class Stamper:
    """Stamps drafts, with a cache of the numbering that is valid while nobody else has appended.

    The cache holds about `capacity` visits; frequent visitors are in it for one append alone.
    """

    def __init__(self, capacity: int = 500_000) -> None:
        self._capacity = capacity
        self._sequence = -1
        self.clear()

    def clear(self) -> None:
        """Forget everything; an append that failed or another writer's append makes the cache wrong."""
        self._visitors: dict[bytes, _Visitor] = {}
        self._visits = 0
        self._frequent: set[bytes] = set()
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
        """Drop frequent visitors, and where the cache is too large those that have been in it for longest."""
        for key in self._frequent:
            self._drop(key)
        self._frequent.clear()
        if self._visits > self._capacity:
            for key in list(self._visitors):
                self._drop(key)
                if self._visits <= self._capacity // 2:
                    break

    def _drop(self, key: bytes) -> None:
        self._visits -= len(self._visitors.pop(key).visits)

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
        known = [(hub, number) for (hub, _), number in numbers.items()]
        frequent = writer.frequent(known)
        visits = writer.visits([visitor for visitor in known if visitor not in frequent])
        for (hub, key), number in numbers.items():
            if (hub, number) not in frequent:
                spans = visits[hub, number]
                self._know(key, number, spans, len(spans))
        if frequent:
            self._load_frequent(writer, drafts, numbers, frequent)

    def _load_frequent(
        self,
        writer: LogWriter,
        drafts: Sequence[Draft],
        numbers: dict[tuple[str, bytes], int],
        frequent: dict[tuple[str, int], int],
    ) -> None:
        """Read of frequent visitors the visits that the drafts name, and the earliest at the times of the others.

        Those are enough: a visit only grows, so the earliest at a time is the one that was so before this append, or
        one that this append has written.
        """
        named: dict[bytes, set[bytes]] = defaultdict(set)
        windows: dict[bytes, set[tuple[int, int]]] = defaultdict(set)
        for draft in drafts:
            if draft.visit_key is None:
                at = draft.occurred_at
                windows[draft.visitor_key].add((at - VISIT_GAP_MS, at + VISIT_GAP_MS))
            else:
                named[draft.visitor_key].add(draft.visit_key)
        for (hub, key), number in numbers.items():
            if (hub, number) in frequent:
                spans = writer.named_visits(hub, number, sorted(named[key]))
                spans |= writer.first_visits(hub, number, windows[key])
                self._know(key, number, spans, frequent[hub, number])
                self._frequent.add(key)

    def _know(self, key: bytes, number: int, spans: dict[bytes, VisitSpan], count: int) -> None:
        visitor = self._visitors[key] = _Visitor(number, count)
        for name, span in spans.items():
            visitor.add(_Visit(name, span.number, span.ordinal, span.first_at, span.last_at))
        self._visits += len(spans)

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
            visitor.stretch(visit, at)
            touched[visit.key] = (hub, visitor.number, visit)
        return _event(draft, visitor.number, visit)

    def _new_visit(self, draft: Draft, visitor: _Visitor) -> _Visit:
        at = draft.occurred_at
        ordinal = visitor.count = visitor.count + 1
        last = self._last[draft.hub]
        last[1] += 1
        key = draft.visit_key or unnamed_visit_key(draft.visitor_key, at, ordinal)
        visit = _Visit(key, last[1], ordinal, at, at)
        visitor.add(visit)
        self._visits += 1
        if ordinal > FREQUENT:
            self._frequent.add(draft.visitor_key)
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
