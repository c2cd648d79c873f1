"""Restatements: closed numbers that changed, for customers to see."""

from zoneinfo import ZoneInfo

from django.utils import timezone

from aggregations.buckets import DAY, bucket_of, moment_of
from aggregations.cells import Cells, decode, merge
from aggregations.metrics import present_row
from aggregations.rollups import HOUR_MS, rollup_named
from batch.models import Restatement
from batch.view_store import ViewRow, ViewStore

HUB = rollup_named("hub")


def record(store: ViewStore, zone: ZoneInfo, version: int, row: ViewRow, reason: str) -> list[Restatement]:
    """Enter what a new day row of the hub's rollup changes against the published one. Idempotent for a version."""
    earlier = store.addresses(row.hub, HUB.name, DAY, row.start, row.start + 1, version - 1)
    bucket = bucket_of(DAY, row.start, zone)
    if not earlier or not bucket:
        return []
    old = _people(decode(store.fetch(earlier)[0], HUB.keys, HUB.measures))
    new = _people(decode(row.payload, HUB.keys, HUB.measures))
    changed = [
        Restatement(
            hub=row.hub,
            metric=metric,
            day_start=moment_of(bucket[0] * HOUR_MS),
            day_end=moment_of(bucket[1] * HOUR_MS),
            old=old.get(metric),
            new=new.get(metric),
            reason=reason,
            restated_at=timezone.now(),
            epoch=version,
        )
        for metric in sorted(old.keys() | new.keys())
        if old.get(metric) != new.get(metric)
    ]
    return Restatement.objects.bulk_create(changed, ignore_conflicts=True)


def _people(cells: Cells) -> dict[str, int | float | None]:
    """The metrics of a day without robots; empty where there are only robots."""
    people = [cell for cell, (_, is_bot) in enumerate(cells.rows()) if not is_bot]
    if not people:
        return {}
    return present_row(merge([cells.slice(cell, cell + 1, HUB.measures) for cell in people], HUB.measures), 0)
