"""`GET /tracker.js` and `GET /tracker.d.ts`: made from the source beside this file, once in each process."""

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import rjsmin
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

FOLDER = Path(__file__).parent
DAY_S = 24 * 3600

_accepts_gzip = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Served:
    """What is answered: plain and compressed, and the digest of both."""

    plain: bytes
    zipped: bytes
    digest: str


@cache
def served(name: str) -> Served:
    """A file of this folder as it is served; a script without comments and needless space."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    plain = (rjsmin.jsmin(text) if name.endswith(".js") else text).encode()
    return Served(plain, gzip.compress(plain, 9, mtime=0), hashlib.sha256(plain).hexdigest()[:20])


@require_safe
def script(request: HttpRequest) -> HttpResponseBase:
    """The tracker, for pages of any origin."""
    return _answer(request, served("tracker.js"), "text/javascript; charset=utf-8")


@require_safe
def types(request: HttpRequest) -> HttpResponseBase:
    """Its TypeScript declarations."""
    return _answer(request, served("tracker.d.ts"), "text/plain; charset=utf-8")


def _answer(request: HttpRequest, file: Served, content_type: str) -> HttpResponseBase:
    """200, or 304 where the client has it. A day in caches: a mended tracker is everywhere the day after."""
    is_zipped = _accepts_gzip.search(request.headers.get("Accept-Encoding", "")) is not None
    etag = f'"{file.digest}{"-gzip" if is_zipped else ""}"'
    response = HttpResponse(file.zipped if is_zipped else file.plain, content_type=content_type)
    if is_zipped:
        response["Content-Encoding"] = "gzip"
    response["ETag"] = etag
    response["Vary"] = "Accept-Encoding"
    response["Cache-Control"] = f"public, max-age={DAY_S}"
    response["Access-Control-Allow-Origin"] = "*"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return get_conditional_response(request, etag=etag, response=response) or response
