"""Restatements: closed numbers that changed, for customers to see."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
from django.db import transaction
from django.utils import timezone

from aggregations.buckets import DAY, HOUR, instant_ms, midnight, moment_of
from aggregations.cells import Cells, DamagedCells, decode, regroup
from aggregations.columns import Key
from aggregations.metrics import METRICS, present_row, zero
from aggregations.rollups import HOUR_MS, rollup_named
from batch import archive, kept, ledger
from batch.cover import cover
from batch.engine import Engine, Span
from batch.models import Restatement
from batch.rows import first_event_at
from batch.view_store import ViewStore

HUB = rollup_named("hub")
DAYS_AT_ONCE = 100
"""Days whose cut hours are folded by one statement."""

Day = Span
"""A local day, [start, end) in milliseconds."""
Figures = dict[str, int | float | None]


def changes(
    store: ViewStore,
    engine: Engine,
    hub: str,
    zone: ZoneInfo,
    version: int,
    hours: Iterable[int],
    reason: str,
    known: range,
) -> list[Restatement]:
    """What `version`, which wrote `hours` of a hub, tells otherwise than the version before about its closed local days.

    `known` is from the first raw event that the hub keeps to the last cut, in milliseconds. Only for days that had ended
    by that cut and in which the hub was there already: the numbers of a day that closes, or of a history that is
    imported, were not closed before. Days off the full hour need raw events.
    """
    closed = [day for day in local_days(hours, zone) if day[1] <= known.stop]
    first_at = first_event_at(store, hub, version - 1) if closed else None
    if first_at is None:
        return []
    days = [day for day in closed if first_at < day[1] and (day[0] >= known.start or not day[0] % HOUR_MS)]
    found: list[Restatement] = []
    for number in range(0, len(days), DAYS_AT_ONCE):
        some = days[number : number + DAYS_AT_ONCE]
        old, new = (_told(store, engine, hub, zone, told, some) for told in (version - 1, version))
        for day, before, after in zip(some, old, new, strict=True):
            found += _differences(hub, day, before, after, reason, version)
    return found


def enter(version: int, changed: Sequence[Restatement]) -> None:
    """Enter changes. Idempotent for a version; raises Fenced where it is published: old rows may be gone by then."""
    with transaction.atomic():
        ledger.refuse_published(version)
        Restatement.objects.bulk_create(changed, ignore_conflicts=True)


def local_days(hours: Iterable[int], zone: ZoneInfo) -> list[Day]:
    """The days of a zone that hold some of the hours, or a part of one."""
    edges = {at for hour in hours for at in (hour * HOUR_MS, (hour + 1) * HOUR_MS - 1)}
    dates = {moment_of(at).astimezone(zone).date() for at in edges}
    return [
        (instant_ms(midnight(date, zone)), instant_ms(midnight(date + timedelta(days=1), zone)))
        for date in sorted(dates)
    ]


def _told(
    store: ViewStore, engine: Engine, hub: str, zone: ZoneInfo, version: int, days: Sequence[Day]
) -> Iterator[Figures]:
    """What readers of a version are told about days of a hub: whole hours by rows, or where one is damaged by events."""
    heads = [(start, _next_hour(start)) for start, _ in days]
    tails = [(end - end % HOUR_MS, end) for _, end in days]
    cut = [_folded(engine, hub, version, spans) for spans in (heads, tails)]
    for day, *edges in zip(days, heads, tails, strict=True):
        hours = (_next_hour(day[0]) // HOUR_MS, day[1] // HOUR_MS)
        rows = store.fetch(cover(store, hub, HUB.name, [hours], version, zone, [DAY, HOUR]))
        try:
            parts = [decode(payload, HUB.keys, HUB.measures) for payload in rows]
        except DamagedCells:
            parts = list(_folded(engine, hub, version, [(hours[0] * HOUR_MS, hours[1] * HOUR_MS)]).values())
            parts += kept.parts(hub, HUB, [hours], version)
        parts += [
            found[edge[0] // HOUR_MS] for found, edge in zip(cut, edges, strict=True) if edge[0] // HOUR_MS in found
        ]
        yield _people(parts)


def _next_hour(at: int) -> int:
    """The full hour at or after a time."""
    return -(-at // HOUR_MS) * HOUR_MS


def _folded(engine: Engine, hub: str, version: int, spans: Sequence[Span]) -> dict[int, Cells]:
    """The raw events of spans by hour."""
    spans = [span for span in spans if span[0] < span[1]]
    if not spans:
        return {}
    files = archive.visible(version, hub, min(spans)[0], max(spans)[1])
    with engine.window(archive.paths(files), spans) as window:
        ((_, by_hub),) = window.folds([HUB])
    cells = by_hub.get(hub)
    if cells is None:
        return {}
    hours = cells.keys["hour"]
    edges = hours.edges().tolist()
    return {
        hour: cells.slice(edges[place], edges[place + 1], HUB.measures)  # type: ignore[misc]
        for place, hour in enumerate(hours.vocabulary)
    }


def _differences(hub: str, day: Day, old: Figures, new: Figures, reason: str, version: int) -> Iterator[Restatement]:
    for metric in METRICS:
        if old[metric] != new[metric]:
            yield Restatement(
                hub=hub,
                metric=metric,
                day_start=moment_of(day[0]),
                day_end=moment_of(day[1]),
                old=old[metric],
                new=new[metric],
                reason=reason,
                restated_at=timezone.now(),
                epoch=version,
            )


def _people(parts: list[Cells]) -> Figures:
    """The metrics of all cells together, without robots."""
    kept: list[tuple[Cells, dict[str, Key], np.ndarray]] = [
        (cells, {}, cells.keys["is_bot"].holding(lambda is_bot: not is_bot)) for cells in parts
    ]
    whole = regroup(kept, HUB.measures) if kept else None
    return present_row(whole, 0) if whole and whole.size else {metric: zero(metric) for metric in METRICS}
