"""What a page shows, as its URL says it: period, comparison, robots, filters, measure, interval."""

import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db.models import Min
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from events.models import Hub
from views_layer.pages.wording import DIMENSION_TITLES, dated, days_between, dimension_title, value_of
from views_layer.question import FIRST_YEAR, LAST_YEAR, QueryError, read_zone

PERIODS = {
    "today": _("Today"),
    "yesterday": _("Yesterday"),
    "24h": _("Last 24 hours"),
    "7d": _("Last 7 days"),
    "28d": _("Last 28 days"),
    "30d": _("Last 30 days"),
    "month": _("This month"),
    "12mo": _("Last 12 months"),
    "year": _("This year"),
    "all": _("All time"),
}
COMPARISONS = {
    "off": _("No comparison"),
    "previous": _("Previous period"),
    "weekdays": _("Same weekdays before"),
    "year": _("Year earlier"),
}
ROBOTS = {"exclude": _("Without robots"), "include": _("With robots"), "only": _("Robots only")}
SHORT_COMPARISONS = {
    "off": _("No comparison"),
    "previous": _("vs previous"),
    "weekdays": _("vs same weekdays"),
    "year": _("vs year before"),
}
SHORT_ROBOTS = {"exclude": _("No robots"), "include": _("With robots"), "only": _("Robots only")}
INTERVALS = {"hour": _("Hours"), "day": _("Days"), "week": _("Weeks"), "month": _("Months")}
DEFAULTS = {"period": "7d", "compare": "previous", "robots": "exclude"}
OWN_DATES = "dates"

_INTERVALS_OF_PERIOD = {
    "today": ("hour",),
    "yesterday": ("hour",),
    "24h": ("hour",),
    "7d": ("day", "hour"),
    "28d": ("day", "week"),
    "30d": ("day", "week"),
    "month": ("day", "week"),
    "12mo": ("month", "week", "day"),
    "year": ("month", "week", "day"),
}
_STATE = (
    "period",
    "from",
    "to",
    "timezone",
    "compare",
    "robots",
    "metric",
    "interval",
    "goal",
    "model",
    "lang",
    "embed",
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of a menu: its label, the page it leads to, and whether it is the current one."""

    label: str
    url: str
    is_current: bool
    name: str = ""


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter in force: what it says, and the page without it; a forced one has none."""

    title: str
    label: str
    url: str


def is_filter(name: str) -> bool:
    return name in DIMENSION_TITLES or name.startswith("properties.")


class Selection:
    """The state of a page, read from `parameters`; parameters that are none of it are dropped.

    `forced` are filters that the state can narrow and not widen.
    """

    def __init__(
        self, hub: Hub, parameters: QueryDict, default_metric: str, forced: dict[str, list[str]] | None = None
    ) -> None:
        self.hub = hub
        self.forced = forced or {}
        self.state = QueryDict(mutable=True)
        for name, values in parameters.lists():
            if name in _STATE and values[-1]:
                self.state[name] = values[-1]
            elif is_filter(name):
                kept = [value for value in dict.fromkeys(values) if value in self.forced.get(name, values)]
                if kept:
                    self.state.setlist(name, kept)
        self.has_dates = "from" in self.state or "to" in self.state
        self.period = OWN_DATES if self.has_dates else self.state.get("period", DEFAULTS["period"])
        self.compare = self.state.get("compare", DEFAULTS["compare"])
        self.robots = self.state.get("robots", DEFAULTS["robots"])
        self.metric = self.state.get("metric", default_metric)
        self.chosen = {name: self.state.getlist(name) for name in self.state if is_filter(name)}
        self.filters = self.forced | self.chosen

    def query(self, **changes: str | list[str] | None) -> str:
        """The URL query of this state with `changes`; None takes a parameter away. Starts with ?."""
        state = self.state.copy()
        for name, value in changes.items():
            name = "from" if name == "from_" else name
            if value is None:
                state.pop(name, None)
            elif isinstance(value, list):
                state.setlist(name, value)
            else:
                state[name] = value
        return f"?{state.urlencode()}"

    def range_query(self, start: str, end: str) -> str:
        """The URL query of this state for the range [start, end) of ISO dates or instants."""
        return self.query(from_=start, to=end, period=None, interval=None)

    def asked(self, metrics: list[str], now: datetime, **extra: str | int) -> QueryDict:
        """The parameters of one question to the API about this state."""
        asked = self.unfiltered(metrics=",".join(dict.fromkeys(metrics)), **extra)
        for name in self.filters.keys() - extra.keys():
            asked.setlist(name, self.filters[name])
        return asked

    def unfiltered(self, **extra: str | int) -> QueryDict:
        """The parameters of a question about the range and the robots of this state alone."""
        asked = QueryDict(mutable=True)
        for name in ("from", "to", "timezone"):
            if name in self.state:
                asked[name] = self.state.get(name, "")
        if not self.has_dates:
            asked["period"] = self.period
        asked["robots"] = self.robots
        for name, value in extra.items():
            asked[name] = str(value)
        return asked

    @property
    def is_compared(self) -> bool:
        return self.compare != "off" and self.period != "all"

    def intervals(self, now: datetime) -> tuple[str, ...]:
        """The intervals that suit the period, the default first."""
        if self.period in _INTERVALS_OF_PERIOD:
            return _INTERVALS_OF_PERIOD[self.period]
        days = self._days(now)
        if days <= 2:
            return ("hour",)
        if days <= 14:
            return ("day", "hour")
        return ("day", "week") if days <= 92 else ("month", "week", "day")

    def interval(self, now: datetime) -> str:
        """The chosen interval, else the default one of the period."""
        return self.state.get("interval") or self.intervals(now)[0]

    def zone(self) -> zoneinfo.ZoneInfo:
        """The time zone of the page: the one of the URL where it is one, else the hub's."""
        try:
            return read_zone(self.state.get("timezone", self.hub.timezone))
        except QueryError:
            return self.hub.zone

    def _days(self, now: datetime) -> float:
        """About how many days the period has: of own dates by their difference, of all time since the first media."""
        if self.has_dates:
            try:
                first, end = (_date(self.state.get(name, "")) for name in ("from", "to"))
                return (end - first).days
            except ValueError:
                return 1
        first_at = self.hub.media.aggregate(first_at=Min("first_at"))["first_at"] or self.hub.created_at
        return (now - first_at) / timedelta(days=1)

    # What the frame shows

    def period_label(self, now: datetime) -> str:
        if not self.has_dates:
            return str(PERIODS.get(self.period, self.period))
        start, end = self.state.get("from", ""), self.state.get("to", "")
        ends = (start, end if self._local(end) else self.last_day())
        days = [_day(text) for text in ends]
        if days[0] and days[1] and days[0] < days[1]:
            return days_between(days[0], days[1])
        first, last = (self._shown(text, now) for text in ends)
        return first if first == last else f"{first} – {last}"

    def _shown(self, end: str, now: datetime) -> str:
        """An end of own dates: a day, or a local time, with its year where that is not this year's; what is neither as it is."""
        if local := self._local(end):
            is_of_this_year = local.year == now.astimezone(local.tzinfo).year
            return dated(local, "d MMM, HH:mm" if is_of_this_year else "d MMM y, HH:mm")
        day = _day(end)
        return dated(day, "d MMM y") if day else end

    def _local(self, text: str) -> datetime | None:
        """An instant in the zone of the page, as which it counts without an offset; None for a day, and for what is neither."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        if len(text) == len("2026-11-23") or not FIRST_YEAR <= moment.year <= LAST_YEAR:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=self.zone())).astimezone(self.zone())

    def first_day(self) -> str:
        """The local day on which own dates begin."""
        start = self.state.get("from", "")
        local = self._local(start)
        return local.date().isoformat() if local else start

    def last_day(self) -> str:
        """The local day on which own dates end; `to` is half-open."""
        end = self.state.get("to", "")
        if local := self._local(end):
            return (local.astimezone(UTC) - timedelta(milliseconds=1)).astimezone(local.tzinfo).date().isoformat()
        try:
            return (_date(end) - timedelta(days=1)).isoformat()
        except (ValueError, OverflowError):
            return end

    @property
    def dates_problem(self) -> str:
        """What is wrong with own dates whose first is after their last; empty where nothing is."""
        first, last = _day(self.first_day()), _day(self.last_day())
        if not first or not last or first <= last:
            return ""
        days = {"first": dated(first, "d MMM y"), "last": dated(last, "d MMM y")}
        return gettext("The first day, %(first)s, is after the last, %(last)s: choose another of the two.") % days

    def period_choices(self) -> list[Choice]:
        return [
            Choice(str(label), self.query(period=name, from_=None, to=None, interval=None), name == self.period, name)
            for name, label in PERIODS.items()
        ]

    def compare_choices(self) -> list[Choice]:
        return [
            Choice(str(label), self.query(compare=name), name == self.compare, name)
            for name, label in COMPARISONS.items()
        ]

    def robots_choices(self) -> list[Choice]:
        return [
            Choice(str(label), self.query(robots=name), name == self.robots, name) for name, label in ROBOTS.items()
        ]

    def interval_choices(self, now: datetime) -> list[Choice]:
        chosen = self.interval(now)
        return [
            Choice(str(INTERVALS[name]), self.query(interval=name), name == chosen, name)
            for name in self.intervals(now)
        ]

    def chips(self, titles: dict[str, str], untold: str = "") -> list[Chip]:
        """The filters in force, one for each value, without those on the dimension `untold`; `titles` names media."""
        chips = []
        for name, values in self.filters.items():
            for value in values if name != untold else ():
                others = [other for other in values if other != value]
                label = titles.get(value) if name == "media" else None
                url = self.query(**{name: others or None}) if name in self.chosen else ""
                chips.append(Chip(dimension_title(name), label or value_of(name, value), url))
        return chips

    def without_filters(self) -> str:
        return self.query(**dict.fromkeys(self.chosen))

    def hidden(self) -> list[tuple[str, str]]:
        """The state apart from the period, as the hidden inputs of the form for own dates."""
        dropped = {"period", "from", "to", "interval"}
        return [(name, value) for name, values in self.state.lists() if name not in dropped for value in values]


def with_half_open_dates(parameters: QueryDict) -> QueryDict | None:
    """The parameters with `to` instead of the form's inclusive `last`; None where there is no `last`."""
    if "last" not in parameters:
        return None
    changed = parameters.copy()
    last = changed.pop("last")[-1]
    try:
        changed["to"] = (_date(last) + timedelta(days=1)).isoformat()
    except ValueError:
        changed["to"] = last
    return changed


def _day(text: str) -> date | None:
    """The day that an ISO date says; None for what is no date, or one of a year that no question may be about."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if FIRST_YEAR <= day.year <= LAST_YEAR else None


def _date(text: str) -> date:
    """The day of an ISO date or instant. Raises ValueError."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).date()
