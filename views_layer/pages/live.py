"""What happens in a hub just now."""

from dataclasses import dataclass

from django.utils.translation import ngettext

from events.models import Hub
from views_layer.pages.rows import media_of
from views_layer.pages.wording import count, instant, value_of


@dataclass(frozen=True, slots=True)
class Minute:
    """A bar of the last thirty minutes, in a box 100 high; `x` counts from the oldest."""

    x: int
    y: str
    height: str
    label: str


@dataclass(frozen=True, slots=True)
class LiveNow:
    """`visitors` chooses the words; `visitors_text` is the number as it is read, as those beside titles are."""

    visitors: int
    visitors_text: str
    minutes: list[Minute]
    media: list[tuple[str, str]]
    summary: str


def live_now(hub: Hub, live: dict, rows: int = 5) -> LiveNow:
    """What the live badge shows of `live`, the answer of the API."""
    top = max((minute["visitors"] for minute in live["minutes"]), default=0) or 1
    minutes = []
    for x, minute in enumerate(live["minutes"]):
        height = max(2, 100 * minute["visitors"] / top)
        at = instant(minute["time"]).astimezone(hub.zone)
        minutes.append(
            Minute(x, f"{100 - height:.0f}", f"{height:.0f}", _visitors_at(f"{at:%H:%M}", minute["visitors"]))
        )
    shown = live["media"][:rows]
    titles = media_of(hub, {row["media"] for row in shown if row["media"]})
    media = [
        (str(titles.get(row["media"]) or value_of("media", row["media"])), count(row["visitors"])) for row in shown
    ]
    events = sum(minute["events"] for minute in live["minutes"])
    summary = ngettext("%(count)s event in the last 30 minutes", "%(count)s events in the last 30 minutes", events) % {
        "count": count(events)
    }
    return LiveNow(live["visitors"], count(live["visitors"]), minutes, media, summary)


def _visitors_at(time: str, visitors: int) -> str:
    text = ngettext("%(time)s: %(count)s visitor", "%(time)s: %(count)s visitors", visitors)
    return text % {"time": time, "count": count(visitors)}
