"""The pages of the panel. Each view reads the state from the URL, asks, and renders."""

import functools
from collections.abc import Callable
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from views_layer.access import hub_for_user, hubs_of
from views_layer.ask import QueryError, metric_catalogue
from views_layer.ask import answer as ask
from views_layer.ask import live as ask_live
from views_layer.pages.changed import row_of
from views_layer.pages.figures import chart, key_numbers
from views_layer.pages.frame import frame_of
from views_layer.pages.live import live_now
from views_layer.pages.panels import CONSULTATION, RESTATEMENTS, Panel
from views_layer.pages.rows import grid as grid_of
from views_layer.pages.selection import Selection, with_half_open_dates
from views_layer.pages.trust import trust_line
from views_layer.pages.wording import date_range, dimension_title, instant
from views_layer.question import read_range
from views_layer.restated import restated


class Request(HttpRequest):
    """A request as django-htmx's middleware passes it on."""

    htmx: HtmxDetails


ROWS_OF_CARD = 9
ROWS_OF_PAGE = 100


def signed_in(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view for signed-in people. Others are sent to the login page, a fragment's whole page with it."""

    @functools.wraps(view)
    def guarded(request: Request, *args, **kwargs) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        if request.htmx:
            return HttpResponseClientRedirect(redirect_to_login(request.htmx.current_url_abs_path or "/").url)
        return redirect_to_login(request.get_full_path())

    return require_safe(never_cache(guarded))


@signed_in
def home(request: Request) -> HttpResponse:
    """The first hub of a customer; for staff, and for whoever has none yet, the list of their hubs."""
    hubs = list(hubs_of(request.user))
    if hubs and not request.user.is_staff:
        return redirect(CONSULTATION.name, hubs[0].slug)
    return render(request, "pages/hubs.html", {"hubs": hubs})


@signed_in
def hub(request: Request, slug: str) -> HttpResponse:
    return redirect(CONSULTATION.name, hub_for_user(request.user, slug).slug)


@signed_in
def panel(request: Request, slug: str, panel: Panel) -> HttpResponse:
    """A panel: key numbers, the chart, the first tables; the other tables come as fragments."""
    hub = hub_for_user(request.user, slug)
    if (changed := with_half_open_dates(request.GET)) is not None:
        return redirect(f"{reverse(panel.name, args=[slug])}?{changed.urlencode()}")
    now = timezone.now()
    selection = Selection(hub, request.GET, panel.figures[0])
    context: dict[str, Any] = {"panel": panel, "frame": frame_of(request, hub, panel, selection, now)}
    try:
        context |= _numbers(panel, selection, now)
        if context["is_empty"]:
            return render(request, "pages/empty.html", context | _emptiness(request, selection, now))
        context["cards"] = [_card(table, panel, selection, request, now, ROWS_OF_CARD) for table in panel.tables]
    except QueryError as error:
        return render(request, "pages/query_error.html", context | {"error": error}, status=400)
    return render(request, "pages/panel.html", context)


@signed_in
def table(request: Request, slug: str, panel: Panel, name: str) -> HttpResponse:
    """A table of a panel: as a fragment for its card, or its further rows, and else as a page of its own."""
    hub = hub_for_user(request.user, slug)
    table = panel.table(name)
    if table is None:
        raise Http404(f"{panel.title} has no table {name!r}.")
    now = timezone.now()
    selection = Selection(hub, request.GET, panel.figures[0])
    is_fragment = request.htmx and not request.htmx.boosted and not request.htmx.history_restore_request
    is_page = not is_fragment or "cursor" in request.GET
    context: dict[str, Any] = {"panel": panel, "is_page": is_page}
    if not is_fragment:
        context["frame"] = frame_of(request, hub, panel, selection, now)
    try:
        context["card"] = _card(table, panel, selection, request, now, ROWS_OF_PAGE if is_page else ROWS_OF_CARD, True)
    except QueryError as error:
        template = "pages/card_error.html" if is_fragment else "pages/query_error.html"
        return render(request, template, context | {"error": error, "table": table}, status=400)
    if is_fragment:
        return render(request, "pages/rows.html" if "cursor" in request.GET else "pages/card.html", context)
    if grid := context["card"].get("grid"):
        context |= _reliance(grid.query, grid.meta, selection, now)
    return render(request, "pages/table.html", context)


@signed_in
def live(request: Request, slug: str) -> HttpResponse:
    """The badge of visitors in the last five minutes, with the last thirty minutes behind it."""
    hub = hub_for_user(request.user, slug)
    return render(request, "pages/live.html", {"live": live_now(hub, ask_live(hub, timezone.now())), "hub": hub})


@signed_in
def restatements(request: Request, slug: str) -> HttpResponse:
    """The closed numbers of a period that changed, newest first, a hundred a page."""
    hub = hub_for_user(request.user, slug)
    if (changed := with_half_open_dates(request.GET)) is not None:
        return redirect(f"{reverse('restatements', args=[slug])}?{changed.urlencode()}")
    now = timezone.now()
    selection = Selection(hub, request.GET, "events")
    context: dict[str, Any] = {"panel": RESTATEMENTS, "frame": frame_of(request, hub, RESTATEMENTS, selection, now)}
    try:
        start, end = read_range(selection.asked(["events"], now), hub.timezone, now, default="30d")
    except QueryError as error:
        return render(request, "pages/query_error.html", context | {"error": error}, status=400)
    page = Paginator(restated(hub, start, end), ROWS_OF_PAGE).get_page(request.GET.get("part"))
    metrics = _metrics()
    context |= {
        "rows": [row_of(entry, metrics, now, selection.zone()) for entry in page],
        "newer": page.has_previous() and selection.query(part=str(page.previous_page_number())),
        "older": page.has_next() and selection.query(part=str(page.next_page_number())),
    }
    return render(request, "pages/restatements.html", context)


def _metrics() -> dict[str, dict]:
    return {metric["name"]: metric for metric in metric_catalogue()}


def _numbers(panel: Panel, selection: Selection, now) -> dict:
    """Key numbers, chart and trust line, all from one answer."""
    metrics = _metrics()
    interval = selection.interval(now)
    compare = {"compare": selection.compare} if selection.is_compared else {}
    names = [*panel.figures, "visitors", "events", selection.metric]
    answer = ask(selection.hub, selection.asked(names, now, interval=interval, **compare), now)
    return _reliance(answer["query"], answer["meta"], selection, now) | {
        "is_empty": not answer["totals"]["events"],
        "figures": key_numbers(answer, panel.figures, metrics, selection),
        "chart": chart(answer, selection.metric, metrics, interval),
        "intervals": selection.interval_choices(now),
        "interval": interval,
    }


def _reliance(query: dict, meta: dict, selection: Selection, now) -> dict:
    """Which days an answer is about, and how far it can be relied upon."""
    zone = selection.zone()
    days = date_range(instant(query["from"]), instant(query["to"]), zone)
    start, end = (round(instant(query[name]).timestamp() * 1000) for name in ("from", "to"))
    return {
        "trust": trust_line(meta, now, zone),
        "range": days,
        "restated_count": restated(selection.hub, start, end).count(),
        "restated_url": reverse("restatements", args=[selection.hub.slug])
        + selection.query(metric=None, interval=None),
    }


def _card(table, panel, selection, request, now, limit, asked_for=False) -> dict:
    """A table's card; its rows only where it is among the first or was asked for."""
    url = reverse(f"{panel.name}-table", args=[selection.hub.slug, table.name])
    card = {
        "table": table,
        "heading": dimension_title(table.by),
        "hub": selection.hub.slug,
        "url": url,
        "query": selection.query(),
        "is_loaded": False,
    }
    if table.needs and table.needs not in selection.filters:
        return card | {"is_loaded": True, "hint": table.hint}
    if asked_for or table.is_first:
        card |= {"is_loaded": True, "grid": grid_of(table, selection, _metrics(), request.GET, limit, now)}
    return card


def _emptiness(request: Request, selection: Selection, now) -> dict:
    """Why there is nothing to see: no event ever, or none that passes the period, the filters and the robots."""
    everything = Selection(selection.hub, type(request.GET)("period=all&robots=include"), "events")
    ever = ask(selection.hub, everything.asked(["events"], now), now)["totals"]["events"]
    return {
        "has_events": bool(ever),
        "all_time": selection.query(period="all", from_=None, to=None, interval=None),
        "collector": request.build_absolute_uri("/api/events"),
        "tracker": request.build_absolute_uri("/tracker.js"),
    }
