"""The views of the API. They parse, call and answer."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aggregations.metrics import METRICS
from insights.journeys.flow import STEPS_BACK
from insights.retribution import MODELS
from views_layer.api.access import (
    AUTHENTICATION,
    CallerThrottle,
    forced_filters,
    hub_for,
    refuse_all_but_staff,
    refuse_narrowed,
)
from views_layer.ask import answer, live, metric_catalogue
from views_layer.features import ORDERS, features
from views_layer.insights import NODES_AT_MOST, dissemination, retribution
from views_layer.journeys import ROWS_AT_MOST, journeys
from views_layer.links import narrowed
from views_layer.media import find
from views_layer.period import PERIODS
from views_layer.question import (
    COMPARISONS,
    FORMATS,
    INTERVALS,
    LIMIT,
    ROBOTS,
    QueryError,
    cursor_text,
    read_cursor,
    read_limit,
    read_range,
    refuse_all_but,
)
from views_layer.recommendations import LIMIT_AT_MOST, recommendations
from views_layer.restated import restated
from views_layer.tables import csv_of

MEDIA_AT_MOST = 1_000


def _parameter(
    name: str, description: str, choices: tuple[str, ...] | None = None, required: bool = False
) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=description, enum=choices, required=required)


def _limit(at_most: int) -> OpenApiParameter:
    kind = {"type": "integer", "minimum": 1, "maximum": at_most}
    return OpenApiParameter("limit", kind, description=f"Rows of a page, 1 to {at_most}.")


STATS_PARAMETERS = [
    _parameter("metrics", f"Comma-separated names of {', '.join(METRICS)}.", required=True),
    _parameter("period", "A named period, local to `timezone`.", PERIODS),
    _parameter("from", "Half-open start: a date or an instant."),
    _parameter("to", "Half-open end: a date or an instant."),
    _parameter("timezone", "An IANA zone; default: the hub's."),
    _parameter("interval", "One row per bucket.", INTERVALS),
    _parameter("by", "Comma-separated dimensions. Any dimension's name is also a filter; empty means without a value."),
    _parameter("robots", "Robots left out, counted too, or alone.", ROBOTS),
    _parameter("compare", "An earlier range beside each row.", COMPARISONS),
    _parameter("order", "Metric, dimension or time; - for descending."),
    _limit(LIMIT),
    _parameter("cursor", "meta.next_cursor of the page before."),
    _parameter("format", "json or csv.", FORMATS),
]
INSIGHT_PARAMETERS = [
    *STATS_PARAMETERS[1:5],
    _parameter("robots", "Robots left out, counted too, or alone.", ROBOTS),
]


_error = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "detail", "field"],
            "properties": {
                "code": {"type": "string"},
                "detail": {"type": "string"},
                "field": {"type": "string", "nullable": True},
            },
        }
    },
}
ERRORS = {
    400: OpenApiResponse(_error, "The question cannot be answered; `field` names the parameter."),
    401: OpenApiResponse(_error, "Nobody asks, or an unknown or revoked key."),
    403: OpenApiResponse(_error, "A key of another scope than read, or a share link that shows a part of the hub."),
    404: OpenApiResponse(_error, "There is no such hub, or it is another's."),
    429: OpenApiResponse(_error, "Asked too often; `Retry-After` says when to ask again."),
    503: OpenApiResponse(_error, "A store does not serve now, or rows are computed again; `Retry-After` as above."),
}
STAFF_ONLY = OpenApiResponse(_error, "Who asks is no member of staff, signed in.")
ANSWERS = {200: OpenApiTypes.OBJECT, **ERRORS}


class JsonView(APIView):
    """A view of the API: `OPTIONS` says what is allowed and nothing else."""

    authentication_classes: list = []

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        return Response(status=204)


class HubView(JsonView):
    """A view of one hub's numbers."""

    authentication_classes = AUTHENTICATION
    throttle_classes = [CallerThrottle]

    def perform_content_negotiation(self, request: Request, force: bool = False):
        """`format` is a parameter of the question and chooses no renderer."""
        return self.get_renderers()[0], "application/json"


class StatsView(HubView):
    """Statistics of a hub."""

    @extend_schema(
        parameters=STATS_PARAMETERS,
        responses={(200, "application/json"): OpenApiTypes.OBJECT, (200, "text/csv"): OpenApiTypes.STR, **ERRORS},
    )
    def get(self, request: Request, hub: str) -> HttpResponse:
        found = hub_for(request, hub)
        form = request.query_params.get("format", "json")
        if form not in FORMATS:
            raise QueryError("invalid_format", f"format {form!r} is unknown; use {', '.join(FORMATS)}.", "format")
        result = answer(found, narrowed(request.query_params, forced_filters(request)), timezone.now())
        if form == "csv":
            response = HttpResponse(csv_of(result), content_type="text/csv; charset=utf-8")
            response["Content-Disposition"] = f'attachment; filename="{found.slug}.csv"'
            if result["meta"]["next_cursor"]:
                response["X-Next-Cursor"] = result["meta"]["next_cursor"]
            return response
        return Response(result)


class LiveView(HubView):
    """The last thirty minutes of a hub."""

    @extend_schema(responses=ANSWERS)
    def get(self, request: Request, hub: str) -> Response:
        found = hub_for(request, hub)
        refuse_narrowed(request)
        refuse_all_but(request.query_params)
        return Response(live(found, timezone.now()))


class MediaView(HubView):
    """The catalogue of a hub's media."""

    @extend_schema(
        parameters=[
            _parameter("search", "Beginnings of words of a title or an id; case and accents make no difference."),
            _limit(MEDIA_AT_MOST),
            _parameter("cursor", ""),
        ],
        responses=ANSWERS,
    )
    def get(self, request: Request, hub: str) -> Response:
        asked = hub_for(request, hub)
        refuse_narrowed(request)
        refuse_all_but(request.query_params, "search", "limit", "cursor")
        limit = read_limit(request.query_params, MEDIA_AT_MOST, MEDIA_AT_MOST)
        found = find(asked, request.query_params.get("search", ""), limit, _after(request.query_params))
        return Response(
            {
                "results": [
                    {"media": m.key, "kind": m.kind or None, "title": m.title or None, "pages": m.pages}
                    for m in found.media
                ],
                "meta": {
                    "total_rows": found.total,
                    "next_cursor": None if found.after is None else cursor_text([found.after]),
                },
            }
        )


class RestatementsView(HubView):
    """Closed numbers of a hub that changed."""

    @extend_schema(parameters=STATS_PARAMETERS[1:5], responses=ANSWERS)
    def get(self, request: Request, hub: str) -> Response:
        found = hub_for(request, hub)
        refuse_narrowed(request)
        refuse_all_but(request.query_params, "period", "from", "to", "timezone")
        start, end = read_range(request.query_params, found.timezone, timezone.now(), default="all")
        return Response(
            {
                "results": [
                    {
                        "metric": entry.metric,
                        "from": entry.day_start,
                        "to": entry.day_end,
                        "old": _number(entry.old),
                        "new": _number(entry.new),
                        "reason": entry.reason,
                        "restated_at": entry.restated_at,
                    }
                    for entry in restated(found, start, end)
                ]
            }
        )


class DisseminationView(HubView):
    """The tree of the shares of a media."""

    @extend_schema(
        parameters=[
            _parameter("media", "A media's id; empty: the hub itself. Default: every share of the hub."),
            _limit(NODES_AT_MOST),
            *INSIGHT_PARAMETERS,
        ],
        responses=ANSWERS,
    )
    def get(self, request: Request, hub: str) -> Response:
        found = hub_for(request, hub)
        refuse_narrowed(request)
        return Response(dissemination(found, request.query_params, timezone.now()))


class RetributionView(HubView):
    """Credits of the intermediaries that brought the readers to a goal."""

    @extend_schema(
        parameters=[
            _parameter("goal", "`visits`, or an action. Default: visits."),
            _parameter("model", "How credit is dealt. Default: last.", tuple(MODELS)),
            *INSIGHT_PARAMETERS,
        ],
        responses=ANSWERS,
    )
    def get(self, request: Request, hub: str) -> Response:
        found = hub_for(request, hub)
        refuse_narrowed(request)
        return Response(retribution(found, request.query_params, timezone.now()))


class RecommendationsView(HubView):
    """What to read next."""

    @extend_schema(
        parameters=[
            _parameter("media", "What its readers also read. Beside `visitor` an error; without both: popular now."),
            _parameter("visitor", "What a visitor, named as clients name it, has not read yet."),
            _limit(LIMIT_AT_MOST),
            *INSIGHT_PARAMETERS,
        ],
        responses=ANSWERS,
    )
    def get(self, request: Request, hub: str) -> Response:
        found = hub_for(request, hub)
        refuse_narrowed(request)
        return Response(recommendations(found, request.query_params, timezone.now()))


class FeaturesView(HubView):
    """Used features and actions of all hubs, for staff."""

    @extend_schema(
        parameters=[
            *STATS_PARAMETERS[1:4],
            _parameter("timezone", "An IANA zone; default: UTC."),
            _parameter("robots", "Robots left out, counted too, or alone.", ROBOTS),
            _parameter("order", f"One of {', '.join(ORDERS)}; - for descending. Default: -events, most used first."),
        ],
        responses={200: OpenApiTypes.OBJECT, **{status: ERRORS[status] for status in (400, 401)}, 403: STAFF_ONLY},
    )
    def get(self, request: Request) -> Response:
        refuse_all_but_staff(request)
        return Response(features(request.query_params, timezone.now()))


class JourneysView(HubView):
    """What follows what in visits, and how well the next step is predicted, for staff."""

    @extend_schema(
        parameters=[
            _parameter("hub", "A hub. Default: all hubs together."),
            OpenApiParameter(
                "after",
                {"type": "array", "items": {"type": "string"}, "maxItems": STEPS_BACK},
                description="A step that came before: media:<id>, feature:<target>, or an action; oldest first.",
            ),
            _limit(ROWS_AT_MOST),
            *STATS_PARAMETERS[1:4],
            _parameter("timezone", "An IANA zone; default: the hub's, of all hubs UTC."),
            _parameter("robots", "Robots left out, counted too, or alone.", ROBOTS),
        ],
        responses={200: OpenApiTypes.OBJECT, **{s: ERRORS[s] for s in (400, 401, 404)}, 403: STAFF_ONLY},
    )
    def get(self, request: Request) -> Response:
        refuse_all_but_staff(request)
        return Response(journeys(request.query_params, timezone.now()))


class MetricsView(JsonView):
    """The catalogue of metrics."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        refuse_all_but(request.query_params)
        return Response({"metrics": metric_catalogue()})


class NothingHere(APIView):
    """Any other address below /api/."""

    authentication_classes: list = []
    schema = None

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        detail = f"There is nothing at {request.path}; see /api/schema for what there is."
        return JsonResponse({"error": {"code": "not_found", "detail": detail, "field": None}}, status=404)


def _after(parameters: QueryDict) -> str | None:
    """The id after which a page of media begins; None for the first page."""
    match read_cursor(parameters):
        case None:
            return None
        case [str(after)]:
            return after
    raise QueryError("invalid_cursor", "This cursor is of another question; ask without one first.", "cursor")


def _number(value: float | None) -> int | float | None:
    """Whole numbers as integers."""
    return int(value) if value is not None and value.is_integer() else value
