"""The closed numbers of a hub that changed, as customers see them."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import QuerySet

from aggregations.buckets import moment_of
from batch.models import Restatement
from events.models import Hub


def restated(hub: Hub, start: int | None, end: int) -> QuerySet[Restatement]:
    """The restatements of days that overlap [start, end) milliseconds (None: since ever), newest first."""
    found = Restatement.objects.filter(hub=hub.slug, day_start__lt=moment_of(end))
    return found if start is None else found.filter(day_end__gt=moment_of(start))


def restated_between(hub: Hub, start: datetime, end: datetime, metrics: Collection[str]) -> QuerySet[Restatement]:
    """The restatements of some metrics that were made in [start, end), newest first, whichever day they are about."""
    found = Restatement.objects.filter(hub=hub.slug, restated_at__gte=start, restated_at__lt=end)
    return found.filter(metric__in=metrics)
