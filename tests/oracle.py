"""A second opinion on `GET /api/hubs/<hub>/stats`: its definition in plain loops over normalised events.

Written from the contract alone, and imports nothing of the project. Slow, and obviously right.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
INTEGERS = ("page", "visit_number", "hour_of_day", "weekday")
NAMED = {
    "metrics", "period", "from", "to", "timezone", "interval", "by", "robots", "compare", "order", "limit", "cursor",
    "format",
}  # fmt: skip
ACTION_OF = {
    "shares": "share", "downloads": "download", "prints": "print", "clicks": "click", "searches": "search", "plays": "play",
}  # fmt: skip
RATIOS = {
    "avg_visit_duration_ms": ("duration_ms", "visits"),
    "visits_per_visitor": ("visits", "visitors"),
    "bounce_rate": ("bounced", "visits"),
}

Pairs = Sequence[tuple[str, str]]


def ask(events: Sequence[Any], hub_zone: str, parameters: Pairs, now: datetime) -> dict[str, Any]:
    """All rows of the answer, its totals and its range, for the events of one hub."""
    given: dict[str, list[str]] = {}
    for name, value in parameters:
        given.setdefault(name, []).append(value)
    one = {name: values[0] for name, values in given.items()}
    zone = ZoneInfo(one.get("timezone", hub_zone))
    metrics, by = one["metrics"].split(","), [name for name in one.get("by", "").split(",") if name]
    interval, compare = one.get("interval"), one.get("compare")
    start, end = range_of(events, one, zone, now)
    filters = {name: values for name, values in given.items() if name not in NAMED}
    kept = [e for e in events if is_wanted(e, filters, one.get("robots", "exclude"), zone)]
    rows = rows_of(kept, (start, end), interval, by, metrics, zone)
    totals = measured(within(kept, start, end), metrics)
    if compare:
        earlier = earlier_range(start, end, compare, zone)
        before = rows_of(kept, earlier, interval, by, metrics, zone)
        of_key = {identity(row, by): row for row in before}
        for row in rows:
            match = of_key.get(identity(row, by))
            row["previous"] = {m: match[m] if match else nothing(m) for m in metrics}
        totals["previous"] = measured(within(kept, *earlier), metrics)
    order = [(part.lstrip("-"), part.startswith("-")) for part in one.get("order", "").split(",") if part]
    if not order and not interval:
        order = [(metrics[0], True)]
    for name in reversed(by):
        rows.sort(key=lambda row: tie_rank(row[name]))
    rows.sort(key=lambda row: row["bucket"])
    for name, is_descending in reversed(order):
        key = "bucket" if name == "time" else name
        absent = [row for row in rows if row[key] is None]
        present = [row for row in rows if row[key] is not None]
        present.sort(key=lambda row: order_rank(row[key]), reverse=False)
        if is_descending:
            present = reversed_stably(present, key)
        rows = present + absent
    shown = [
        ({"time": row["time"]} if interval else {})
        | {name: row[name] for name in [*by, *metrics, *(["previous"] if compare else [])]}
        for row in rows
    ]
    return {"from": text(start), "to": text(end), "results": shown, "totals": totals}


def reversed_stably(rows: list[dict], key: str) -> list[dict]:
    """Rows in falling order of a key; equal ones stay as they were."""
    groups: dict[Any, list[dict]] = {}
    for row in rows:
        groups.setdefault(order_rank(row[key]), []).append(row)
    return [row for rank in sorted(groups, reverse=True) for row in groups[rank]] if _alike(groups) else _mixed(groups)


def _alike(groups: dict) -> bool:
    return len({rank[0] for rank in groups}) < 2


def _mixed(groups: dict) -> list[dict]:
    """Numbers stay before strings in both directions."""
    numbers = sorted((rank for rank in groups if rank[0] == 0), reverse=True)
    strings = sorted((rank for rank in groups if rank[0] == 1), reverse=True)
    return [row for rank in [*numbers, *strings] for row in groups[rank]]


def order_rank(value: Any) -> tuple:
    return (1, value) if isinstance(value, str) else (0, value)


def tie_rank(value: Any) -> tuple:
    """Numbers, then strings, then booleans, then null."""
    if value is None:
        return (3, 0)
    if isinstance(value, bool):
        return (2, value)
    return (1, value) if isinstance(value, str) else (0, value)


def identity(row: dict, by: Iterable[str]) -> tuple:
    return (row["bucket"], *((type(row[name]).__name__, row[name]) for name in by))


# Ranges


def range_of(events: Sequence[Any], one: dict[str, str], zone: ZoneInfo, now: datetime) -> tuple[int, int]:
    if "from" in one:
        return moment(one["from"], zone), moment(one["to"], zone) if "to" in one else ms(now)
    period = one.get("period", "30d")
    if period == "24h":
        return ms(now) - 86_400_000, ms(now)
    today = now.astimezone(zone).date()
    tomorrow = today + timedelta(days=1)
    if period == "all":
        end = midnight(tomorrow, zone)
        return min((e.occurred_at for e in events), default=end - 1), end
    if period == "yesterday":
        return midnight(today - timedelta(days=1), zone), midnight(today, zone)
    if period in ("today", "7d", "28d", "30d"):
        days = 1 if period == "today" else int(period[:-1])
        return midnight(tomorrow - timedelta(days=days), zone), midnight(tomorrow, zone)
    if period == "year":
        return midnight(date(today.year, 1, 1), zone), midnight(date(today.year + 1, 1, 1), zone)
    after = date(today.year + (today.month == 12), today.month % 12 + 1, 1)
    first = date(today.year, today.month, 1) if period == "month" else date(after.year - 1, after.month, 1)
    return midnight(first, zone), midnight(after, zone)


def earlier_range(start: int, end: int, compare: str, zone: ZoneInfo) -> tuple[int, int]:
    if compare == "previous":
        return start - (end - start), start
    if compare == "weekdays":
        days = (local_of(end, zone).replace(tzinfo=None) - local_of(start, zone).replace(tzinfo=None)) / timedelta(
            days=1
        )
        return weeks_before(start, zone, ceil(days / 7)), weeks_before(end, zone, ceil(days / 7))
    return year_before(start, zone), year_before(end, zone)


def weeks_before(at: int, zone: ZoneInfo, weeks: int) -> int:
    local = local_of(at, zone).replace(tzinfo=None, fold=0) - timedelta(weeks=weeks)
    if (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0):
        return midnight(local.date(), zone)
    return ms(local.replace(tzinfo=zone).astimezone(UTC))


def year_before(at: int, zone: ZoneInfo) -> int:
    local = local_of(at, zone).replace(tzinfo=None, fold=0)
    day = 28 if (local.month, local.day) == (2, 29) else local.day
    local = local.replace(year=local.year - 1, day=day)
    if (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0):
        return midnight(local.date(), zone)
    return ms(local.replace(tzinfo=zone).astimezone(UTC))


def moment(written: str, zone: ZoneInfo) -> int:
    if len(written) == 10:
        return midnight(date.fromisoformat(written), zone)
    at = datetime.fromisoformat(written)
    return ms((at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC))


@lru_cache(maxsize=100_000)
def midnight(day: date, zone: ZoneInfo) -> int:
    """The first instant of the local day."""
    at = ms(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC))
    if local_of(at, zone).date() == day and local_of(at - 1, zone).date() < day:
        return at
    at -= 3 * 3_600_000
    while local_of(at, zone).date() < day:
        at += 60_000
    return at


def ms(at: datetime) -> int:
    return (at - EPOCH) // MS


@lru_cache(maxsize=1_000_000)
def local_of(at: int, zone: ZoneInfo) -> datetime:
    return (EPOCH + at * MS).astimezone(zone)


def text(at: int) -> str:
    moment = EPOCH + at * MS
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


# Buckets


@lru_cache(maxsize=1_000_000)
def bucket_start(at: int, interval: str, zone: ZoneInfo) -> int:
    """The first instant of the local hour, day, week or month that holds `at`.

    An hour that the clock shows twice is two hours; one of which it repeats a part is one, longer, hour.
    """
    local = local_of(at, zone)
    if interval == "hour":
        return ms(local.replace(minute=0, second=0, microsecond=0).astimezone(UTC))
    day = local.date()
    if interval == "week":
        day -= timedelta(days=day.weekday())
    if interval == "month":
        day = day.replace(day=1)
    return midnight(day, zone)


@lru_cache(maxsize=10_000)
def buckets_of(start: int, end: int, interval: str, zone: ZoneInfo) -> list[int]:
    """The starts of all buckets that overlap the range. No offset changes within a quarter of an hour."""
    step = 900_000 if interval == "hour" else 6 * 3_600_000
    found = {
        bucket_start(at, interval, zone) for at in [start, *range(start - start % step + step, end, step), end - 1]
    }
    return sorted(found) if start < end else []


# Rows


def rows_of(
    events: Sequence[Any],
    span: tuple[int, int],
    interval: str | None,
    by: list[str],
    metrics: list[str],
    zone: ZoneInfo,
) -> list[dict[str, Any]]:
    starts = buckets_of(*span, interval, zone) if interval else [span[0]]
    number = {start: place for place, start in enumerate(starts)}
    groups: dict[tuple, list[Any]] = {}
    if not by:
        groups = {(place,): [] for place in range(len(starts))}
    for event in within(events, *span):
        place = number[bucket_start(event.occurred_at, interval, zone)] if interval else 0
        values = [value_of(event, name, zone) for name in by]
        groups.setdefault((place, *((type(v).__name__, v) for v in values)), []).append(event)
    rows = []
    for (place, *typed), some in groups.items():
        row = {"bucket": place} | dict(zip(by, (value for _, value in typed), strict=True))
        if interval:
            row["time"] = local_of(starts[place], zone).isoformat(timespec="seconds")
        rows.append(row | measured(some, metrics))
    return rows


def within(events: Sequence[Any], start: int, end: int) -> list[Any]:
    return [event for event in events if start <= event.occurred_at < end]


def value_of(event: Any, name: str, zone: ZoneInfo) -> Any:
    if name == "hour_of_day":
        return local_of(event.occurred_at, zone).hour
    if name == "weekday":
        return local_of(event.occurred_at, zone).isoweekday()
    if name.startswith("properties."):
        return (event.properties or {}).get(name.removeprefix("properties."))
    return getattr(event, name)


def is_wanted(event: Any, filters: dict[str, list[str]], robots: str, zone: ZoneInfo) -> bool:
    if robots != "include" and event.is_bot != (robots == "only"):
        return False
    return all(any(matches(value_of(event, name, zone), v, name) for v in values) for name, values in filters.items())


def matches(value: Any, written: str, name: str) -> bool:
    if written == "":
        return value is None
    if value is None:
        return False
    if isinstance(value, bool):
        return written == ("true" if value else "false")
    if isinstance(value, str):
        return written == value
    try:
        number = json.loads(written)
        return not isinstance(number, bool) and number == value
    except ValueError:
        return False


# Metrics


def nothing(metric: str) -> int | None:
    return None if metric in RATIOS else 0


def measured(events: Sequence[Any], metrics: Iterable[str]) -> dict[str, Any]:
    return {metric: metric_of(events, metric) for metric in metrics}


def metric_of(events: Sequence[Any], metric: str) -> Any:
    if metric in RATIOS:
        numerator, denominator = (metric_of(events, part) for part in RATIOS[metric])
        return float(Fraction(numerator, denominator)) if denominator else None
    if metric in ACTION_OF:
        return sum(e.action == ACTION_OF[metric] for e in events)
    visits, engaged = {e.visit for e in events}, {e.visit for e in events if is_engaged(e)}
    return {
        "events": lambda: len(events),
        "views": lambda: sum(e.action == "view" and e.media is not None for e in events),
        "visits": lambda: len(visits),
        "visitors": lambda: len({e.visitor for e in events}),
        "new_visitors": lambda: len({e.visitor for e in events if e.visit_number == 1}),
        "returning_visitors": lambda: len({e.visitor for e in events if e.visit_number >= 2}),
        "page_reads": lambda: sum(e.action == "read" and e.page is not None for e in events),
        "duration_ms": lambda: sum(e.duration_ms for e in events),
        "engaged_visits": lambda: len(engaged),
        "bounced": lambda: len(visits) - len(engaged),
    }[metric]()


def is_engaged(event: Any) -> bool:
    return (
        event.action not in ("view", "read")
        or (event.action == "read" and event.page is not None and event.page >= 2)
        or event.duration_ms >= 10_000
        or event.previous is not None
    )
