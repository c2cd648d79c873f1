"""The frame around every page of a hub: who is there, which hub, which tab, which state."""

from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest
from django.urls import reverse

from events.models import Hub
from views_layer.access import hubs_of
from views_layer.pages.panels import PANELS, Panel
from views_layer.pages.rows import media_of
from views_layer.pages.selection import COMPARISONS, SHORT_COMPARISONS, SHORT_ROBOTS, Chip, Choice, Selection

HUBS_IN_SWITCHER = 30


@dataclass(frozen=True, slots=True)
class Frame:
    """What templates/base.html needs of a page of a hub."""

    hub: Hub
    hubs: list[Choice]
    has_more_hubs: bool
    tabs: list[Choice]
    selection: Selection
    compare_label: str
    compare_short: str
    robots_short: str
    periods: list[Choice]
    comparisons: list[Choice]
    robots: list[Choice]
    chips: list[Chip]
    timezone: str
    today: str


def frame_of(request: HttpRequest, hub: Hub, panel: Panel, selection: Selection, now: datetime) -> Frame:
    """The frame of `panel`. The state follows from tab to tab, apart from the measure, which is the tab's own."""
    hubs = list(hubs_of(request.user)[: HUBS_IN_SWITCHER + 1])
    carried = selection.query(metric=None, interval=selection.state.get("interval"))
    titles = {key: str(media) for key, media in media_of(hub, selection.filters.get("media", [])).items()}
    return Frame(
        hub=hub,
        hubs=[
            Choice(str(other), reverse(panel.name, args=[other.slug]), other == hub)
            for other in hubs[:HUBS_IN_SWITCHER]
        ],
        has_more_hubs=len(hubs) > HUBS_IN_SWITCHER,
        tabs=[Choice(other.title, reverse(other.name, args=[hub.slug]) + carried, other is panel) for other in PANELS],
        selection=selection,
        compare_label=COMPARISONS.get(selection.compare, selection.compare),
        compare_short=SHORT_COMPARISONS.get(selection.compare, selection.compare),
        robots_short=SHORT_ROBOTS.get(selection.robots, selection.robots),
        periods=selection.period_choices(),
        comparisons=selection.compare_choices(),
        robots=selection.robots_choices(),
        chips=selection.chips(titles),
        timezone=selection.state.get("timezone", hub.timezone),
        today=now.astimezone(hub.zone).date().isoformat(),
    )
