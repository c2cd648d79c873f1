"""The admin's own pages: its home with the pipeline at a glance, errands, used features, journeys."""

import logging
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied
from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe
from kombu.exceptions import OperationalError
from redis import RedisError

from batch.models import ArchiveFile, Errand, Run
from batch.view_store import RowsGone
from events.admin import note
from statsproject import journeys, pulse
from statsproject.glance import charts, glance, span_in_words
from views_layer import errands
from views_layer.features import MOST_USED_FIRST, features
from views_layer.pages.wording import Change, change, count, instant
from views_layer.question import QueryError
from views_layer.tasks import reconcile

logger = logging.getLogger(__name__)

MAY_SEE_PIPELINE, MAY_RUN, MAY_SEE_FEATURES = "batch.view_run", "batch.add_errand", "events.view_hub"


@dataclass(frozen=True, slots=True)
class Asked:
    """A kind of errand as the home offers it."""

    kind: str
    title: str
    does: str
    is_confirmed: bool = False
    """Whether it is asked once more before it is entered."""


ERRANDS = (
    Asked(Run.HOURLY, "Run now", "Swaps, folds what has come since the last cut, and publishes it."),
    Asked(
        Run.DAILY, "Daily run", "Recomputes from the raw events every hour that was touched since the last daily run."
    ),
    Asked(
        Run.REBUILD,
        "Rebuild",
        "Recomputes every number from the raw events. Answers stay exact meanwhile, and the old rows serve until the new ones"
        " are published; the batch worker does nothing else until then.",
        is_confirmed=True,
    ),
    Asked(Errand.SWAP, "Swap", "Freezes the active buffer now; its run follows at once."),
    Asked(Errand.RETRY, "Retry", "Runs the epoch that waits now, whatever pause its failures have brought."),
)

PERIODS = {"7d": "7 days", "30d": "30 days", "12mo": "12 months", "all": "All time"}
ORDERS = {
    MOST_USED_FIRST: "Most used first",
    "events": "Least used first",
    "-trend": "Growing most",
    "trend": "Shrinking most",
}


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What unfold's index shows besides its own: the pipeline, for those who may see it."""
    if request.user.has_perm(MAY_SEE_PIPELINE):
        now = timezone.now()
        offered = ERRANDS if request.user.has_perm(MAY_RUN) else ()
        context |= {"title": "The pipeline", "glance": glance(now), "charts": charts(now), "errands": offered}
    return context


@require_safe
def pipeline(request: HttpRequest) -> HttpResponse:
    """The figures of the home, anew."""
    _refuse_without(request, MAY_SEE_PIPELINE)
    return render(request, "admin/glance.html", {"glance": glance(timezone.now())})


@require_safe
def pipeline_charts(request: HttpRequest) -> HttpResponse:
    """The charts of the home, anew."""
    _refuse_without(request, MAY_SEE_PIPELINE)
    return render(request, "admin/charts.html", {"charts": charts(timezone.now())})


@require_http_methods(["GET", "HEAD", "POST"])
def errand(request: HttpRequest, kind: str) -> HttpResponse:
    """Ask whether an errand is meant; with POST enter it, if it was asked or need not be."""
    _refuse_without(request, MAY_RUN)
    asked = next((asked for asked in ERRANDS if asked.kind == kind), None)
    if asked is None:
        raise Http404(f"There is no errand {kind!r}; there are {', '.join(asked.kind for asked in ERRANDS)}.")
    if request.method != "POST" or (asked.is_confirmed and "confirmed" not in request.POST):
        context = admin.site.each_context(request) | {"title": asked.title, "asked": asked, "cost": _cost(asked)}
        return render(request, "admin/errand.html", context)
    _enter(request, asked)
    return redirect("admin:index")


def _enter(request: HttpRequest, asked: Asked) -> None:
    try:
        entered = errands.ask(asked.kind, request.user.get_username(), timezone.now())
    except errands.AskedAlready as refusal:
        messages.warning(request, str(refusal))
        return
    note(request, [entered], f"Asked for: {asked.title}.", ADDITION)
    if _woken():
        messages.success(request, f"{asked.title}: asked for. Its progress shows below.")
    else:
        messages.warning(
            request, f"{asked.title}: asked for. The worker cannot be woken; it begins when the broker answers again."
        )


def _woken() -> bool:
    """Tell the worker at once; where that fails the next tick does. A Redis that gives no answer is not waited for."""
    if not pulse.felt()["redis"]:
        return False
    try:
        reconcile.apply_async(retry=False)
    except (OperationalError, RedisError) as error:
        logger.warning("The worker could not be woken (%s); the next tick does the errand.", error)
        return False
    return True


def _cost(asked: Asked) -> str:
    """What a rebuild will have to do, and how long the last one took."""
    if asked.kind != Run.REBUILD:
        return ""
    events = ArchiveFile.objects.filter(retired_epoch=None).aggregate(events=Sum("event_count"))["events"] or 0
    last = Run.objects.filter(kind=Run.REBUILD, published_at__isnull=False).first()
    if last is None or last.published_at is None:
        return f"There are {events:,} events; nothing was rebuilt here before."
    took = span_in_words(last.published_at - last.claimed_at)
    return f"There are {events:,} events; the last rebuild, of epoch {last.epoch}, took {took}."


@dataclass(frozen=True, slots=True)
class Used:
    """A row of the page of used features."""

    name: str
    is_named: bool
    events: str
    visits: str
    visitors: str
    change: Change | None
    width: int
    hubs: str
    more_hubs: int


def _asked(request: HttpRequest) -> QueryDict:
    """The question of the page of used features: of the last 30 days where it names no range."""
    asked = request.GET.copy()
    if not asked.keys() & {"period", "from", "to"}:
        asked["period"] = "30d"
    return asked


@require_safe
def used_features(request: HttpRequest) -> HttpResponse:
    """Used features and actions of all hubs; the same answer as GET /api/features."""
    _refuse_without(request, MAY_SEE_FEATURES)
    context = admin.site.each_context(request) | {"title": "Used features"}
    try:
        found = features(_asked(request), timezone.now())
    except QueryError as error:
        return render(request, "admin/features.html", context | {"error": str(error)}, status=400)
    except RowsGone:
        told = "Rows or raw events are being computed again; reload soon."
        return render(request, "admin/features.html", context | {"error": told}, status=503)
    context |= {
        "found": found,
        "as_of": instant(found["meta"]["as_of"]),
        "tables": [
            ("Features", "Feature", _used(found["results"], "feature")),
            ("Actions", "Action", _used(found["actions"], "action")),
        ],
        "periods": _choices(request.GET, "period", PERIODS, "30d"),
        "orders": _choices(request.GET, "order", ORDERS, MOST_USED_FIRST),
    }
    return render(request, "admin/features.html", context)


def _used(rows: list[dict[str, Any]], by: str) -> list[Used]:
    most = max((row["events"] for row in rows), default=0) or 1
    return [
        Used(
            name=row[by] if row[by] is not None else "Not named",
            is_named=row[by] is not None,
            events=count(row["events"]),
            visits=count(row["visits"]),
            visitors=count(row["visitors"]),
            change=change("events", "count", row["events"], row["previous"]["events"]) if row["previous"] else None,
            width=round(100 * row["events"] / most),
            hubs=", ".join(used["hub"] for used in row["hubs"][:HUBS_NAMED]),
            more_hubs=len(row["hubs"]) - HUBS_NAMED,
        )
        for row in rows
    ]


HUBS_NAMED = 5
"""Hubs of a feature that are named; of the others the number is told."""


def _choices(parameters: QueryDict, name: str, choices: dict[str, str], default: str) -> list[tuple[str, str, bool]]:
    """Links that set one parameter: title, address, whether it is the one that is set."""
    links = []
    for value, title in choices.items():
        other = parameters.copy()
        other[name] = value
        if name == "period":
            other.pop("from", None)
            other.pop("to", None)
        links.append((title, "?" + other.urlencode(), (parameters.get(name) or default) == value))
    return links


def _refuse_without(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied


@require_safe
def journeys_of_readers(request: HttpRequest) -> HttpResponse:
    """Journeys of readers; see statsproject.journeys."""
    _refuse_without(request, MAY_SEE_FEATURES)
    return journeys.page(request)


URLS = [
    path("pipeline/", admin.site.admin_view(pipeline), name="pipeline"),
    path("pipeline/charts/", admin.site.admin_view(pipeline_charts), name="pipeline_charts"),
    path("errands/<slug:kind>/", admin.site.admin_view(errand), name="errand"),
    path("features/", admin.site.admin_view(used_features), name="used_features"),
    path("journeys/", admin.site.admin_view(journeys_of_readers), name="journeys"),
]
