"""Numbers, durations, times and the values of dimensions, as people read them."""

import functools
import zoneinfo
from dataclasses import dataclass
from datetime import datetime

import pycountry
from django.utils import dateformat

ABSENT_NUMBER = "–"
PERCENTAGES = {"bounce_rate"}
BETTER_LOWER = {"bounce_rate"}

DIMENSION_TITLES = {
    "media": "Media",
    "page": "Page",
    "network": "Network",
    "action": "Action",
    "device": "Device",
    "browser": "Browser",
    "os": "System",
    "country": "Country",
    "language": "Language",
    "source": "Source",
    "intermediary": "Intermediary",
    "via": "Share",
    "visit_number": "Visit number",
    "target": "Target",
    "previous": "Came from",
    "hour_of_day": "Hour",
    "weekday": "Weekday",
}
ABSENT_VALUES = {
    "media": "The hub itself",
    "source": "Direct",
    "intermediary": "No intermediary",
    "via": "No share",
    "network": "Not named",
}
NETWORKS = {
    "linkedin": "LinkedIn",
    "whatsapp": "WhatsApp",
    "youtube": "YouTube",
    "tiktok": "TikTok",
    "email": "E-mail",
    "x": "X",
}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def count(number: float) -> str:
    """1234 → 1,234."""
    return f"{number:,.0f}"


def clock(milliseconds: float) -> str:
    """One duration as m:ss, or h:mm:ss from an hour up."""
    seconds = round(milliseconds / 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def time_spent(milliseconds: float) -> str:
    """A sum of durations in its two largest units: 5 h 12 min, 3 min 20 s, 45 s."""
    seconds = round(milliseconds / 1000)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3600:,} h {seconds % 3600 // 60:02} min"


def figure(metric: str, unit: str, value: float | None) -> str:
    """`value` of `metric` as text; a dash where there is none."""
    if value is None:
        return ABSENT_NUMBER
    if unit == "milliseconds":
        return clock(value) if metric.startswith("avg_") else time_spent(value)
    if metric in PERCENTAGES:
        return f"{100 * value:.1f}%"
    if unit == "ratio":
        return f"{value:.2f}"
    return count(value)


def share(part: float | None, whole: float | None) -> str:
    """`part` of `whole` in percent; empty where there is no whole."""
    if not whole or part is None:
        return ""
    percent = 100 * part / whole
    return f"{percent:.0f}%" if percent >= 1 or not percent else "<1%"


@dataclass(frozen=True, slots=True)
class Change:
    """A change against the comparison. `direction` is up, down, same or none; `tone` good, bad or calm."""

    direction: str
    amount: str
    words: str
    tone: str

    @property
    def arrow(self) -> str:
        return {"up": "↑", "down": "↓"}.get(self.direction, "")


def change(metric: str, unit: str, value: float | None, previous: float | None) -> Change:
    """The change of `metric` from `previous` to `value`, in words and number."""
    before = figure(metric, unit, previous)
    if value is None or previous is None:
        return Change("none", "", "nothing to compare with", "calm")
    if value == previous:
        return Change("same", "", f"unchanged from {before}", "calm")
    direction = "up" if value > previous else "down"
    tone = "good" if (value > previous) != (metric in BETTER_LOWER) else "bad"
    if metric in PERCENTAGES:
        return Change(direction, f"{abs(value - previous) * 100:.1f} points", f"{direction} from {before}", tone)
    if not previous:
        return Change(direction, "", f"{direction} from {before}", tone)
    percent = abs(value - previous) / previous * 100
    amount = f"{percent:.0f}%" if percent >= 10 else f"{percent:.1f}%"
    if percent >= 1000:
        amount = f"{value / previous:,.0f} times"
    return Change(direction, amount, f"{direction} from {before}", tone)


def value_of(dimension: str, value: object) -> str:
    """The name of a dimension's value; `null` and the empty filter have a name of their own."""
    if value is None or value == "":
        return ABSENT_VALUES.get(dimension, "Unknown")
    text = str(value)
    match dimension:
        case "country":
            return country(text)
        case "language":
            return language(text)
        case "visit_number":
            return f"{ordinal(text)} visit"
        case "page":
            return f"Page {text}"
        case "weekday" if text in "1234567":
            return WEEKDAYS[int(text) - 1]
        case "hour_of_day" if text.isdigit():
            return f"{int(text):02}:00"
        case "network" if text.lower() in NETWORKS:
            return NETWORKS[text.lower()]
        case "device" | "action" | "network":
            return text[:1].upper() + text[1:]
    return text


def dimension_title(dimension: str) -> str:
    return DIMENSION_TITLES.get(dimension, dimension.removeprefix("properties."))


@functools.cache
def country(code: str) -> str:
    """The English name of an ISO 3166 code; the code itself where it is unknown."""
    found = pycountry.countries.get(alpha_2=code.upper())
    return getattr(found, "common_name", found.name) if found else code


@functools.cache
def language(code: str) -> str:
    """The English name of a language tag such as fr or fr-CA; the tag itself where it is unknown."""
    base, _, region = code.replace("_", "-").partition("-")
    found = pycountry.languages.get(alpha_2=base.lower()) or pycountry.languages.get(alpha_3=base.lower())
    if not found:
        return code
    return f"{found.name} ({country(region)})" if len(region) == 2 else found.name


def ordinal(number: str) -> str:
    """1 → 1st, 12 → 12th."""
    if number[-2:] in {"11", "12", "13"}:
        return f"{number}th"
    return number + {"1": "st", "2": "nd", "3": "rd"}.get(number[-1:], "th")


def instant(text: str) -> datetime:
    """The instant of an ISO 8601 text of the API."""
    return datetime.fromisoformat(text)


def time_of_day(at: datetime, now: datetime, zone: zoneinfo.ZoneInfo, with_seconds: bool = False) -> str:
    """The local time of `at`, with its date where that is not today's."""
    local = at.astimezone(zone)
    text = f"{local:%H:%M:%S}" if with_seconds else f"{local:%H:%M}"
    return text if local.date() == now.astimezone(zone).date() else f"{dateformat.format(local, 'j M')}, {text}"


def date_range(start: datetime, end: datetime, zone: zoneinfo.ZoneInfo) -> str:
    """The half-open range [start, end) by its first and last local day."""
    first, last = start.astimezone(zone), end.astimezone(zone)
    if last > first and last.time() == last.time().min:
        last = datetime.fromtimestamp(last.timestamp() - 1, zone)
    if first.date() == last.date():
        return dateformat.format(first, "l j F Y")
    if first.year != last.year:
        return f"{dateformat.format(first, 'j M Y')} – {dateformat.format(last, 'j M Y')}"
    if first.month != last.month:
        return f"{dateformat.format(first, 'j M')} – {dateformat.format(last, 'j M Y')}"
    return f"{first.day} – {dateformat.format(last, 'j M Y')}"
