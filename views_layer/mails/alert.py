"""Alerts to customers: an hour or a day with many more, or many fewer, visits than the same ones of the weeks before."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from babel.numbers import format_decimal
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _

from aggregations.buckets import midnight
from events.models import Hub
from views_layer.ask import answer as ask
from views_layer.mails.message import Content, absolute
from views_layer.mails.periods import Period, refuse_unfinished
from views_layer.models import Subscription
from views_layer.pages.panels import CONSULTATION
from views_layer.pages.wording import count, dated, instant, locale
from views_layer.period import weeks_before
from views_layer.question import QueryError

WEEKS = 4
WEEKS_AT_LEAST = 2
"""A hub with a shorter life has no usual number yet."""
QUIET = timedelta(hours=24)
UP, DOWN = "up", "down"


@dataclass(frozen=True, slots=True)
class Finding:
    """Visits of an hour or a day, those of the same ones before (newest first), their median, and which way it differs."""

    visits: int
    earlier: list[int]
    usual: float
    direction: str


def look(subscription: Subscription, period: Period, now: datetime) -> Finding | None:
    """How the visits of a period compare with those of the weeks before; None where the hub is too young to say.

    Raises NotYet where the numbers end before the period does, so that a pipeline that is behind is no drop; QueryError.
    """
    hub = subscription.hub
    answer = _asked(hub, now, period.start, period.end)
    refuse_unfinished(period, instant(answer["meta"]["as_of"]))
    visits = answer["totals"]["visits"]
    first_at = instant(_asked(hub, now)["query"]["from"])
    ranges = [(start, end) for start, end in _weeks_before(subscription.kind, period, hub.zone) if start >= first_at]
    # What is older than a week that is not kept is not looked at, so that the first of them is always the last week.
    kept = takewhile(lambda found: found is not None, (_kept_visits(hub, start, end, now) for start, end in ranges))
    earlier = [found for found in kept if found is not None]
    if len(earlier) < WEEKS_AT_LEAST:
        return None
    usual = median(earlier)
    return Finding(visits, earlier, usual, judged(visits, usual, float(subscription.factor), subscription.floor))


def judged(visits: int, usual: float, factor: float, floor: int) -> str:
    """`up` or `down` where visits are at least `factor` times more or fewer than usual, else nothing.

    The greater of the two numbers is at least `floor`: in small ones every change is large. No visits at all are fewer by
    any factor.
    """
    if visits >= floor and visits >= factor * usual:
        return UP
    return DOWN if usual >= floor and visits * factor <= usual else ""


def _weeks_before(kind: str, period: Period, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """The same local weekday and time of each of the weeks before, newest first."""
    starts = [weeks_before(period.start, zone, week) for week in range(1, WEEKS + 1)]
    if kind == Subscription.HOURLY:
        return [(start, start + (period.end - period.start)) for start in starts]
    return [(start, midnight(start.astimezone(zone).date() + timedelta(days=1), zone)) for start in starts]


def _kept_visits(hub: Hub, start: datetime, end: datetime, now: datetime) -> int | None:
    """The visits of [start, end); None where the hub keeps too little of that time to tell."""
    try:
        return _asked(hub, now, start, end)["totals"]["visits"]
    except QueryError as error:
        if error.code != "not_kept":
            raise
        return None


def _asked(hub: Hub, now: datetime, start: datetime | None = None, end: datetime | None = None) -> dict[str, Any]:
    """The answer for the visits of [start, end), or of all time."""
    asked = QueryDict(mutable=True)
    asked["metrics"] = "visits"
    if start and end:
        asked["from"], asked["to"] = start.isoformat(), end.isoformat()
    else:
        asked["period"] = "all"
    return ask(hub, asked, now)


def alert(subscription: Subscription, period: Period, facts: dict[str, Any]) -> Content:
    """The alert of a finding (its `facts`), in the language that is active."""
    hub, zone = subscription.hub, subscription.hub.zone
    finding = Finding(**facts)
    texts = {"hub": hub, "when": _when(subscription.kind, period, zone), "count": count(finding.visits)}
    day = period.start.astimezone(zone).date()
    state = f"?from={day}&to={day + timedelta(days=1)}&compare=weekdays"
    return Content(
        subject=_headline(finding) % texts,
        template="alert",
        context={
            "finding": finding,
            "when": texts["when"],
            "zone": zone.key,
            "visits": count(finding.visits),
            "usual": format_decimal(finding.usual, "#,##0.#", locale()),
            "earlier": [
                (_when(subscription.kind, Period(start, end, end), zone), count(visits))
                for (start, end), visits in zip(
                    _weeks_before(subscription.kind, period, zone), finding.earlier, strict=False
                )
            ],
            "is_hourly": subscription.kind == Subscription.HOURLY,
            "factor": f"{subscription.factor.normalize():f}",
            "floor": count(subscription.floor),
            "panel_url": absolute(reverse("hub", args=[hub.slug])) + CONSULTATION.name + state,
        },
    )


def _headline(finding: Finding) -> str:
    if not finding.visits:
        return _("%(hub)s: no visits, %(when)s")
    if finding.direction == UP:
        return _("%(hub)s: many more visits than usual (%(count)s), %(when)s")
    if finding.direction == DOWN:
        return _("%(hub)s: far fewer visits than usual (%(count)s), %(when)s")
    return _("%(hub)s: visits as usual (%(count)s), %(when)s")


def _when(kind: str, period: Period, zone: ZoneInfo) -> str:
    start = period.start.astimezone(zone)
    if kind == Subscription.DAILY:
        return dated(start, "EEEE d MMMM y")
    return f"{dated(start, 'EEE d MMM, HH:mm')}–{period.end.astimezone(zone):%H:%M}"


def facts_of(finding: Finding) -> dict[str, Any]:
    """A finding as JSON values."""
    return asdict(finding)
