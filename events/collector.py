"""The collector: `POST /api/events`, as a WSGI application in front of Django.

Requests are decoded and normalised in their own thread; one thread writes what all of them have, in one commit. An
answer 202 is given after that commit and never before.
"""

import logging
import math
import random
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from django.conf import settings
from django.db import InterfaceError, OperationalError

from events.committer import Busy, Committer, Unsure
from events.directory import Memory, counted_since, grant_of
from events.intake import Batch, Intake, batch_of
from events.models import ApiKey
from events.normaliser import Caller
from events.sent import MAX_BYTES, UNPRINTABLE, Body, Malformed, TooManyEvents
from events.throttle import Throttle, is_this_machine, network_of

logger = logging.getLogger(__name__)

RETRY_AFTER_S = (1, 5)
"""From and to how many seconds: chosen anew for each answer, so that those who were refused together do not come back together."""
DECODING_AT_ONCE = 4
"""Threads that decode and normalise. More make nothing faster, and keep a page from its turn at the interpreter."""
BURST_S = 2
"""How many seconds' worth of requests may come at once."""
PATHS = frozenset({"/api/events", "/api/events/"})
CORS = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, OPTIONS"),
    ("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding"),
    ("Access-Control-Expose-Headers", "Retry-After"),
    ("Access-Control-Max-Age", "86400"),
]

_language = re.compile(r"\s*([A-Za-z]{2,8})(?![A-Za-z])")


class Refused(Exception):
    """A request that is not taken: HTTP status, and the error of the answer."""

    def __init__(self, status: int, code: str, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.error = {"code": code, "detail": detail, "field": field}


class Collector:
    """Answers `/api/events`; hands every other request to `django_application`."""

    def __init__(self, django_application: Callable, make_intake: Callable[[], Intake] = Intake) -> None:
        self._django_application = django_application
        self._committer = Committer(make_intake)
        self._decoding = threading.Semaphore(DECODING_AT_ONCE)
        self._counted_since = Memory(counted_since)
        self._grant_of = Memory(grant_of)
        self._addresses = Throttle(settings.COLLECT_RATE, BURST_S * settings.COLLECT_RATE)
        self._keys = Throttle(settings.COLLECT_KEY_RATE, BURST_S * settings.COLLECT_KEY_RATE)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        if environ["PATH_INFO"] not in PATHS:
            return self._django_application(environ, start_response)
        headers: list[tuple[str, str]] = []
        try:
            status, answer = self._answer(environ, headers)
        except Refused as refused:
            status, answer = refused.status, {"error": refused.error}
        except Busy as busy:
            status, answer = 503, {"error": {"code": "busy", "detail": str(busy), "field": None}}
            headers.append(("Retry-After", str(random.randint(*RETRY_AFTER_S))))
        except Unsure as unsure:
            status, answer = 503, {"error": {"code": "outcome_unknown", "detail": str(unsure), "field": None}}
            headers.append(("Retry-After", str(random.randint(*RETRY_AFTER_S))))
        except (OperationalError, InterfaceError) as error:
            logger.warning("Not collected: hubs and keys cannot be looked up (%s).", str(error).partition("\n")[0])
            detail = "Hubs and keys cannot be looked up now; nothing was written, send the events again later."
            status, answer = 503, {"error": {"code": "busy", "detail": detail, "field": None}}
            headers.append(("Retry-After", str(random.randint(*RETRY_AFTER_S))))
        except Exception:
            logger.exception("A request to collect events failed.")
            request_id = environ.get("HTTP_X_REQUEST_ID", "without id")
            detail = f"The events were not accepted because of an error of the server (request {request_id})."
            status, answer = 500, {"error": {"code": "server_error", "detail": detail, "field": None}}
        body = b"" if answer is None else msgspec.json.encode(answer)
        if answer is not None:
            headers.append(("Content-Type", "application/json"))
        headers.append(("Content-Length", str(len(body))))
        start_response(f"{status} {HTTPStatus(status).phrase}", [*CORS, *headers])
        return [body]

    def _answer(self, environ: dict, headers: list[tuple[str, str]]) -> tuple[int, Any]:
        method = environ["REQUEST_METHOD"]
        if method == "OPTIONS":
            return 204, None
        if method != "POST":
            headers.append(("Allow", "POST, OPTIONS"))
            raise Refused(405, "method_not_allowed", f"{method} is not allowed here; use POST.")
        caller, content = self._caller(environ, headers), read_body(environ)
        with self._decoding:
            batch, rejected = _batch(content, caller, int(time.time() * 1000))
        outcome = self._committer.commit(batch)
        return 202, {"accepted": outcome.accepted, "duplicates": outcome.duplicates, "rejected": rejected}

    def _caller(self, environ: dict, headers: list[tuple[str, str]]) -> Caller:
        header = environ.get("HTTP_AUTHORIZATION")
        if not header:
            caller = _public(environ, self._counted_since)
            self._refuse_often(caller.address, headers)
            return caller
        kind, _, key = header.partition(" ")
        # By digest: what is sent as a key may be long, and the memory of grants is bounded by their number alone.
        digest = ApiKey.digest_of(key.strip())
        grant = self._grant_of(digest) if kind.lower() == "bearer" else None
        if grant is None:
            self._refuse_often(address_of(environ), headers)
            headers.append(("WWW-Authenticate", "Bearer"))
            raise Refused(401, "unknown_key", "The key is unknown or revoked; send Authorization: Bearer <key>.")
        hub, scope = grant
        if scope != ApiKey.INGEST:
            raise Refused(403, "wrong_scope", f"A key of scope {scope} cannot send events; use one of scope ingest.")
        if wait := self._keys.wait(digest):
            raise _too_many(wait, settings.COLLECT_KEY_RATE, "this key", headers)
        return Caller({hub: self._counted_since(hub)}.get, is_trusted=True)

    def _refuse_often(self, address: str, headers: list[tuple[str, str]]) -> None:
        if not is_this_machine(address) and (wait := self._addresses.wait(network_of(address))):
            raise _too_many(wait, settings.COLLECT_RATE, "this address", headers)


def _too_many(wait: float, rate: int, name: str, headers: list[tuple[str, str]]) -> Refused:
    seconds = math.ceil(wait)
    headers.append(("Retry-After", str(seconds)))
    return Refused(
        429,
        "too_many_requests",
        f"More than {rate} requests a second come from {name}; send again in {seconds} s, with more events in each.",
    )


def _public(environ: dict, hubs: Callable[[str], int | None]) -> Caller:
    return Caller(
        hubs,
        address=address_of(environ),
        user_agent=user_agent_of(environ),
        language=language_of(environ.get("HTTP_ACCEPT_LANGUAGE", "")),
    )


def address_of(environ: dict) -> str:
    """The client's address, as the outermost of TRUSTED_PROXIES proxies saw it; each appends to X-Forwarded-For."""
    if settings.TRUSTED_PROXIES:
        hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
        if len(hops) >= settings.TRUSTED_PROXIES:
            return hops[-settings.TRUSTED_PROXIES]
    return environ.get("REMOTE_ADDR", "")


def user_agent_of(environ: dict) -> str:
    """What the client says that it is, as an event may hold it."""
    return UNPRINTABLE.sub("", environ.get("HTTP_USER_AGENT", ""))[:2_000]


def language_of(header: str) -> str | None:
    """The primary subtag of an Accept-Language header's first tag, lower-case: fr of fr-CH,en;q=0.5."""
    match = _language.match(header)
    return match[1].lower() if match else None


def _batch(content: bytes, caller: Caller, received_at: int) -> tuple[Batch, list[dict]]:
    """What the body's events became, and the `rejected` of the answer."""
    try:
        return batch_of(Body(content, caller.sends), len(content), caller, received_at)
    except Malformed as error:
        raise Refused(400, "invalid_json", str(error)) from error
    except TooManyEvents as error:
        raise Refused(413, "too_many_events", str(error), "events") from error


def read_body(environ: dict) -> bytes:
    """The request's body, decompressed; at most MAX_BYTES before and after. Raises Refused."""
    content = _read(environ)
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in ("", "identity"):
        return content
    if encoding != "gzip":
        raise Refused(415, "unknown_encoding", f"Content-Encoding {encoding!r} is not supported; use gzip or none.")
    return _unzipped(content)


def _read(environ: dict) -> bytes:
    stream = environ["wsgi.input"]
    text = environ.get("CONTENT_LENGTH") or ""
    if not text:
        is_chunked = environ.get("wsgi.input_terminated") or environ.get("HTTP_TRANSFER_ENCODING")
        content = _read_up_to(stream, MAX_BYTES + 1) if is_chunked else b""
    elif not text.isdecimal():
        raise Refused(400, "invalid_length", f"Content-Length must be a number, not {text!r}.")
    elif len(text) > 18 or int(text) > MAX_BYTES:  # Python converts no more than 4,300 digits
        raise _too_large()
    else:
        content = _read_up_to(stream, int(text))
        if len(content) < int(text):
            raise Refused(400, "incomplete", f"The body ended after {len(content)} of {text} bytes.")
    if len(content) > MAX_BYTES:
        raise _too_large()
    return content


def _read_up_to(stream: Any, size: int) -> bytes:
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _unzipped(content: bytes) -> bytes:
    unzip = zlib.decompressobj(wbits=31)
    try:
        plain = unzip.decompress(content, MAX_BYTES + 1)
    except zlib.error as error:
        raise Refused(400, "invalid_gzip", f"The body is no gzip: {error}.") from error
    if len(plain) > MAX_BYTES:
        raise _too_large()
    if not unzip.eof or unzip.unused_data:
        raise Refused(400, "invalid_gzip", "The body must be one complete gzip member.")
    return plain


def _too_large() -> Refused:
    return Refused(413, "too_large", f"The body is larger than {MAX_BYTES} bytes; send fewer events at once.")
