"""Which week, month, day or hour of a zone is over, and from when it is told."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from aggregations.buckets import DAY, HOUR, MONTH, WEEK, first_day, midnight, next_first_day
from views_layer.models import Subscription

GRAINS = {
    Subscription.WEEKLY: WEEK,
    Subscription.MONTHLY: MONTH,
    Subscription.DAILY: DAY,
    Subscription.HOURLY: HOUR,
}
REPORTED_AT = time(8)
"""The local time at which a report of what ended that midnight is due."""
SETTLED_AFTER = timedelta(minutes=5)
"""How long an hour or a day is left alone before it is judged: trackers hold events back for seconds."""


class NotYet(Exception):
    """A period that cannot be told of yet: its numbers are not all there, or there are none to compare them with."""


@dataclass(frozen=True, slots=True)
class Period:
    """A half-open range of local time that is over, told from `due_at` on; all of it in UTC."""

    start: datetime
    end: datetime
    due_at: datetime


def last_due(kind: str, zone: ZoneInfo, now: datetime) -> Period:
    """The last period of a kind of subscription that is due by now: a report's from 8:00 of the local day after it."""
    grain = GRAINS[kind]
    if grain == HOUR:
        return _hour(zone, now)
    first = first_day(grain, now.astimezone(zone).date())
    found = _ended_before(grain, first, zone, kind)
    return (
        found if found.due_at <= now else _ended_before(grain, first_day(grain, first - timedelta(days=1)), zone, kind)
    )


def _ended_before(grain: str, end: date, zone: ZoneInfo, kind: str) -> Period:
    """The period that ends as the local day `end` begins."""
    start = first_day(grain, end - timedelta(days=1))
    end_at = midnight(end, zone)
    is_judged = kind in Subscription.ALERTS
    due_at = end_at + SETTLED_AFTER if is_judged else datetime.combine(end, REPORTED_AT, zone).astimezone(UTC)
    return Period(midnight(start, zone), end_at, due_at)


def _hour(zone: ZoneInfo, now: datetime) -> Period:
    """The last local hour that is over and settled. Of an hour that the clock repeats each is one."""
    local = (now - SETTLED_AFTER).astimezone(zone)
    end = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    return Period(end - timedelta(hours=1), end, end + SETTLED_AFTER)


def name_of(kind: str, period: Period, zone: ZoneInfo) -> str:
    """The name under which a mail about a period is kept, the same whenever it is asked for."""
    local = period.start.astimezone(zone)
    return local.isoformat(timespec="minutes") if GRAINS[kind] == HOUR else local.date().isoformat()


def named(kind: str, name: str, zone: ZoneInfo) -> Period:
    """The period of a name."""
    start = datetime.fromisoformat(name)
    if GRAINS[kind] == HOUR:
        start = start.astimezone(UTC)
        return Period(start, start + timedelta(hours=1), start + timedelta(hours=1) + SETTLED_AFTER)
    return _ended_before(GRAINS[kind], next_first_day(GRAINS[kind], start.date()), zone, kind)


def refuse_unfinished(period: Period, as_of: datetime) -> None:
    """Raises NotYet where numbers end before the period does: the pipeline has not come that far."""
    if as_of < period.end:
        raise NotYet(
            f"The numbers end at {as_of:%Y-%m-%d %H:%M} UTC, before the period does; it is told when they do not."
        )


def before(kind: str, period: Period, zone: ZoneInfo) -> Period:
    """The week or month before a period."""
    return _ended_before(GRAINS[kind], period.start.astimezone(zone).date(), zone, kind)
