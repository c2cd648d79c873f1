"""`GET /embed/recommendations.js`, and the list that it draws, `GET /embed/recommendations`."""

import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from events.collector import BURST_S, address_of, user_agent_of
from events.models import SLUG
from events.served import serve
from events.throttle import Throttle, is_this_machine, network_of
from views_layer.api.access import TooManyRequests
from views_layer.api.views import JsonView
from views_layer.embed.lists import recommended
from views_layer.question import QueryError, read_limit, refuse_all_but

SCRIPT = Path(__file__).parent / "recommendations.js"
LIMIT, LIMIT_AT_MOST = 5, 20
BROWSER_S = 60
"""How long a browser keeps a list."""
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Max-Age": "86400",
}

_addresses = Throttle(settings.COLLECT_RATE, BURST_S * settings.COLLECT_RATE)


@require_safe
def script(request: HttpRequest) -> HttpResponseBase:
    """The script, for pages of any origin."""
    return serve(request, SCRIPT)


class AddressThrottle(BaseThrottle):
    """The rate of an address, that of the collector. Raises TooManyRequests."""

    def allow_request(self, request: Request, view: object) -> bool:
        address = address_of(request.META)
        if not is_this_machine(address) and (wait := _addresses.wait(network_of(address))):
            raise TooManyRequests(wait, "An address", 60 * settings.COLLECT_RATE)
        return True


class RecommendationsView(JsonView):
    """A list for a page of any origin. It takes no visitor: that would tell what somebody has read."""

    schema = None
    throttle_classes = [AddressThrottle]

    def get(self, request: Request) -> Response:
        asked = request.query_params
        refuse_all_but(asked, "hub", "media", "limit")
        limit = read_limit(asked, LIMIT_AT_MOST, LIMIT)
        browser = address_of(request.META), user_agent_of(request.META)
        answer = recommended(_slug(asked.get("hub")), asked.get("media", ""), limit, timezone.now(), browser)
        return Response(answer, headers={"Cache-Control": f"private, max-age={BROWSER_S}"})

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in CORS.items():
            response[name] = value
        return response


def _slug(text: str | None) -> str:
    """Raises QueryError where no hub is named, Http404 for what can be the slug of none."""
    if not text:
        raise QueryError("missing_hub", "hub is required: the slug of a hub.", "hub")
    if not re.fullmatch(SLUG.regex, text):  # no other text should reach a database
        raise Http404(f"There is no hub {text!r} whose recommendations may be embedded.")
    return text
