"""Errors of the API: always {"error": {"code", "detail", "field"}}."""

import logging

from django.http import Http404
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import exception_handler

from batch.view_store import RowsGone
from events.log import AWAY
from views_layer.question import QueryError

RETRY_AFTER_S = "15"

logger = logging.getLogger(__name__)


def answer_error(error: Exception, context: dict) -> Response | None:
    """The response to an exception of a view; 500 for what the API does not expect, which is logged."""
    if isinstance(error, QueryError):
        return _response(400, error.code, error.detail, error.field)
    if isinstance(error, Http404):
        return _response(404, "not_found", str(error) or "There is nothing here.", None)
    if isinstance(error, RowsGone):
        logger.warning("A question found rows or raw events missing: %s", error)
        return _later("not_ready", "Rows or raw events are being computed again; ask again soon.")
    if isinstance(error, AWAY):
        logger.warning("A question could not be answered: %r", error)
        return _later("unavailable", "A store of this server does not serve now; nothing is lost, ask again soon.")
    response = exception_handler(error, context)
    if response is not None and isinstance(error, APIException):
        code = error.get_codes()
        shown = _response(response.status_code, code if isinstance(code, str) else "invalid", str(error.detail), None)
        for name, value in response.headers.items():
            if name.lower() != "content-type":
                shown[name] = value
        return shown
    if response is None:
        logger.exception("A request of the API failed.")
        request_id = context["request"].headers.get("X-Request-Id", "without id")
        detail = f"The question could not be answered because of an error of the server (request {request_id})."
        return _response(500, "server_error", detail, None)
    return response


def _later(code: str, detail: str) -> Response:
    response = _response(503, code, detail, None)
    response["Retry-After"] = RETRY_AFTER_S
    return response


def _response(status: int, code: str, detail: str, field: str | None) -> Response:
    return Response({"error": {"code": code, "detail": detail, "field": field}}, status=status)
