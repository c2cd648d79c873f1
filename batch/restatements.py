"""Restatements: closed numbers that changed, for customers to see."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import numpy as np
from django.utils import timezone

from aggregations.buckets import DAY, bucket_of, instant_ms, moment_of
from aggregations.cells import Cells, decode, regroup
from aggregations.metrics import METRICS, present_row, zero
from aggregations.rollups import HOUR_MS, rollup_named
from batch.cover import cover
from batch.models import Restatement
from batch.view_store import HOUR, ViewRow, ViewStore
from events.models import Cut

HUB = rollup_named("hub")


def record(store: ViewStore, zone: ZoneInfo, version: int, row: ViewRow, reason: str) -> list[Restatement]:
    """Enter what a new day row of the hub's rollup changes against what was published. Idempotent for a version.

    A day without a published row counts as told once it was over at the cut before and the hub had begun by then.
    """
    bucket = bucket_of(DAY, row.start, zone)
    if not bucket:
        return []
    earlier = store.addresses(row.hub, HUB.name, DAY, row.start, row.start + 1, version - 1)
    if not earlier:
        if not _was_told(store, row, version - 1, bucket[1]):
            return []
        earlier = cover(store, row.hub, HUB.name, [bucket], version - 1, zone, [HOUR])
    old = _people([decode(payload, HUB.keys, HUB.measures) for payload in store.fetch(earlier)])
    new = _people([decode(row.payload, HUB.keys, HUB.measures)])
    changed = [
        Restatement(
            hub=row.hub,
            metric=metric,
            day_start=moment_of(bucket[0] * HOUR_MS),
            day_end=moment_of(bucket[1] * HOUR_MS),
            old=old[metric],
            new=new[metric],
            reason=reason,
            restated_at=timezone.now(),
            epoch=version,
        )
        for metric in sorted(METRICS)
        if old[metric] != new[metric]
    ]
    return Restatement.objects.bulk_create(changed, ignore_conflicts=True)


def _was_told(store: ViewStore, row: ViewRow, version: int, day_end: int) -> bool:
    cut = Cut.objects.filter(epoch=version).first()
    first = store.first_start(row.hub, HUB.name, version)
    return cut is not None and instant_ms(cut.cut_at) >= day_end * HOUR_MS and first is not None and first < row.start


def _people(parts: Sequence[Cells]) -> dict[str, int | float | None]:
    """The metrics of a day without robots, whose cells may be in parts."""
    people = []
    for cells in parts:
        mask = np.array([not is_bot for _, is_bot in cells.rows()], dtype=bool)
        people.append((cells, {}, mask))
    if not any(mask.any() for _, _, mask in people):
        return {metric: zero(metric) for metric in METRICS}
    return present_row(regroup(people, HUB.measures), 0)
