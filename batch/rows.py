"""View rows from cells: hours as they are, days and months of the hub's zone by merging hours."""

from collections.abc import Iterable, Iterator, Sequence
from zoneinfo import ZoneInfo

import numpy as np

from aggregations.buckets import DAY, HOUR, MONTH, bucket_of, buckets_of
from aggregations.cells import Cells, DamagedCells, decode, encode, encode_slices, merge, nothing, regroup
from aggregations.columns import Key
from aggregations.rollups import HOUR_MS, Rollup, rollup_named
from batch.cover import Hours, cover, without
from batch.view_store import RowAddress, RowsGone, ViewRow, ViewStore

HUB = rollup_named("hub")
WRITTEN = {DAY: (HOUR,), MONTH: (DAY, HOUR)}
"""The grains that a coarse row is merged from, coarsest first."""


class RowWriter:
    """Makes the rows of one hub for one version. Rows are read at `version - 1`, so that a repeat writes the same."""

    def __init__(self, store: ViewStore, hub: str, zone: ZoneInfo, version: int, closed_before: int) -> None:
        self._store, self._hub, self._zone = store, hub, zone
        self._version, self._closed_before = version, closed_before

    def merged_with_published(self, rollup: Rollup, delta: Cells) -> Cells:
        """The hours of `delta`, whole: merged with what is published of them."""
        ranges = [(hour, hour + 1) for hour in hours_of(delta)]
        parts = self._read(
            rollup, cover(self._store, self._hub, rollup.name, ranges, self._version - 1, self._zone, [HOUR])
        )
        return merge([delta, *parts], rollup.measures)

    def hours_as_published(self, rollup: Rollup, hours: Iterable[int], delta: Cells | None) -> dict[int, bytes]:
        """What an hourly run would publish of hours, with the epoch's `delta`; a damaged row as it is."""
        ranges = [(hour, hour + 1) for hour in hours]
        addresses = cover(self._store, self._hub, rollup.name, ranges, self._version - 1, self._zone, [HOUR])
        starts = [address.start for address in addresses]
        published = dict(zip(starts, self._store.fetch(addresses), strict=True))
        if delta is None:
            return published
        parts, damaged = [delta], {}
        for hour in published.keys() & set(hours_of(delta)):
            try:
                parts.append(decode(published[hour], rollup.keys, rollup.measures))
            except DamagedCells:
                damaged[hour] = published[hour]
        merged = self._split(rollup, HOUR, merge(parts, rollup.measures))
        return published | {row.start: row.payload for row in merged} | damaged

    def rows(
        self, rollup: Rollup, current: Cells, also: Iterable[int] = (), emptied: Sequence[int] = ()
    ) -> Iterator[ViewRow]:
        """The rows of whole hours, and of every closed day and month that holds one of them, or an hour of `also`.

        Of `emptied` hours nothing is left: their rows say so, and those of days and months that nothing is left of.
        """
        yield from self._split(rollup, HOUR, current)
        yield from self._empty(rollup, HOUR, [(hour, hour + 1) for hour in emptied])
        hours = sorted([*hours_of(current), *emptied])
        held = [(hour, hour + 1) for hour in hours]
        for grain in (DAY, MONTH):
            buckets = [b for b in buckets_of(grain, [*hours, *also], self._zone) if b[1] <= self._closed_before]
            coarse = self._coarse(rollup, grain, buckets, current, held)
            yield from self._split(rollup, grain, coarse)
            lost = set(buckets_of(grain, emptied, self._zone)) & set(buckets)
            yield from self._empty(rollup, grain, [b for b in sorted(lost) if b[0] not in hours_of(coarse)])
            if grain == DAY and all(bucket_of(DAY, hour, self._zone) for hour in hours):
                # A closed month is made of closed days, which are fewer cells than its hours.
                current, held = coarse, buckets

    def _coarse(
        self, rollup: Rollup, grain: str, buckets: Sequence[Hours], current: Cells, held: Sequence[Hours]
    ) -> Cells:
        wanted = set(buckets)
        parts = [current]
        missing = without(buckets, [h for h in held if bucket_of(grain, h[0], self._zone) in wanted])
        parts += self._read(
            rollup,
            cover(
                self._store,
                self._hub,
                rollup.name,
                missing,
                self._version - 1,
                self._zone,
                WRITTEN[grain],
                self._closed_before,
            ),
        )
        regrouped = []
        for part in parts:
            starts = [bucket_of(grain, hour, self._zone) for hour in hours_of(part)]
            codes = part.keys["hour"].codes
            mask = np.array([bucket in wanted for bucket in starts], dtype=bool)[codes]
            key = Key.of_integers(np.array([bucket[0] if bucket else -1 for bucket in starts], dtype=np.int64)[codes])
            regrouped.append((part, part.keys | {"hour": key}, mask))
        return regroup(regrouped, rollup.measures)

    def _split(self, rollup: Rollup, grain: str, cells: Cells) -> Iterator[ViewRow]:
        payloads = encode_slices(cells, cells.keys["hour"].edges(), rollup.measures)
        for start, payload in zip(hours_of(cells), payloads, strict=True):
            bucket = (start, start + 1) if grain == HOUR else bucket_of(grain, start, self._zone)
            assert bucket is not None
            yield ViewRow(self._hub, rollup.name, grain, *bucket, payload)

    def _empty(self, rollup: Rollup, grain: str, buckets: Sequence[Hours]) -> Iterator[ViewRow]:
        payload = encode(nothing(rollup), rollup.measures)
        for start, end in buckets:
            yield ViewRow(self._hub, rollup.name, grain, start, end, payload)

    def _read(self, rollup: Rollup, addresses: Sequence[RowAddress]) -> list[Cells]:
        payloads = self._store.fetch(addresses)
        return [decode(payload, rollup.keys, rollup.measures) for payload in payloads]


def hours_of(cells: Cells) -> list[int]:
    """The hours that cells with the key `hour` hold, in order."""
    return [hour for hour in cells.keys["hour"].vocabulary if isinstance(hour, int)]


def first_event_at(store: ViewStore, hub: str, version: int) -> int | None:
    """When the first event of a hub that readers of a version know occurred, in milliseconds; None where there is none."""
    start = store.first_start(hub, HUB.name, version)
    while start is not None:
        addresses = store.addresses(hub, HUB.name, [(HOUR, start, start + 1)], version)
        if not addresses:
            raise RowsGone(f"The first row of {hub} was cleaned up; read again from the published epoch.")
        (payload,) = store.fetch(addresses)
        try:
            found = decode(payload, HUB.keys, HUB.measures)
        except DamagedCells:
            return start * HOUR_MS
        if found.size:
            return int(found.columns["first_at"].min())
        start = store.first_start(hub, HUB.name, version, start + 1)
    return None
