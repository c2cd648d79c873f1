"""Named periods and the buckets of an interval, in local time."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from aggregations.buckets import HOUR_MS, first_day, instant_ms, midnight, moment_of, next_first_day

PERIODS = ("today", "yesterday", "24h", "7d", "28d", "30d", "12mo", "month", "year", "all")
DAYS = {"today": 1, "7d": 7, "28d": 28, "30d": 30}
DAY_MS = 24 * HOUR_MS
LAST_YEAR = 2100
"""The year by which every zone has come to repeat one rule for ever; the last table of a zone ends in 2087."""
LAST_MS = instant_ms(datetime(LAST_YEAR, 12, 31, tzinfo=UTC))


def period_of(name: str, zone: ZoneInfo, now: datetime) -> tuple[int | None, int]:
    """The half-open range of a period in milliseconds; the start of `all` is None.

    Days, months and years are local and include the running one up to its end; `24h` ends now.
    """
    if name == "24h":
        return instant_ms(now) - 24 * HOUR_MS, instant_ms(now)
    today = now.astimezone(zone).date()
    first, last = _days(name, today)
    start = None if first is None else instant_ms(midnight(first, zone))
    return start, instant_ms(midnight(last, zone))


def _days(name: str, today: date) -> tuple[date | None, date]:
    tomorrow = today + timedelta(days=1)
    if name in DAYS:
        return tomorrow - timedelta(days=DAYS[name]), tomorrow
    if name == "yesterday":
        return today - timedelta(days=1), today
    if name == "all":
        return None, tomorrow
    if name == "year":
        return today.replace(month=1, day=1), date(today.year + 1, 1, 1)
    next_month = next_first_day("month", today.replace(day=1))
    if name == "month":
        return today.replace(day=1), next_month
    return date(next_month.year - 1, next_month.month, 1), next_month


def year_before(moment: datetime, zone: ZoneInfo) -> datetime:
    """The same local date and time a year earlier; 29 February becomes the 28th."""
    local = moment.astimezone(zone).replace(tzinfo=None)
    day = 28 if (local.month, local.day) == (2, 29) else local.day
    earlier = local.replace(year=local.year - 1, day=day)
    if earlier.time() == datetime.min.time():
        return midnight(earlier.date(), zone)
    return earlier.replace(tzinfo=zone).astimezone(UTC)


def weeks_before(moment: datetime, zone: ZoneInfo, weeks: int) -> datetime:
    """The same local weekday and time `weeks` earlier."""
    local = moment.astimezone(zone).replace(tzinfo=None) - timedelta(weeks=weeks)
    if local.time() == datetime.min.time():
        return midnight(local.date(), zone)
    return local.replace(tzinfo=zone).astimezone(UTC)


def offsets_between(start: int, end: int, zone: ZoneInfo) -> set[timedelta]:
    """The offsets from UTC of a zone at the times of a range of milliseconds that events can have.

    They are those at both ends, and at the first midnight in UTC after each change between. No event is earlier than
    1970, and from LAST_YEAR on each year of a zone is like the one before.
    """
    first, last = (min(max(at, 0), LAST_MS) for at in (start, end))
    found = {_offset_at(first, zone), _offset_at(last, zone)}
    for year in range(moment_of(first).year, moment_of(last).year + 1):
        found |= {offset for at, offset in _changes(year, zone) if first <= at <= last}
    return found


@lru_cache(maxsize=16_384)
def _changes(year: int, zone: ZoneInfo) -> tuple[tuple[int, timedelta], ...]:
    """The midnights in UTC of a year at which a zone's offset is another than a day before, in ms, with the offset."""
    first = datetime(year, 1, 1, tzinfo=UTC)
    days = [instant_ms(first + timedelta(days=day)) for day in range(366)]
    offsets = [_offset_at(at, zone) for at in (days[0] - DAY_MS, *days)]
    return tuple(
        (at, offset) for at, before, offset in zip(days, offsets, offsets[1:], strict=False) if before != offset
    )


def _offset_at(at: int, zone: ZoneInfo) -> timedelta:
    return datetime.fromtimestamp(at // 1000, zone).utcoffset() or timedelta()


def end_a_year_before(end: datetime, zone: ZoneInfo) -> datetime:
    """The end of a half-open range a year earlier. A range that ends with 28 February ends with it there too."""
    local = end.astimezone(zone).replace(tzinfo=None)
    if (local.month, local.day) == (2, 29) and local.time() == datetime.min.time():
        return midnight(date(local.year - 1, 3, 1), zone)
    return year_before(end, zone)


def boundaries(start: int, end: int, interval: str | None, zone: ZoneInfo) -> list[int]:
    """The starts of the local buckets that overlap [start, end) and the end of the last, in milliseconds.

    The first may lie before `start` and the last after `end`. Without an interval the range itself.
    """
    if interval is None:
        return [start, end]
    bounds = [_first_start(start, interval, zone)]
    while bounds[-1] < end:
        bounds.append(_next_start(bounds[-1], interval, zone))
    return bounds


def _first_start(start: int, interval: str, zone: ZoneInfo) -> int:
    if interval == "hour":
        return _hour_start(start, zone)
    return instant_ms(midnight(first_day(interval, moment_of(start).astimezone(zone).date()), zone))


def _hour_start(at: int, zone: ZoneInfo) -> int:
    """The first instant of the local hour of `at`. An hour of which the clock repeats a half is one, longer, hour."""
    local = moment_of(at).astimezone(zone)
    return instant_ms(local.replace(minute=0, second=0, microsecond=0).astimezone(UTC))


def _next_start(start: int, interval: str, zone: ZoneInfo) -> int:
    if interval == "hour":
        following = _hour_start(start + HOUR_MS, zone)
        return following if following > start else _hour_start(start + 2 * HOUR_MS - 1, zone)
    day = moment_of(start).astimezone(zone).date()
    return instant_ms(midnight(next_first_day(interval, first_day(interval, day)), zone))
