"""Numbers, durations, times and the values of dimensions, as people read them in the language of the page."""

import functools
import zoneinfo
from dataclasses import dataclass, replace
from datetime import date, datetime

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent
from django.utils.dates import WEEKDAYS
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from views_layer.ask import metric_catalogue

ABSENT_NUMBER = "–"
NO_BREAK_SPACE = "\u00a0"
PERCENTAGES = {"bounce_rate"}
BETTER_LOWER = {"bounce_rate"}

DIMENSION_TITLES = {
    "media": lazy("Media"),
    "page": lazy("Page"),
    "network": lazy("Network"),
    "action": lazy("Action"),
    "device": lazy("Device"),
    "browser": lazy("Browser"),
    "os": lazy("System"),
    "country": lazy("Country"),
    "language": lazy("Language"),
    "source": lazy("Source"),
    "intermediary": lazy("Intermediary"),
    "via": lazy("Shared link"),
    "duration": lazy("Active time"),
    "step": lazy("Step"),
    "visit_number": lazy("Visit number"),
    "target": lazy("Target"),
    "previous": lazy("Came from"),
    "hour_of_day": lazy("Hour"),
    "weekday": lazy("Weekday"),
}
ABSENT_VALUES = {
    "media": lazy("The hub itself"),
    "source": lazy("Direct"),
    "intermediary": lazy("No intermediary"),
    "via": lazy("No shared link"),
    "network": lazy("Not named"),
}
NAMED_VALUES: dict[str, dict] = {
    "action": {
        "view": lazy("Opened"),
        "read": lazy("Read"),
        "share": lazy("Shared"),
        "download": lazy("Downloaded"),
        "print": lazy("Printed"),
        "click": lazy("Clicked"),
        "search": lazy("Searched"),
        "play": lazy("Played"),
        "feature": lazy("Feature used"),
    },
    "device": {
        "desktop": lazy("Desktop"),
        "mobile": lazy("Phone"),
        "tablet": lazy("Tablet"),
        "tv": lazy("Television"),
        "console": lazy("Console"),
        "wearable": lazy("Wearable"),
        "other": lazy("Other"),
    },
    "network": {
        "linkedin": "LinkedIn",
        "whatsapp": "WhatsApp",
        "youtube": "YouTube",
        "tiktok": "TikTok",
        "email": lazy("E-mail"),
        "sms": lazy("Text message"),
        "link": lazy("Copied link"),
        "copy": lazy("Copied link"),
        "x": "X",
    },
}
MEDIA_KINDS = {
    "document": lazy("document"),
    "image": lazy("image"),
    "video": lazy("video"),
    "link": lazy("link"),
}


def locale() -> Locale:
    """The language of the page, as numbers and names need it."""
    return _locale(get_language() or "en")


@functools.cache
def _locale(language: str) -> Locale:
    return Locale.parse(language, sep="-")


def metric_texts() -> dict[str, dict]:
    """The catalogue of metrics by name, with title and definition in the language of the page."""
    return {
        metric["name"]: metric | _translated(metric["title"], metric["definition"]) for metric in metric_catalogue()
    }


def _translated(title: str, definition: str) -> dict[str, str]:
    return {"title": _(title), "definition": _(definition)}


def count(number: float) -> str:
    """1234 → 1,234."""
    return format_decimal(number, "#,##0", locale())


def decimal(number: float) -> str:
    """1.234 → 1.23."""
    return format_decimal(number, "#,##0.00", locale())


def percent(part: float, decimals: int = 0) -> str:
    """0.234 → 23%."""
    pattern = locale().percent_formats[None].pattern.replace("##0", "##0." + "0" * decimals if decimals else "##0")
    return format_percent(part, pattern, locale())


def clock(milliseconds: float) -> str:
    """One duration as m:ss, or h:mm:ss from an hour up."""
    seconds = round(milliseconds / 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{count(hours)}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def time_spent(milliseconds: float) -> str:
    """A sum of durations in its two largest units: 5 h 12 min, 3 min 20 s, 45 s."""
    seconds = round(milliseconds / 1000)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{count(seconds // 3600)} h {seconds % 3600 // 60:02} min"


def figure(metric: str, unit: str, value: float | None) -> str:
    """`value` of `metric` as text; a dash where there is none."""
    if value is None:
        return ABSENT_NUMBER
    if unit == "milliseconds":
        return clock(value) if metric.startswith("avg_") else time_spent(value)
    if metric in PERCENTAGES:
        return percent(value, 1)
    if unit == "ratio":
        return decimal(value)
    return count(value)


def share(part: float | None, whole: float | None) -> str:
    """`part` of `whole` in percent; empty where there is no whole."""
    if not whole or part is None:
        return ""
    return percent(part / whole) if part / whole >= 0.01 or not part else f"<{percent(0.01)}"


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
    before = figure(metric, unit, previous).replace(" ", NO_BREAK_SPACE)
    if value is None or previous is None:
        return Change("none", "", _("nothing to compare with"), "calm")
    if value == previous:
        return Change("same", "", _("unchanged from %(before)s") % {"before": before}, "calm")
    direction = "up" if value > previous else "down"
    words = (_("up from %(before)s") if direction == "up" else _("down from %(before)s")) % {"before": before}
    tone = "good" if (value > previous) != (metric in BETTER_LOWER) else "bad"
    if metric in PERCENTAGES:
        points = format_decimal(abs(value - previous) * 100, "0.0", locale())
        return Change(direction, _("%(points)s points") % {"points": points}, words, tone)
    if not previous:
        return Change(direction, "", words, tone)
    part = abs(value - previous) / previous
    if part >= 10:
        return Change(direction, _("%(count)s times") % {"count": count(value / previous)}, words, tone)
    return Change(direction, percent(part) if part >= 0.1 else percent(part, 1), words, tone)


def change_until(metric: str, unit: str, value: float | None, previous: float | None, time: str) -> Change:
    """The change of a period that runs: of `value`, its part until `time`, which the words say."""
    found = change(metric, unit, value, previous)
    part = _("%(part)s until %(time)s") % {"part": figure(metric, unit, value), "time": time}
    return replace(found, words=f"{part}, {found.words}") if value is not None and previous is not None else found


def value_of(dimension: str, value: object) -> str:
    """The name of a dimension's value; `null` and the empty filter have a name of their own."""
    if value is None or value == "":
        return str(ABSENT_VALUES.get(dimension) or _("Unknown"))
    text = str(value)
    if named := NAMED_VALUES.get(dimension, {}).get(text.lower()):
        return str(named)
    match dimension:
        case "country":
            return country(text)
        case "language":
            return language(text)
        case "visit_number":
            return _("Visit %(number)s") % {"number": text}
        case "page":
            return _("Page %(number)s") % {"number": text}
        case "weekday" if text in "1234567":
            return str(WEEKDAYS[int(text) - 1]).capitalize()
        case "hour_of_day" if text.isdigit():
            return f"{int(text):02}:00"
        case "action" | "network":
            return text[:1].upper() + text[1:]
    return text


def dimension_title(dimension: str) -> str:
    return str(DIMENSION_TITLES.get(dimension) or dimension.removeprefix("properties."))


def country(code: str) -> str:
    """The name of an ISO 3166 code; the code itself where it is unknown."""
    return locale().territories.get(code.upper(), code)


def language(code: str) -> str:
    """The name of a language tag such as fr or fr-CA; the tag itself where it is unknown."""
    base, _separator, region = code.replace("_", "-").partition("-")
    found = locale().languages.get(base.lower())
    if not found:
        return code
    name = found[:1].upper() + found[1:]
    return f"{name} ({country(region)})" if len(region) == 2 else name


def instant(text: str) -> datetime:
    """The instant of an ISO 8601 text of the API."""
    return datetime.fromisoformat(text)


def dated(at: date, pattern: str) -> str:
    """A day, or a time in its own zone, by a pattern of CLDR in the language of the page."""
    return (format_datetime if isinstance(at, datetime) else format_date)(at, pattern, locale=locale())


def time_of_day(at: datetime, now: datetime, zone: zoneinfo.ZoneInfo, with_seconds: bool = False) -> str:
    """The local time of `at`, with its date where that is not today's, and its year where that is not this year's."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    text = f"{local:%H:%M:%S}" if with_seconds else f"{local:%H:%M}"
    if local.date() == today:
        return text
    return f"{dated(local, 'd MMM' if local.year == today.year else 'd MMM y')}, {text}"


def date_range(start: datetime, end: datetime, zone: zoneinfo.ZoneInfo) -> str:
    """The half-open range [start, end) by its first and last local day."""
    first, last = start.astimezone(zone), end.astimezone(zone)
    if last > first and last.time() == last.time().min:
        last = datetime.fromtimestamp(last.timestamp() - 1, zone)
    if first.date() == last.date():
        return dated(first, "EEEE d MMMM y")
    return days_between(first, last)


def days_between(first: date, last: date) -> str:
    """Two days, both included, with the month and the year once where they are the same."""
    if first.year != last.year:
        return f"{dated(first, 'd MMM y')} – {dated(last, 'd MMM y')}"
    if first.month != last.month:
        return f"{dated(first, 'd MMM')} – {dated(last, 'd MMM y')}"
    return f"{first.day} – {dated(last, 'd MMM y')}"
