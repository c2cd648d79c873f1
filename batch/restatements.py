"""Restatements: closed numbers that changed, for customers to see."""

from zoneinfo import ZoneInfo

import numpy as np
from django.utils import timezone

from aggregations.buckets import DAY, HOUR, bucket_of, moment_of
from aggregations.cells import Cells, decode, regroup
from aggregations.columns import Key
from aggregations.metrics import METRICS, present_row, zero
from aggregations.rollups import HOUR_MS, rollup_named
from batch.cover import cover
from batch.models import Restatement
from batch.view_store import ViewRow, ViewStore

HUB = rollup_named("hub")


def record(
    store: ViewStore, zone: ZoneInfo, version: int, row: ViewRow, reason: str, closed_before: int
) -> list[Restatement]:
    """Enter what a day row of the hub's rollup changes against what was published. Idempotent for a version.

    Only for days that had ended by `closed_before` (in hours: the last cut) and in which the hub was there already: the
    numbers of a day that closes, or of a history that is imported, were not closed before.
    """
    bucket = bucket_of(DAY, row.start, zone)
    first = store.first_start(row.hub, HUB.name, version - 1)
    if bucket is None or first is None or bucket[1] <= first or bucket[1] > closed_before:
        return []
    published = store.fetch(cover(store, row.hub, HUB.name, [bucket], version - 1, zone, [DAY, HOUR]))
    old = _people([decode(payload, HUB.keys, HUB.measures) for payload in published])
    new = _people([decode(row.payload, HUB.keys, HUB.measures)])
    restated_at = timezone.now()
    changed = [
        Restatement(
            hub=row.hub,
            metric=metric,
            day_start=moment_of(bucket[0] * HOUR_MS),
            day_end=moment_of(bucket[1] * HOUR_MS),
            old=old[metric],
            new=new[metric],
            reason=reason,
            restated_at=restated_at,
            epoch=version,
        )
        for metric in METRICS
        if old[metric] != new[metric]
    ]
    return Restatement.objects.bulk_create(changed, ignore_conflicts=True)


def _people(parts: list[Cells]) -> dict[str, int | float | None]:
    """The metrics of all cells together, without robots."""
    kept: list[tuple[Cells, dict[str, Key], np.ndarray]] = [
        (cells, {}, cells.keys["is_bot"].holding(lambda is_bot: not is_bot)) for cells in parts
    ]
    whole = regroup(kept, HUB.measures) if kept else None
    return present_row(whole, 0) if whole and whole.size else {metric: zero(metric) for metric in METRICS}
