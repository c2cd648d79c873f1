"""The pages of the panel. Each view reads the state from the URL, asks, and renders."""

from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from events.models import Media
from views_layer.access import hubs_of
from views_layer.ask import QueryError
from views_layer.ask import answer as ask
from views_layer.ask import beat as ask_beat
from views_layer.ask import version as version_at
from views_layer.pages.changed import row_of
from views_layer.pages.downloads import download_chart, download_table
from views_layer.pages.elapsed import elapsed
from views_layer.pages.figures import chart, key_numbers
from views_layer.pages.frame import frame_of
from views_layer.pages.heat import heat_of
from views_layer.pages.lengths import LENGTHS
from views_layer.pages.live import live_now
from views_layer.pages.notes import notes_between
from views_layer.pages.panels import CONSULTATION, MEDIA, RESTATEMENTS, Panel
from views_layer.pages.reading import Curve, curve_of, facts_of
from views_layer.pages.reading import download as download_curve
from views_layer.pages.rows import grid as grid_of
from views_layer.pages.selection import DEFAULTS, Selection, with_half_open_dates
from views_layer.pages.trust import reliance
from views_layer.pages.viewer import Place, Request, Viewer, for_viewer
from views_layer.pages.way import WAY
from views_layer.pages.wording import MEDIA_KINDS, dimension_title, instant, metric_texts, time_of_day
from views_layer.question import read_range
from views_layer.restated import restated

ROWS_OF_CARD = 9
ROWS_OF_PAGE = 100
OF_VISITS = {"lengths": LENGTHS, "way": WAY}
"""The cards that tables name in `of_visits`."""


@require_safe
@never_cache
@login_required
def home(request: Request) -> HttpResponse:
    """The first hub of a customer; for staff, and for whoever has none yet, the list of their hubs."""
    hubs = list(hubs_of(request.user))
    if hubs and not request.user.is_staff:
        return redirect("hub", hubs[0].slug)
    return render(request, "pages/hubs.html", {"hubs": hubs})


@for_viewer
def hub(request: Request, viewer: Viewer) -> HttpResponse:
    query = request.GET.urlencode()
    return redirect(viewer.url(CONSULTATION.name) + (f"?{query}" if query else ""))


@for_viewer
def panel(request: Request, viewer: Viewer, panel: Panel) -> HttpResponseBase:
    """A panel: key numbers, the chart, the first tables; the other tables come as fragments."""
    if (changed := with_half_open_dates(request.GET)) is not None:
        return redirect(f"{viewer.url(panel.name)}?{changed.urlencode()}")
    now = timezone.now()
    place = viewer.place(panel)
    selection = Selection(viewer.hub, request.GET, panel.figures[0], viewer.forced)
    context: dict[str, Any] = {"panel": panel, "frame": frame_of(viewer, panel, selection, now)}
    try:
        if request.GET.get("format") == "csv":
            return download_chart(panel, selection, now)
        context |= _panel(request, viewer, place, selection, now)
    except QueryError as error:
        return render(request, "pages/query_error.html", context | {"error": error}, status=400)
    return render(request, "pages/empty.html" if context["is_empty"] else "pages/panel.html", context)


@for_viewer
def media(request: Request, viewer: Viewer, key: str) -> HttpResponseBase:
    """The page of a media: a panel of its own events, with its reading curve."""
    media, place, selection = _of_media(request, viewer, key)
    if (changed := with_half_open_dates(request.GET)) is not None:
        return redirect(f"{place.url}?{changed.urlencode()}")
    now = timezone.now()
    context: dict[str, Any] = {"panel": MEDIA, "media": media, "frame": frame_of(viewer, MEDIA, selection, now)}
    try:
        if request.GET.get("format") == "csv":
            return download_chart(MEDIA, selection, now)
        if request.GET.get("format") == "pages":
            return download_curve(_curve(media, viewer, selection, now), viewer.hub.slug)
        context |= _panel(request, viewer, place, selection, now)
        if not context["is_empty"]:
            curve = _curve(media, viewer, selection, now)
            context["reading"] = facts_of(curve, selection.zone(), now)
    except QueryError as error:
        return render(request, "pages/query_error.html", context | {"error": error}, status=400)
    context |= {
        "kind": MEDIA_KINDS.get(media.kind, media.kind),
        "in_consultation": viewer.url(CONSULTATION.name) + selection.query(media=[key]),
        "pages_csv": place.url + selection.query(format="pages"),
    }
    return render(request, "pages/empty.html" if context["is_empty"] else "pages/media.html", context)


@for_viewer
def table(request: Request, viewer: Viewer, panel: Panel, name: str) -> HttpResponseBase:
    """A table of a panel: as a fragment for its card, or its further rows, and else as a page of its own."""
    selection = Selection(viewer.hub, request.GET, panel.figures[0], viewer.forced)
    return _table(request, viewer, viewer.place(panel), selection, name)


@for_viewer
def media_table(request: Request, viewer: Viewer, name: str, key: str) -> HttpResponseBase:
    """A table of the page of a media."""
    _media, place, selection = _of_media(request, viewer, key)
    return _table(request, viewer, place, selection, name)


def _of_media(request: Request, viewer: Viewer, key: str) -> tuple[Media, Place, Selection]:
    """A media, where its page stands, and its state. Raises Http404 for one that a link does not show, or nobody knows."""
    allowed = viewer.forced.get("media", [key])
    media = viewer.hub.media.filter(key=key).first() if key in allowed else None
    if media is None:
        raise Http404(_("There is no media %(media)s here.") % {"media": key})
    selection = Selection(viewer.hub, request.GET, MEDIA.figures[0], viewer.forced | {"media": [key]})
    return media, viewer.place_of_media(key), selection


def _curve(media: Media, viewer: Viewer, selection: Selection, now: datetime) -> Curve:
    return curve_of(media, selection, viewer.forced.get("media"), now)


def _table(request: Request, viewer: Viewer, place: Place, selection: Selection, name: str) -> HttpResponseBase:
    if (changed := with_half_open_dates(request.GET)) is not None:
        return redirect(f"{place.table_url(name)}?{changed.urlencode()}")
    panel = place.panel
    table = panel.table(name)
    if table is None:
        raise Http404(f"{panel.title} has no table {name!r}.")
    now = timezone.now()
    is_fragment = request.htmx and not request.htmx.boosted and not request.htmx.history_restore_request
    is_page = not is_fragment or "cursor" in request.GET
    context: dict[str, Any] = {"panel": panel, "is_page": is_page}
    if not is_fragment:
        context["frame"] = frame_of(viewer, panel, selection, now)
    try:
        if request.GET.get("format") == "csv" and table.of_visits:
            name = f"{viewer.hub.slug}-{panel.name}-{table.name}.csv"
            return OF_VISITS[table.of_visits].download(selection, now, name)
        if request.GET.get("format") == "csv":
            return download_table(table, panel, selection, now)
        limit = ROWS_OF_PAGE if is_page else ROWS_OF_CARD
        context["card"] = _card(table, place, viewer, selection, request, now, limit, True)
    except QueryError as error:
        template = "pages/card_error.html" if is_fragment else "pages/query_error.html"
        return render(request, template, context | {"error": error, "table": table}, status=400)
    if is_fragment:
        return render(request, "pages/rows.html" if "cursor" in request.GET else "pages/card.html", context)
    card = context["card"]
    if shown := card.get("grid") or card.get("heat") or card.get("visits"):
        context |= reliance(shown.query, shown.meta, viewer, selection, now)
    return render(request, "pages/table.html", context)


@for_viewer
def live(request: Request, viewer: Viewer) -> HttpResponse:
    """The badge of visitors in the last five minutes, with the last thirty minutes behind it."""
    _refuse_narrowed(viewer)
    hub, now = viewer.hub, timezone.now()
    live, version = ask_beat(hub, now)
    shown = {"live": live_now(hub, live), "hub": hub, "version": version}
    return render(request, "pages/live.html", shown)


@for_viewer
def restatements(request: Request, viewer: Viewer) -> HttpResponse:
    """The closed numbers of a period that changed, newest first, a hundred a page."""
    _refuse_narrowed(viewer)
    if (changed := with_half_open_dates(request.GET)) is not None:
        return redirect(f"{viewer.url('restatements')}?{changed.urlencode()}")
    hub = viewer.hub
    now = timezone.now()
    selection = Selection(hub, request.GET, "events")
    context: dict[str, Any] = {"panel": RESTATEMENTS, "frame": frame_of(viewer, RESTATEMENTS, selection, now)}
    try:
        start, end = read_range(selection.asked(["events"], now), hub.timezone, now, default="30d")
    except QueryError as error:
        return render(request, "pages/query_error.html", context | {"error": error}, status=400)
    page = Paginator(restated(hub, start, end), ROWS_OF_PAGE).get_page(request.GET.get("part"))
    metrics = metric_texts()
    context |= {
        "rows": [row_of(entry, metrics, now, selection.zone()) for entry in page],
        "newer": page.has_previous() and selection.query(part=str(page.previous_page_number())),
        "older": page.has_next() and selection.query(part=str(page.next_page_number())),
    }
    return render(request, "pages/restatements.html", context)


def _refuse_narrowed(viewer: Viewer) -> None:
    """Raises Http404 where a page about the whole hub would show what a link's filters hide."""
    if not viewer.sees_all:
        raise Http404(_("This link shows a part of the hub."))


def _panel(request: Request, viewer: Viewer, place: Place, selection: Selection, now) -> dict:
    """The parts of a panel; where it is empty, why. Raises QueryError."""
    context = _numbers(place, viewer, selection, now)
    if context["is_empty"]:
        return context | _emptiness(request, selection, now)
    return context | {
        "cards": [_card(table, place, viewer, selection, request, now, ROWS_OF_CARD) for table in place.panel.tables]
    }


def _numbers(place: Place, viewer: Viewer, selection: Selection, now) -> dict:
    """Key numbers, chart and trust line, all from one answer."""
    panel = place.panel
    metrics = metric_texts()
    interval = selection.interval(now)
    compare = {"compare": selection.compare} if selection.is_compared else {}
    version = version_at(selection.hub, now)  # Before the answer, which may know of more.
    names = [*panel.figures, "visitors", "events", selection.metric]
    answer = ask(selection.hub, selection.asked(names, now, interval=interval, **compare), now)
    compared = elapsed(selection, names, answer, now) if selection.is_compared else None
    totals, until = compared or (answer["totals"], None)
    compared_until = time_of_day(until, now, selection.zone()) if until else None
    notes = notes_between(viewer, answer["query"], selection.zone())
    return reliance(answer["query"], answer["meta"], viewer, selection, now) | {
        "version": version if instant(answer["query"]["to"]) >= now else "",
        "notes": notes,
        "is_empty": not answer["totals"]["events"],
        "figures": key_numbers(answer, totals, panel.figures, metrics, selection, compared_until),
        "compared_until": compared_until,
        "csv": place.url + selection.query(format="csv"),
        "chart": chart(answer, selection, metrics, interval, notes),
        "intervals": selection.interval_choices(now),
        "interval": interval,
    }


def _card(table, place, viewer, selection, request, now, limit, asked_for=False) -> dict:
    """A table's card; its rows only where it is among the first or was asked for."""
    card = {
        "table": table,
        "heading": table.heading or dimension_title(table.by),
        "panel_url": place.url,
        "url": place.table_url(table.name),
        "query": selection.query(),
        "csv": selection.query(format="csv"),
        "is_loaded": False,
    }
    if (table.needs and table.needs not in selection.filters) or selection.filters.keys() & {*table.refuses}:
        return card | {"is_loaded": True, "hint": table.hint}
    if table.of_visits and asked_for:
        return card | {"is_loaded": True, "visits": OF_VISITS[table.of_visits].shown(selection, now)}
    if table.across and asked_for:
        return card | {"is_loaded": True, "heat": heat_of(table, selection, metric_texts(), now)}
    if asked_for or table.is_first:
        grid = grid_of(table, selection, metric_texts(), request.GET, limit, now, viewer.media_url)
        card |= {"is_loaded": True, "grid": grid}
    return card


def _robots(selection: Selection, now) -> str:
    """The page with robots, where they are all that there is to see; else empty."""
    if selection.robots != DEFAULTS["robots"]:
        return ""
    asked = selection.asked(["events"], now)
    asked["robots"] = "only"
    return selection.query(robots="include") if ask(selection.hub, asked, now)["totals"]["events"] else ""


def _emptiness(request: Request, selection: Selection, now) -> dict:
    """Why there is nothing to see: no event ever, or none that passes the period, the filters and the robots."""
    everything = Selection(selection.hub, type(request.GET)("period=all&robots=include"), "events", selection.forced)
    ever = ask(selection.hub, everything.asked(["events"], now), now)
    return {
        "has_events": bool(ever["totals"]["events"]),
        "robots": _robots(selection, now),
        "first_at": instant(ever["query"]["from"]).astimezone(selection.zone()),
        "all_time": selection.query(period="all", from_=None, to=None, interval=None),
        "collector": request.build_absolute_uri("/api/events"),
        "tracker": request.build_absolute_uri("/tracker.js"),
    }
