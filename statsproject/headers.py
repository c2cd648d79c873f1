"""The headers that tell a browser what a page of ours may do."""

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase

PAGES = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF],
    "font-src": [SELF],
    "connect-src": [SELF],
    "form-action": [SELF],
    "base-uri": [NONE],
    "frame-ancestors": [NONE],
}
# Unfold's pages hold expressions for Alpine, which evaluates them, and a style element with the colours. Scripts come
# from files of ours all the same: text of an event that became a script element or a handler would not run.
ADMIN = PAGES | {"script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE], "img-src": [SELF, "data:"]}

# A share link has no session behind it, so that it may stand in a page of another site.
EMBEDDED = PAGES | {"frame-ancestors": ["*"]}

PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "payment",
        "usb",
    )
)
# What other sites load from here.
SHARED = frozenset({"/tracker.js"})


class HeadersMiddleware(CSPMiddleware):
    """Content-Security-Policy (the admin's is wider), Permissions-Policy and Cross-Origin-Resource-Policy."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if not report_only:
            parts.config = _policy(request)
        return parts

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response = super().process_response(request, response)
        if is_embedded(request):
            response.headers.pop("X-Frame-Options", None)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        origin = "cross-origin" if request.path_info in SHARED else "same-origin"
        response.headers.setdefault("Cross-Origin-Resource-Policy", origin)
        return response


def _policy(request: HttpRequest) -> dict:
    if request.path_info.startswith("/admin/"):
        return ADMIN
    return EMBEDDED if is_embedded(request) else PAGES


def is_embedded(request: HttpRequest) -> bool:
    return request.path_info.startswith("/s/") and bool(request.GET.get("embed"))
