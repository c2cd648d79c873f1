"""The frame around every page of a hub: who is there, which hub, which tab, which state."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from django.urls import reverse

from aggregations.buckets import moment_of
from aggregations.rollups import HOUR_MS
from batch.rows import HUB
from batch.view_store import StoreAway, view_store
from events.cuts import published_cut
from events.models import Hub
from views_layer.access import hubs_of
from views_layer.pages.panels import TABS, Panel
from views_layer.pages.rows import media_of
from views_layer.pages.selection import COMPARISONS, SHORT_COMPARISONS, SHORT_ROBOTS, Chip, Choice, Selection
from views_layer.pages.viewer import Viewer

HUBS_IN_SWITCHER = 30
HUBS_REMEMBERED = 1_024


@dataclass(frozen=True, slots=True)
class Frame:
    """What templates/base.html needs of a page of a hub."""

    hub: Hub
    viewer: Viewer
    is_embedded: bool
    panel_url: str
    hubs: list[Choice]
    has_more_hubs: bool
    tabs: list[Choice]
    selection: Selection
    period_label: str
    compare_label: str
    compare_short: str
    robots_short: str
    periods: list[Choice]
    comparisons: list[Choice]
    robots: list[Choice]
    chips: list[Chip]
    shared: str
    timezone: str
    today: str

    @property
    def earliest_day(self) -> str:
        """The local day of the first published numbers of the hub; empty where there are none, or the view store is away."""
        published = published_cut()
        try:
            hour = (
                _first_hour(self.hub.slug, published.epoch, published.published_at, self.hub.rows_since)
                if published
                else None
            )
        except StoreAway:
            return ""  # The trust line says so.
        return "" if hour is None else moment_of(hour * HOUR_MS).astimezone(self.hub.zone).date().isoformat()


@lru_cache(HUBS_REMEMBERED)
def _first_hour(hub: str, epoch: int, published_at: datetime | None, rows_since: datetime | None) -> int | None:
    """The first hour with rows of a hub, which only a publication or the removal of rows can change. Raises StoreAway."""
    return view_store().first_start(hub, HUB.name, epoch)


def frame_of(viewer: Viewer, panel: Panel, selection: Selection, now: datetime) -> Frame:
    """The frame of `panel`. The state follows from tab to tab, apart from the measure, which is the tab's own."""
    hub = viewer.hub
    hubs = list(hubs_of(viewer.user)[: HUBS_IN_SWITCHER + 1]) if viewer.user else []
    carried = selection.query(metric=None, interval=selection.state.get("interval"))
    titles = {key: str(media) for key, media in media_of(hub, selection.filters.get("media", [])).items()}
    return Frame(
        hub=hub,
        viewer=viewer,
        is_embedded="embed" in selection.state,
        panel_url=viewer.url(panel.name),
        hubs=[
            Choice(str(other), reverse("hub", args=[other.slug]) + panel.name, other == hub)
            for other in hubs[:HUBS_IN_SWITCHER]
        ],
        has_more_hubs=len(hubs) > HUBS_IN_SWITCHER,
        tabs=[
            Choice(str(other.title), viewer.url(other.name) + carried, other is panel)
            for other in TABS
            if viewer.may_open(other)
        ],
        selection=selection,
        period_label=selection.period_label(now),
        compare_label=str(COMPARISONS.get(selection.compare, selection.compare)),
        compare_short=str(SHORT_COMPARISONS.get(selection.compare, selection.compare)),
        robots_short=str(SHORT_ROBOTS.get(selection.robots, selection.robots)),
        periods=selection.period_choices(),
        comparisons=selection.compare_choices(),
        robots=selection.robots_choices(),
        chips=selection.chips(titles, panel.of),
        shared=selection.query(**selection.filters),
        timezone=selection.state.get("timezone", hub.timezone),
        today=now.astimezone(hub.zone).date().isoformat(),
    )
