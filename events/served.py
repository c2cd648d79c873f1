"""Files of ours that pages of any site load: made once in each process, and not sent again to who has them."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import rjsmin
import zopfli.gzip
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response

DAY_S = 24 * 3600

_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Served:
    """What is answered: plain and compressed, and the digest of both."""

    plain: bytes
    zipped: bytes
    digest: str


@cache
def served(file: Path) -> Served:
    """A file as it is served; a script without comments and needless space."""
    text = file.read_text(encoding="utf-8")
    plain = (rjsmin.jsmin(text) if file.suffix == ".js" else text).encode()
    return Served(plain, zopfli.gzip.compress(plain), hashlib.sha256(plain).hexdigest()[:20])


def accepts_gzip(request: HttpRequest) -> bool:
    """Whether the client takes gzip, and does not refuse it by `q=0`."""
    return _GZIP.search(request.headers.get("Accept-Encoding", "")) is not None


def serve(request: HttpRequest, file: Path) -> HttpResponseBase:
    """200, or 304 where the client has it. A day in caches: a mended script is everywhere the day after."""
    made = served(file)
    is_zipped = accepts_gzip(request)
    etag = f'"{made.digest}{"-gzip" if is_zipped else ""}"'
    kind = "javascript" if file.suffix == ".js" else "plain"
    content = made.zipped if is_zipped else made.plain
    response = HttpResponse(content, content_type=f"text/{kind}; charset=utf-8")
    if is_zipped:
        response["Content-Encoding"] = "gzip"
    response["ETag"] = etag
    response["Vary"] = "Accept-Encoding"
    response["Cache-Control"] = f"public, max-age={DAY_S}"
    response["Access-Control-Allow-Origin"] = "*"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return get_conditional_response(request, etag=etag, response=response) or response
