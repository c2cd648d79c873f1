"""The report of a week or month: key numbers with their change, what was read, where readers came from, what changed."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from events.models import Hub
from views_layer.ask import answer as ask
from views_layer.mails.message import Content, absolute
from views_layer.mails.periods import Period, before, refuse_unfinished
from views_layer.models import Subscription
from views_layer.pages.changed import row_of
from views_layer.pages.downloads import chart_lines, table_lines
from views_layer.pages.panels import CONSULTATION, ENGAGEMENT, Panel, Table
from views_layer.pages.rows import grid
from views_layer.pages.selection import Selection
from views_layer.pages.viewer import Viewer
from views_layer.pages.wording import (
    Change,
    change,
    count,
    date_range,
    dated,
    dimension_title,
    figure,
    instant,
    metric_texts,
)
from views_layer.question import QueryError
from views_layer.restated import restated_between

FIGURES = (
    "visits",
    "visitors",
    "views",
    "page_reads",
    "avg_visit_duration_ms",
    "bounce_rate",
    "shares",
    "downloads",
)
ROWS = 10
ROWS_OF_FILE = 1_000
TABLES = ((CONSULTATION, "media"), (CONSULTATION, "sources"), (ENGAGEMENT, "networks"))


@dataclass(frozen=True, slots=True)
class Number:
    """A key number; `change` is against the period before."""

    title: str
    text: str
    change: Change


@dataclass(frozen=True, slots=True)
class Ranking:
    """The first rows of a table of `total`; `rest` counts those that are left out, `url` leads to all of them."""

    total: int
    title: str
    heading: str
    columns: list[str]
    rows: list[dict[str, Any]]
    rest: str
    url: str


def report(subscription: Subscription, period: Period, now: datetime) -> Content:
    """The report of a period in the language that is active. Raises NotYet, QueryError."""
    hub, zone = subscription.hub, subscription.hub.zone
    selection = _selection(hub, period)
    totals = _totals(hub, selection, period, now)
    assert totals is not None
    earlier = _totals(hub, _selection(hub, before(subscription.kind, period, zone)), None, now)
    metrics = metric_texts()
    name = _name(subscription.kind, period, zone)
    visits = totals["visits"]
    subject = ngettext("%(hub)s, %(name)s: %(count)s visit", "%(hub)s, %(name)s: %(count)s visits", visits)
    restated = restated_between(hub, period.start, period.end, FIGURES)
    numbers = [_number(name, totals, earlier, metrics) for name in FIGURES]
    rankings = [_ranking(panel, table, selection, metrics, now) for panel, table in TABLES]
    context = {
        "name": name,
        "zone": zone.key,
        "before": _("the week before") if subscription.kind == Subscription.WEEKLY else _("the month before"),
        "numbers": numbers,
        "pairs": [numbers[first : first + 2] for first in range(0, len(numbers), 2)],
        "rankings": rankings,
        "file_rows": count(ROWS_OF_FILE),
        "media_total": count(rankings[0].total) if rankings[0].total > ROWS_OF_FILE else None,
        "restated": [row_of(entry, metrics, now, zone) for entry in restated[:ROWS]],
        "restated_rest": max(0, restated.count() - ROWS),
        "restated_url": _url(hub, "restatements", selection),
        "panel_url": _url(hub, CONSULTATION.name, selection),
    }
    return Content(
        subject=subject % {"hub": hub, "name": name, "count": count(visits)},
        template="report",
        context=context,
        files=_files(hub, selection, period, now),
    )


def _selection(hub: Hub, period: Period) -> Selection:
    asked = QueryDict(mutable=True)
    asked["from"], asked["to"] = (at.astimezone(hub.zone).date().isoformat() for at in (period.start, period.end))
    return Selection(hub, asked, "visits")


def _totals(hub: Hub, selection: Selection, period: Period | None, now: datetime) -> dict | None:
    """The totals of a selection; None where the hub keeps no numbers of it. Raises NotYet where it is not all there."""
    try:
        found = ask(hub, selection.asked([*FIGURES], now), now)
    except QueryError as error:
        if period is None and error.code == "not_kept":
            return None
        raise
    if period:
        refuse_unfinished(period, instant(found["meta"]["as_of"]))
    return found["totals"]


def _number(name: str, totals: dict, earlier: dict | None, metrics: dict[str, dict]) -> Number:
    unit = metrics[name]["unit"]
    return Number(
        metrics[name]["title"],
        figure(name, unit, totals[name]),
        change(name, unit, totals[name], earlier[name] if earlier else None),
    )


def _ranking(panel: Panel, name: str, selection: Selection, metrics: dict[str, dict], now: datetime) -> Ranking:
    table = panel.table(name)
    assert table is not None
    viewer = Viewer(selection.hub, absolute(reverse("hub", args=[selection.hub.slug])))
    found = grid(table, selection, metrics, QueryDict(), ROWS, now, viewer.media_url)
    assert found is not None
    home = viewer.url(panel.name)
    rest = found.total - ROWS
    return Ranking(
        total=found.total,
        title=str(table.title),
        heading=dimension_title(table.by),
        columns=[column.title for column in found.columns],
        rows=[
            {"label": row.label, "url": home + row.url, "cells": row.cells, "share": row.share} for row in found.rows
        ],
        rest=ngettext("%(count)s more", "%(count)s more", rest) % {"count": count(rest)} if rest > 0 else "",
        url=f"{home}/{table.name}{selection.query()}",
    )


def _url(hub: Hub, page: str, selection: Selection) -> str:
    return absolute(reverse("hub", args=[hub.slug])) + page + selection.query()


def _name(kind: str, period: Period, zone: ZoneInfo) -> str:
    """A week by its days, a month by its name."""
    if kind == Subscription.WEEKLY:
        return date_range(period.start, period.end, zone)
    return dated(period.start.astimezone(zone), "MMMM y")


def _files(hub: Hub, selection: Selection, period: Period, now: datetime) -> tuple[tuple[str, str], ...]:
    """The key numbers day by day, and the media that were read most."""
    day = period.start.astimezone(hub.zone).date()
    table = CONSULTATION.table("media")
    assert isinstance(table, Table)
    daily = Selection(hub, _with(selection, interval="day"), "visits")
    return (
        (f"{hub.slug}-{day}-days.csv", "".join(chart_lines(FIGURES, daily, now))),
        (f"{hub.slug}-{day}-media.csv", "".join(islice(table_lines(table, selection, now), ROWS_OF_FILE + 1))),
    )


def _with(selection: Selection, **changes: str) -> QueryDict:
    return QueryDict(selection.query(**changes).removeprefix("?"))
