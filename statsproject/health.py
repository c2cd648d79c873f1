"""`GET /healthz`: whether every part serves."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from statsproject import pulse


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """200 where web, both workers, beat and Redis serve, else 503; `parts` says which. A dead part shows within 5 s."""
    parts = pulse.felt() | {"web": True}
    healthy = all(parts.values())
    return JsonResponse({"healthy": healthy, "parts": parts}, status=200 if healthy else 503)
