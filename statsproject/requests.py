"""Around every request, the collector's too: its id, its place among the figures of `/metrics`, its line in the log."""

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from batch.view_store import RowsGone
from events import collector
from events.log import AWAY
from statsproject import logs
from views_layer.api.errors import RETRY_AFTER_S

logger = logging.getLogger(__name__)

ROUTE = "affluence.route"
"""Where the environ holds the pattern of the path, which unlike the path names no hub and no token."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

disable_created_metrics()
registry = CollectorRegistry()
"""The figures of this process alone."""
counted = Counter(
    "affluence_http_requests", "Requests answered by this process.", ["method", "route", "status"], registry=registry
)
timed = Histogram(
    "affluence_http_request_duration_seconds",
    "Time until the answer was ready, by route.",
    ["route"],
    buckets=BUCKETS_S,
    registry=registry,
)

_well_formed = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Requests:
    """A WSGI application around another: each request has an id, is counted and timed.

    The id is that of X-Request-Id where it is well-formed, else made; `application` finds it in that header, log lines
    name it, and the answer returns it.
    """

    def __init__(self, application: Callable) -> None:
        self._application = application

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = environ["HTTP_X_REQUEST_ID"] = sent if _well_formed.fullmatch(sent) else secrets.token_hex(8)
        began, status = time.perf_counter(), "500"

        def start(status_line: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            nonlocal status
            status = status_line[:3]
            return start_response(status_line, [*headers, ("X-Request-Id", request_id)], *exc_info)

        with logs.work("request", request_id):
            try:
                return self._application(environ, start)
            finally:
                _count(environ, status, time.perf_counter() - began)


def _count(environ: dict, status: str, seconds: float) -> None:
    method, route = environ["REQUEST_METHOD"], _route(environ)
    counted.labels(method if method in METHODS else "other", route, status).inc()
    timed.labels(route).observe(seconds)
    # The collector's answers are many and all the same: figures tell them better than lines.
    if settings.LOG_REQUESTS and environ["PATH_INFO"] not in collector.PATHS:
        logger.info("%s %s: %s in %.0f ms", method, route, status, seconds * 1000)


def _route(environ: dict) -> str:
    path = environ["PATH_INFO"]
    if path in collector.PATHS:
        return "/api/events"
    if path.startswith(settings.STATIC_URL):
        return settings.STATIC_URL
    return environ.get(ROUTE, "none")


class RouteMiddleware:
    """Tells the matched pattern to what is around Django."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> None:
        if request.resolver_match:
            request.META[ROUTE] = f"/{request.resolver_match.route}"


class AwayMiddleware:
    """Answers 503 where a view needs a store that does not serve now, or rows that are being computed again."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, (*AWAY, RowsGone)):
            return None
        logger.warning("A page could not be answered: %r", error)
        return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": RETRY_AFTER_S})


def answer_error(request: HttpRequest) -> HttpResponse:
    """The page of an error of the server, which names the request as the log does."""
    page = render_to_string("500.html", {"request_id": request.headers.get("X-Request-Id")})
    return HttpResponse(page, status=500)
