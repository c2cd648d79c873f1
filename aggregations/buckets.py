"""Hours, local days and local months: which hours a bucket of a time zone holds.

Hours are counted since 1970-01-01T00:00Z. Buckets are half-open ranges [start, end).
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from aggregations.rollups import HOUR_MS

HOUR, DAY, WEEK, MONTH = "hour", "day", "week", "month"
"""Widths of time: grains of view rows, and intervals of questions."""


def instant_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware datetime, cut."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def moment_of(milliseconds: int) -> datetime:
    """The UTC datetime of milliseconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local day, in UTC. Where midnight is skipped by a clock change, the instant of the change."""
    naive = datetime(day.year, day.month, day.day)  # noqa: DTZ001 (the zone is put on in the next line)
    start = naive.replace(tzinfo=zone).astimezone(UTC)
    if start.astimezone(zone).replace(tzinfo=None) == naive:
        return start
    # The skipped midnight was read with the offset from before the change; the change is where the new day begins.
    low, high = start - timedelta(hours=2), start + timedelta(hours=2)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (low, middle) if middle.astimezone(zone).date() >= day else (middle, high)
    return high.replace(microsecond=0)


def first_day(grain: str, day: date) -> date:
    """The first day of the day, week (from Monday) or month that holds `day`."""
    if grain == WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if grain == MONTH else day


def next_first_day(grain: str, day: date) -> date:
    """The first day of the day, week or month after the one that begins on `day`."""
    if grain != MONTH:
        return day + timedelta(days=7 if grain == WEEK else 1)
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


@lru_cache(maxsize=16_384)
def bucket_of(grain: str, hour: int, zone: ZoneInfo) -> tuple[int, int] | None:
    """The day or month that holds an hour, as [start, end) in hours; None where it does not begin or end on an hour."""
    day = first_day(grain, moment_of(hour * HOUR_MS).astimezone(zone).date())
    start = instant_ms(midnight(day, zone))
    end = instant_ms(midnight(next_first_day(grain, day), zone))
    if start % HOUR_MS or end % HOUR_MS:
        return None
    return start // HOUR_MS, end // HOUR_MS


def buckets_of(grain: str, hours: Iterable[int], zone: ZoneInfo) -> list[tuple[int, int]]:
    """The days or months that hold some of the hours, in order; without those that are not made of whole hours."""
    found = {bucket_of(grain, hour, zone) for hour in hours}
    return sorted(bucket for bucket in found if bucket is not None)
