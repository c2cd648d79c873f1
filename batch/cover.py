"""Which published rows cover a range of hours: the coarsest that fit wholly, finer ones at the edges."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from aggregations.buckets import DAY, HOUR, MONTH, bucket_of
from batch.view_store import RowAddress, ViewStore

COARSE_FIRST = (MONTH, DAY, HOUR)

NEAR_H = 31 * 24
"""Gaps no farther apart than this are asked for at once: hundreds of scattered hours are few questions to the store."""

Hours = tuple[int, int]
"""A half-open range of hours since 1970."""


def cover(
    store: ViewStore,
    hub: str,
    rollup: str,
    ranges: Sequence[Hours],
    version: int,
    zone: ZoneInfo,
    grains: Sequence[str] = COARSE_FIRST,
    closed_before: int | None = None,
    must_be_sealed: bool = False,
) -> list[RowAddress]:
    """The newest rows up to `version` that together hold every hour of `ranges` once, of the given grains.

    `zone` is the hub's, whose days and months the coarse rows are. A day without a row of its own is covered by its
    hours, so an answer never depends on whether a coarse row has been built yet. That days and months which end by the
    hour `closed_before` have one is only expected: the store is then asked once for all grains, else again for the finer.
    `must_be_sealed`: raises RowsGone where the store does not say after its last row that it holds all of `version`.
    """
    chosen: list[RowAddress] = []
    gaps = joined(ranges)
    asked: dict[str, list[Hours]] = {}
    found: list[RowAddress] = []
    left = [grain for grain in COARSE_FIRST if grain in grains]
    while left:
        if not all(is_within(gap, asked.get(left[0], [])) for gap in gaps):
            asked = _expected(gaps, left, zone, closed_before)
            wanted = [(grain, *hours) for grain, some in asked.items() for hours in some]
            found = store.addresses(hub, rollup, wanted, version, must_be_sealed)
        grain = left.pop(0)
        covered: list[Hours] = []
        for address in found:
            bucket = row_hours(address, zone) if address.grain == grain else None
            if bucket and is_within(bucket, gaps):
                chosen.append(address)
                covered.append(bucket)
        gaps = without(gaps, covered)
    return chosen


def _expected(
    gaps: Sequence[Hours], grains: Sequence[str], zone: ZoneInfo, closed_before: int | None
) -> dict[str, list[Hours]]:
    """For each grain the ranges in which its rows are needed where the closed buckets of coarser grains have theirs."""
    expected = {}
    for grain in grains:
        expected[grain] = near(gaps)
        if grain != HOUR:
            gaps = [edge for gap in gaps for edge in _edges(gap, grain, zone, closed_before)]
    return expected


def _edges(gap: Hours, grain: str, zone: ZoneInfo, closed_before: int | None) -> list[Hours]:
    """What no closed bucket that lies wholly in a gap holds."""
    start, end = gap
    end = end if closed_before is None else min(end, closed_before)
    first, last = bucket_of(grain, start, zone), bucket_of(grain, end, zone)
    if first is None or last is None:
        return [gap]
    inner = (start if first[0] == start else first[1], last[0])
    return without([gap], [inner]) if inner[0] < inner[1] else [gap]


def near(ranges: Iterable[Hours]) -> list[Hours]:
    """Ranges in order, with those that are near each other made one."""
    return [(start + NEAR_H, end) for start, end in joined((start - NEAR_H, end) for start, end in ranges)]


def is_within(bucket: Hours, ranges: Sequence[Hours]) -> bool:
    """True where a bucket lies wholly in one of ordered ranges."""
    at = bisect_right(ranges, bucket[0], key=lambda hours: hours[0]) - 1
    return at >= 0 and bucket[1] <= ranges[at][1]


def row_hours(address: RowAddress, zone: ZoneInfo) -> Hours | None:
    """The hours that a row holds; None for a coarse row that is no bucket of `zone`: one of another zone."""
    hours = address.start, address.end
    return hours if address.grain == HOUR or bucket_of(address.grain, address.start, zone) == hours else None


def joined(ranges: Iterable[Hours]) -> list[Hours]:
    """Ranges in order, with those that touch made one and empty ones left out."""
    result: list[Hours] = []
    for start, end in sorted(r for r in ranges if r[0] < r[1]):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def without(ranges: Sequence[Hours], holes: Iterable[Hours]) -> list[Hours]:
    """What is left of ordered ranges when the holes, each inside a range, are taken out."""
    result, holes = [], sorted(holes)
    at = 0
    for start, end in ranges:
        while at < len(holes) and holes[at][0] < end:
            if holes[at][0] > start:
                result.append((start, holes[at][0]))
            start = holes[at][1]
            at += 1
        if start < end:
            result.append((start, end))
    return result
