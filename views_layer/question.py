"""A question: the parameters of DESIGN's section 7, read and checked. Nothing here touches a store."""

import base64
import binascii
import json
import re
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from django.http import QueryDict

from aggregations.buckets import instant_ms, midnight, moment_of
from aggregations.metrics import METRICS
from aggregations.rollups import DIMENSIONS, HOUR_MS
from views_layer.period import DAY_MS, PERIODS, end_a_year_before, period_of, weeks_before, year_before

TIME_DIMENSIONS = ("hour_of_day", "weekday")
RANGES = {
    "page": (1, 2**31 - 1), "visit_number": (1, 2**31 - 1), "hour_of_day": (0, 23), "weekday": (1, 7),
}  # fmt: skip
"""The values that the dimensions of whole numbers can have."""
INTEGER = re.compile("0|[1-9][0-9]{0,9}")
PROPERTY = "properties."
INTERVAL_HOURS = {"hour": 1, "day": 24, "week": 168, "month": 720}
INTERVALS = tuple(INTERVAL_HOURS)
ROBOTS = ("exclude", "include", "only")
COMPARISONS = ("previous", "weekdays", "year")
FORMATS = ("json", "csv")
UNESCAPED_PLUS = re.compile(r"(T.*) (\d\d:?\d\d)$")
"""A + that was not escaped in a URL arrives as a space."""
LIMIT = 10_000
BUCKETS_AT_MOST = 100_000
FIRST_YEAR, LAST_YEAR = 1970, 9000
"""The years that from and to may lie in: there are no events before."""
FIRST_MS = instant_ms(datetime(2, 1, 1, tzinfo=UTC))
"""How far back a comparison may begin: in a whole year of the calendar, also in local time."""
NAMED = (
    "metrics", "period", "from", "to", "timezone", "interval", "by", "robots", "compare", "order", "limit", "cursor",
    "format",
)  # fmt: skip


class QueryError(Exception):
    """A question that cannot be answered: `detail` names the value and what would do."""

    def __init__(self, code: str, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.code, self.detail, self.field = code, detail, field


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `start` and `end` are milliseconds, half-open; `start` None: from the first event on."""

    metrics: tuple[str, ...]
    start: int | None
    end: int
    zone: ZoneInfo
    interval: str | None = None
    by: tuple[str, ...] = ()
    filters: dict[str, tuple[str | int | None, ...]] = field(default_factory=dict)
    robots: str = "exclude"
    compare: str | None = None
    order: tuple[tuple[str, bool], ...] = ()
    limit: int = LIMIT
    cursor: list | None = None

    @property
    def dimensions(self) -> tuple[str, ...]:
        """All dimensions that the answer depends on, each once."""
        return tuple(dict.fromkeys((*self.by, *self.filters)))

    def earlier(self) -> "Question":
        """The question of the range that this one is compared with."""
        assert self.start is not None
        if self.compare == "previous":
            self._refuse_before_the_first_year(self.start)
            return replace(self, start=self.start - (self.end - self.start), end=self.start, compare=None)
        if self.compare == "weekdays":
            self._refuse_before_the_first_year(self.start - 7 * DAY_MS)
            start, end = self._weeks_before(self.start)
            return replace(self, start=start, end=end, compare=None)
        start = instant_ms(year_before(moment_of(self.start), self.zone))
        end = instant_ms(end_a_year_before(moment_of(self.end), self.zone))
        return replace(self, start=start, end=end, compare=None)

    def _weeks_before(self, start: int) -> tuple[int, int]:
        """The range at the same local times, as many whole weeks earlier as it takes to end before this one begins."""
        first, last = (moment_of(at).astimezone(self.zone).replace(tzinfo=None) for at in (start, self.end))
        weeks = -((first - last) // timedelta(weeks=1))
        earlier = (weeks_before(moment_of(at), self.zone, weeks) for at in (start, self.end))
        return instant_ms(next(earlier)), instant_ms(next(earlier))

    def _refuse_before_the_first_year(self, start: int) -> None:
        latest = start + start - FIRST_MS
        if self.end > latest:
            raise QueryError(
                "invalid_compare",
                f"compare {self.compare!r} of this range would begin before the first year of the calendar; use a to up to"
                f" {moment_of(latest).astimezone(self.zone).date()}, or compare 'year'.",
                "compare",
            )

    def refuse_many_buckets(self) -> None:
        """Raises QueryError where the interval makes more than BUCKETS_AT_MOST rows; for a question whose start is known."""
        assert self.start is not None
        counts = {name: (self.end - self.start) // (HOUR_MS * hours) for name, hours in INTERVAL_HOURS.items()}
        if self.interval and counts[self.interval] > BUCKETS_AT_MOST:
            fitting = [name for name, count in counts.items() if count <= BUCKETS_AT_MOST]
            raise QueryError(
                "invalid_interval",
                f"interval {self.interval!r} over this range has about {counts[self.interval]} rows, more"
                f" than {BUCKETS_AT_MOST}; use {' or '.join(fitting)}, or a shorter range.",
                "interval",
            )


def read_question(parameters: QueryDict, timezone: str, now: datetime) -> Question:
    """The question that parameters ask, for a hub of that time zone. Raises QueryError."""
    _refuse_unknown(parameters)
    zone = read_zone(parameters.get("timezone") or timezone)
    start, end = _range(parameters, zone, now)
    metrics = _listed(parameters, "metrics", METRICS)
    if not metrics:
        raise QueryError("missing_metrics", f"metrics is required; name some of {', '.join(METRICS)}.", "metrics")
    by = _dimensions(parameters)
    compare = read_one_of(parameters, "compare", COMPARISONS)
    if compare and "previous" in by:
        raise QueryError(
            "invalid_compare", "compare cannot go with by=previous: both would be named previous.", "compare"
        )
    interval = read_one_of(parameters, "interval", INTERVALS)
    return Question(
        metrics=tuple(metrics),
        start=start,
        end=end,
        zone=zone,
        interval=interval,
        by=tuple(by),
        filters=_filters(parameters),
        robots=read_one_of(parameters, "robots", ROBOTS) or "exclude",
        compare=compare,
        order=_order(parameters, [*metrics, *by, *(["time"] if interval else [])]),
        limit=read_limit(parameters, LIMIT, LIMIT),
        cursor=read_cursor(parameters),
    )


def read_zone(name: str) -> ZoneInfo:
    """The IANA zone of a name. Raises QueryError."""
    if name in _zones():
        return ZoneInfo(name)
    raise QueryError(
        "invalid_timezone", f"timezone {name!r} is no IANA zone; for example Europe/Paris or UTC.", "timezone"
    )


@cache
def _zones() -> set[str]:
    """The names of all zones: reading them from disk takes longer than a question may."""
    return zoneinfo.available_timezones()


def read_range(parameters: QueryDict, timezone: str, now: datetime, default: str) -> tuple[int | None, int]:
    """The range that `period` or `from` and `to` name. Raises QueryError."""
    return _range(parameters, read_zone(parameters.get("timezone") or timezone), now, default)


def refuse_all_but(parameters: QueryDict, *names: str) -> None:
    """Raises QueryError for a parameter that is none of `names`."""
    for name in parameters:
        if name not in names:
            known = f"use {', '.join(names)}" if names else "there are none here"
            raise QueryError("unknown_parameter", f"{name!r} is no parameter; {known}.", name)


def _refuse_unknown(parameters: QueryDict) -> None:
    known = {*NAMED, *DIMENSIONS, *TIME_DIMENSIONS}
    for name in parameters:
        if name not in known and not _is_property(name):
            raise QueryError(
                "unknown_parameter",
                f"{name!r} is no parameter; use {', '.join(NAMED)}, or a dimension as a filter:"
                f" {', '.join((*DIMENSIONS, *TIME_DIMENSIONS))}, properties.<key>.",
                name,
            )


def _is_property(name: str) -> bool:
    return name.startswith(PROPERTY) and len(name) > len(PROPERTY)


def _range(parameters: QueryDict, zone: ZoneInfo, now: datetime, default: str = "30d") -> tuple[int | None, int]:
    period, first, last = parameters.get("period"), parameters.get("from"), parameters.get("to")
    if period and (first or last):
        raise QueryError("invalid_period", "Give either period or from and to, not both.", "period")
    if first is None and last is None:
        if (period := period or default) not in PERIODS:
            raise QueryError(
                "invalid_period", f"period {period!r} is unknown; use one of {', '.join(PERIODS)}.", "period"
            )
        return period_of(period, zone, now)
    if first is None:
        raise QueryError("missing_from", f"to {last!r} needs a from, such as {now.astimezone(zone).date()}.", "from")
    start = _instant("from", first, zone)
    end = instant_ms(now) if last is None else _instant("to", last, zone)
    if end <= start:
        raise QueryError(
            "invalid_to", f"to ({last or 'now'}) must be later than from ({first}); the range is half-open.", "to"
        )
    return start, end


def _instant(name: str, text: str, zone: ZoneInfo) -> int:
    """A date (local midnight) or an instant (without offset: local) in milliseconds."""
    problem = f"{name} {text!r} is neither a date such as 2026-11-23 nor an instant such as 2026-11-23T10:00:00Z."
    try:
        if len(text) == 10:
            day = date.fromisoformat(text)
            _refuse_far(name, text, day.year)
            return instant_ms(midnight(day, zone))
        moment = datetime.fromisoformat(UNESCAPED_PLUS.sub(r"\1+\2", text))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        _refuse_far(name, text, moment.year)
        return instant_ms(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        raise QueryError(f"invalid_{name}", problem, name) from None


def _refuse_far(name: str, text: str, year: int) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise QueryError(
            f"invalid_{name}", f"{name} {text!r} lies outside the years {FIRST_YEAR} to {LAST_YEAR}.", name
        )


def _listed(parameters: QueryDict, name: str, allowed: Iterable[str]) -> list[str]:
    names = [part.strip() for text in parameters.getlist(name) for part in text.split(",") if part.strip()]
    for one in names:
        if one not in allowed:
            raise QueryError(f"invalid_{name}", f"{name} {one!r} is unknown; use {', '.join(allowed)}.", name)
    return list(dict.fromkeys(names))


def _dimensions(parameters: QueryDict) -> list[str]:
    names = [part.strip() for text in parameters.getlist("by") for part in text.split(",") if part.strip()]
    allowed = (*DIMENSIONS, *TIME_DIMENSIONS)
    for name in names:
        if name not in allowed and not _is_property(name):
            raise QueryError(
                "invalid_by", f"by {name!r} is no dimension; use {', '.join(allowed)}, properties.<key>.", "by"
            )
    return list(dict.fromkeys(names))


def _filters(parameters: QueryDict) -> dict[str, tuple[str | int | None, ...]]:
    filters = {}
    for name in parameters:
        if name in DIMENSIONS or name in TIME_DIMENSIONS or _is_property(name):
            filters[name] = tuple(_filter_value(name, text) for text in parameters.getlist(name))
    return filters


def _filter_value(name: str, text: str) -> str | int | None:
    if text == "":
        return None
    if name not in RANGES:
        return text
    lowest, highest = RANGES[name]
    if not INTEGER.fullmatch(text) or not lowest <= int(text) <= highest:
        raise QueryError(
            f"invalid_{name}",
            f"{name} {text!r} is not a whole number from {lowest} to {highest}, in plain digits.",
            name,
        )
    return int(text)


def read_one_of(parameters: QueryDict, name: str, allowed: tuple[str, ...]) -> str | None:
    """The value of a parameter that names one of a few; None where it is not given. Raises QueryError."""
    text = parameters.get(name)
    if not text:
        return None
    if text not in allowed:
        raise QueryError(f"invalid_{name}", f"{name} {text!r} is unknown; use {', '.join(allowed)}.", name)
    return text


def _order(parameters: QueryDict, allowed: list[str]) -> tuple[tuple[str, bool], ...]:
    parts = [part.strip() for part in parameters.get("order", "").split(",") if part.strip()]
    order = [(part.removeprefix("-"), part.startswith("-")) for part in parts]
    for name, _ in order:
        if name not in allowed:
            raise QueryError(
                "invalid_order", f"order {name!r} is in no row; use {', '.join(allowed)}, - for descending.", "order"
            )
    return tuple(order)


def read_limit(parameters: QueryDict, at_most: int, default: int) -> int:
    """The whole number of `limit`, from 1 to `at_most`. Raises QueryError."""
    text = parameters.get("limit") or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= at_most and len(text) < 9):
        raise QueryError("invalid_limit", f"limit {text!r} is not a whole number from 1 to {at_most}.", "limit")
    return int(text)


def read_cursor(parameters: QueryDict) -> list | None:
    """The position that `cursor` holds; None where none is given."""
    text = parameters.get("cursor")
    if not text:
        return None
    try:
        cursor = json.loads(base64.urlsafe_b64decode(text.encode()))
        if isinstance(cursor, list):
            return cursor
    except (ValueError, RecursionError, binascii.Error):
        pass
    raise QueryError(
        "invalid_cursor", f"cursor {text[:80]!r} is none that meta.next_cursor gave; ask without one first.", "cursor"
    )


def cursor_text(position: list) -> str:
    """The text of a cursor."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()
