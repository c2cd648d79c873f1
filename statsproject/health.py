"""`GET /healthz`: whether every part serves."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from statsproject import pulse, servers


@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """200 where web, both workers, beat, Redis and the servers in use serve, else 503. A dead part shows within 5 s."""
    if request.method not in ("GET", "HEAD"):
        detail = f"{request.method} is not allowed here; use GET."
        error = {"code": "method_not_allowed", "detail": detail, "field": None}
        return JsonResponse({"error": error}, status=405, headers={"Allow": "GET, HEAD"})
    serving = {part: trouble is None for part, trouble in servers.troubles().items()}
    parts = pulse.felt() | {"web": True} | serving
    healthy = all(parts.values())
    return JsonResponse({"healthy": healthy, "parts": parts}, status=200 if healthy else 503)
