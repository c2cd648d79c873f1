"""The merge: the cells of a question from published rows and buffers, or from raw events where no rollup holds them.

Rows and buffers are kept by full hours. An hour that a boundary of the question cuts is taken whole where the first and
the last event of the hub in it show that all its events lie on one side; else its events are folded raw.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from zoneinfo import ZoneInfo

import numpy as np

from aggregations.buckets import DAY, HOUR, MONTH, instant_ms, moment_of
from aggregations.cells import Cells, decode, regroup
from aggregations.columns import Key, Value
from aggregations.measures import INT64_MAX, INT64_MIN, Measure
from aggregations.metrics import measures_for
from aggregations.rollups import HOUR_MS, Rollup, rollup_for, rollup_named
from batch.cover import Hours, cover, joined
from batch.view_store import RowsGone, view_store
from events.models import Hub
from views_layer import raw
from views_layer.merged import MergedRows
from views_layer.period import boundaries, offsets_between
from views_layer.question import PROPERTY, TIME_DIMENSIONS, QueryError, Question
from views_layer.seam import Moment

HUB_ROLLUP = rollup_named("hub")
BOUNDS = [measure for measure in HUB_ROLLUP.measures if measure.name in ("first_at", "last_at")]
GRAINS = {
    None: (MONTH, DAY, HOUR),
    "hour": (HOUR,),
    "day": (DAY, HOUR),
    "week": (DAY, HOUR),
    "month": (MONTH, DAY, HOUR),
}
UNITS_MS = (HOUR_MS, 900_000, 60_000, 1_000)

_NAMED = attrgetter("grain", "start", "version", "reference")
_merged_rows = MergedRows()


@dataclass(frozen=True, slots=True)
class Gathered:
    """The cells of a question: keys `bucket` (index of `bounds`) and the dimensions of `by`.

    `is_provisional`: some events of the range wait for their batch run, so that an audit may still correct them.
    """

    cells: Cells
    measures: list[Measure]
    bounds: list[int]
    is_raw: bool
    used_buffers: bool
    is_provisional: bool


def rollups_for(question: Question) -> list[Rollup]:
    """The rollups whose buffers a question may need: its own, and the hub's for the bounds of hours."""
    own = _holding(question)
    return [HUB_ROLLUP] if own is None or own is HUB_ROLLUP else [own, HUB_ROLLUP]


def gather(hub: Hub, question: Question, moment: Moment) -> Gathered:
    """The merged cells of a question at a moment. Raises RowsGone where the rows were cleaned up meanwhile."""
    assert question.start is not None
    measures = measures_for(list(question.metrics))
    bounds = boundaries(question.start, question.end, question.interval, question.zone)
    rollup = _rollup(question)
    if rollup is not None and not moment.has_rows:
        refuse_until_rebuilt(hub, question.start)
    if rollup is None or not moment.has_rows:
        spans = [(question.start, question.end)]
        part = _raw_part(hub, question, moment, spans, bounds, measures)
        return Gathered(regroup([part], measures), measures, bounds, True, False, False)
    reader = _Reader(hub, question, moment, rollup, measures, bounds)
    return reader.gathered()


def refuse_until_rebuilt(hub: Hub, start: int) -> None:
    """Raises RowsGone where rows are being rebuilt that raw events no longer tell: the answer has to wait for them."""
    if hub.events_since and start < instant_ms(hub.events_since):
        raise RowsGone(f"The view rows of {hub.slug} are being rebuilt; ask again in a minute.")


def _rollup(question: Question) -> Rollup | None:
    """The rollup that answers a question; None where only raw events do."""
    if any(name in TIME_DIMENSIONS for name in question.dimensions) and not _on_full_hours(question):
        return None
    return _holding(question)


def _holding(question: Question) -> Rollup | None:
    """The rollup with all dimensions of a question, in whatever range: an earlier range may lie on full hours alone."""
    if any(name.startswith(PROPERTY) for name in question.dimensions):
        return None
    return rollup_for([name for name in question.dimensions if name not in TIME_DIMENSIONS])


def _on_full_hours(question: Question) -> bool:
    offsets = offsets_between(question.start or 0, question.end, question.zone)
    return all(offset.total_seconds() % 3600 == 0 for offset in offsets)


class _Reader:
    """Reads one question from rows and buffers."""

    def __init__(
        self, hub: Hub, question: Question, moment: Moment, rollup: Rollup, measures: list[Measure], bounds: list[int]
    ) -> None:
        self._hub, self._question, self._moment = hub, question, moment
        self._rollup, self._measures, self._bounds = rollup, measures, bounds
        self._start, self._end = question.start or 0, question.end

    def gathered(self) -> Gathered:
        ranges, cut_hours = self._hours()
        ranges_of_bucket, spans = self._resolved(ranges, cut_hours)
        parts = [self._rows(ranges_of_bucket)]
        buffered = [self._buffer_part(c, ranges_of_bucket) for c in self._moment.cells.get(self._rollup.name, [])]
        parts += buffered
        is_provisional = any(mask is not None and mask.any() for _, _, mask in buffered)
        if spans:
            part = _raw_part(self._hub, self._question, self._moment, spans, self._bounds, self._measures)
            parts.append(part)
        cells = regroup(parts, self._measures)
        return Gathered(cells, self._measures, self._bounds, False, self._moment.has_buffers, is_provisional)

    def _hours(self) -> tuple[list[tuple[int, Hours]], list[int]]:
        """The whole hours of each bucket, and the hours that a boundary cuts."""
        ranges, cut = [], set()
        for bucket, (first, last) in enumerate(zip(self._bounds, self._bounds[1:], strict=False)):
            first, last = max(first, self._start), min(last, self._end)
            ranges.append((bucket, (-(-first // HOUR_MS), last // HOUR_MS)))
            cut |= {at // HOUR_MS for at in (first, last) if at % HOUR_MS}
        return ranges, sorted(cut)

    def _resolved(
        self, ranges: list[tuple[int, Hours]], cut_hours: list[int]
    ) -> tuple[list[tuple[int, Hours]], list[tuple[int, int]]]:
        """Cut hours put whole into the bucket that holds all their events; spans of raw events for the others, joined:
        each is a condition of one question to the engine."""
        if not cut_hours:
            return ranges, []
        ranges, spans = list(ranges), []
        extremes = self._extremes(cut_hours)
        for hour in cut_hours:
            first_at, last_at = extremes.get(hour, (INT64_MAX, INT64_MIN))
            if first_at > last_at:
                continue
            buckets = {self._bucket_at(first_at), self._bucket_at(last_at)}
            if len(buckets) == 1 and (self._start <= first_at) == (self._start <= last_at):
                if (bucket := buckets.pop()) is not None:
                    ranges.append((bucket, (hour, hour + 1)))
            else:
                spans.append((max(hour * HOUR_MS, self._start), min((hour + 1) * HOUR_MS, self._end)))
        return ranges, joined(spans)

    def _bucket_at(self, at: int) -> int | None:
        if not self._start <= at < self._end:
            return None
        return int(np.searchsorted(self._bounds, at, side="right")) - 1

    def _extremes(self, hours: list[int]) -> dict[int, tuple[int, int]]:
        """The first and last occurrence in each hour, of people and robots, in rows and buffers."""
        store, version = view_store(), self._moment.epoch
        ranges = [(hour, hour + 1) for hour in hours]
        addresses = cover(store, self._hub.slug, "hub", ranges, version, self._hub.zone, [HOUR], must_be_sealed=True)
        parts = [decode(payload, HUB_ROLLUP.keys, BOUNDS) for payload in store.fetch(addresses)]
        found: dict[int, tuple[int, int]] = {}
        for cells in [*parts, *self._moment.cells.get("hub", [])]:
            firsts, lasts = cells.columns["first_at"].tolist(), cells.columns["last_at"].tolist()
            for hour, first_at, last_at in zip(cells.keys["hour"].values(), firsts, lasts, strict=True):
                earlier = found.get(hour, (INT64_MAX, INT64_MIN))  # type: ignore[arg-type]
                found[hour] = (min(earlier[0], first_at), max(earlier[1], last_at))  # type: ignore[index]
        return found

    def _rows(self, ranges: list[tuple[int, Hours]]) -> "Part":
        """The merged cells of the published rows; kept, since rows never change."""
        question, hours = self._question, [hours for _, hours in ranges]
        closed_before = instant_ms(self._moment.cut_at) // HOUR_MS if self._moment.cut_at else None
        addresses = cover(
            view_store(),
            self._hub.slug,
            self._rollup.name,
            hours,
            self._moment.epoch,
            self._hub.zone,
            self._grains(),
            closed_before,
            must_be_sealed=True,
        )
        buckets = _buckets_of(np.array([address.start for address in addresses], dtype=np.int64), ranges).tolist()
        key = repr((
            self._hub.slug, self._rollup.name, [*map(_NAMED, addresses)], buckets, question.by, question.filters,
            question.robots, [measure.name for measure in self._measures], str(question.zone),
        ))  # fmt: skip

        def merged() -> Cells:
            payloads = view_store().fetch(addresses)
            parts = []
            for address, bucket, payload in zip(addresses, buckets, payloads, strict=True):
                cells = decode(payload, self._rollup.keys, self._measures)
                moments = np.full(cells.size, address.start * HOUR_MS)
                parts.append(_part(cells, question, np.full(cells.size, bucket), moments))
            return regroup(parts or [_no_part(question, self._measures)], self._measures)

        cells = _merged_rows.get(key, merged)
        return cells, cells.keys, None

    def _grains(self) -> tuple[str, ...]:
        """The grains whose rows lie within one bucket and one value of the time dimensions."""
        question = self._question
        if any(name in TIME_DIMENSIONS for name in question.dimensions):
            return (HOUR,)
        if question.interval and str(question.zone) != str(self._hub.zone):
            return (HOUR,)
        return GRAINS[question.interval]

    def _buffer_part(self, cells: Cells, ranges: list[tuple[int, Hours]]) -> "Part":
        hours = np.array(cells.keys["hour"].vocabulary, dtype=np.int64)
        bucket_of_hour = _buckets_of(hours, ranges)
        codes = cells.keys["hour"].codes
        return _part(cells, self._question, bucket_of_hour[codes], (hours * HOUR_MS)[codes])


def _buckets_of(hours: np.ndarray, ranges: Sequence[tuple[int, Hours]]) -> np.ndarray:
    """The bucket of each hour, -1 for hours in no range. The ranges do not overlap."""
    ordered = sorted((hours, bucket) for bucket, hours in ranges if hours[0] < hours[1])
    if not ordered:
        return np.full(len(hours), -1, dtype=np.int64)
    starts = np.array([first for (first, _), _ in ordered])
    ends = np.array([last for (_, last), _ in ordered])
    place = np.searchsorted(starts, hours, side="right") - 1
    inside = (place >= 0) & (hours < ends[place])
    return np.where(inside, np.array([bucket for _, bucket in ordered])[place], -1)


Part = tuple[Cells, dict[str, Key], np.ndarray | None]


def _raw_part(
    hub: Hub,
    question: Question,
    moment: Moment,
    spans: Sequence[tuple[int, int]],
    bounds: list[int],
    measures: list[Measure],
) -> Part:
    """The cells of raw events in `spans`, which lie in the question's range. Raises QueryError where they were removed."""
    if hub.events_since and spans[0][0] < instant_ms(hub.events_since):
        raise QueryError(
            "not_kept",
            f"This question needs raw events, which {hub.slug} keeps since {hub.events_since:%Y-%m-%dT%H:%MZ}: ask for a"
            " range that begins later, or for full hours of UTC and dimensions that one of /api/metrics has together.",
            "from",
        )
    dimensions = [name for name in question.dimensions if name not in TIME_DIMENSIONS]
    inner = bounds[1:-1]
    needs_time = bool(inner) or any(name in TIME_DIMENSIONS for name in question.dimensions)
    unit = unit_within(inner, question.zone, spans) if needs_time else None
    cells = raw.fold(moment, hub.slug, spans, unit, dimensions, measures)
    units = np.array(cells.keys["unit"].vocabulary, dtype=np.int64)[cells.keys["unit"].codes]
    buckets = (
        np.searchsorted(np.array(bounds), np.maximum(units, bounds[0]), side="right") - 1 if needs_time else units * 0
    )
    return _part(cells, question, buckets, units)


def unit_within(inner: list[int], zone: ZoneInfo, spans: Sequence[tuple[int, int]]) -> int:
    """The longest unit of time that neither a bucket's boundary nor a local hour cuts."""
    offsets = {offset for start, end in spans for offset in offsets_between(start, end, zone)}
    marks = [*inner, *(int(offset.total_seconds()) * 1000 for offset in offsets)]
    return next((unit for unit in UNITS_MS if all(mark % unit == 0 for mark in marks)), 1)


def _part(cells: Cells, question: Question, buckets: np.ndarray, moments: np.ndarray) -> Part:
    """Cells with the keys of a question, masked by its filters. `moments`: a time in the cell's hour, in ms."""
    keys: dict[str, Key] = dict(cells.keys)
    for name in question.dimensions:
        if name in TIME_DIMENSIONS:
            keys[name] = time_key(name, moments, question.zone)
    mask = buckets >= 0
    if question.robots != "include":
        wanted = int(question.robots == "only")
        mask = mask & keys["is_bot"].holding(lambda is_bot: is_bot == wanted)
    for name, values in question.filters.items():
        mask = mask & keys[name].holding(acceptor(name, values))
    bucket = Key.of_integers(buckets)
    return cells, {"bucket": bucket} | {name: keys[name] for name in question.by}, mask


def acceptor(name: str, values: Sequence[str | int | None]) -> Callable[[Value], bool]:
    """Whether a key's value passes a filter; those of properties are compared in their one text."""
    if not name.startswith(PROPERTY):
        return set(values).__contains__
    texts: set[str | None] = set()
    for value in values:
        texts |= {None} if value is None else raw.property_texts(str(value))
    return lambda text: raw.property_text(text) in texts  # type: ignore[arg-type]


def time_key(name: str, moments: np.ndarray, zone: ZoneInfo) -> Key:
    """The values of a time dimension at moments in milliseconds, each a start of `unit_within` at most."""
    times, codes = np.unique(moments, return_inverse=True)
    local = [moment_of(at).astimezone(zone) for at in times.tolist()]
    values = np.array([at.hour if name == "hour_of_day" else at.isoweekday() for at in local], dtype=np.int64)
    return Key.of_integers(values[codes] if len(codes) else values)


def _no_part(question: Question, measures: list[Measure]) -> Part:
    empty = np.zeros(0, dtype=np.int64)
    names = ("bucket", *question.by)
    cells = Cells({}, {measure.name: measure.empty(0) for measure in measures}, 0)
    return cells, {name: Key([], empty) for name in names}, None
