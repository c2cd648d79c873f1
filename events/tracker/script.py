"""`GET /tracker.js` and `GET /tracker.d.ts`."""

from pathlib import Path

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe

from events.served import serve

SCRIPT = Path(__file__).parent / "tracker.js"
TYPES = SCRIPT.with_name("tracker.d.ts")


@require_safe
def script(request: HttpRequest) -> HttpResponseBase:
    """The tracker, for pages of any origin."""
    return serve(request, SCRIPT)


@require_safe
def types(request: HttpRequest) -> HttpResponseBase:
    """Its TypeScript declarations."""
    return serve(request, TYPES)
