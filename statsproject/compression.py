"""Answers compressed for whoever takes that."""

from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers

from events.served import accepts_gzip


class CompressionMiddleware(GZipMiddleware):
    """Django's own, which takes `gzip;q=0` for a wish."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if accepts_gzip(request):
            return super().process_response(request, response)
        patch_vary_headers(response, ("Accept-Encoding",))
        return response
