"""Who asks: a key of scope `read`, a signed-in session, or a share link's token. Each sees its own hub only.

Another hub looks like none. And how often: each key, person and link has a rate, and so has each address whose
requests name nobody known. What spans hubs is for staff.
"""

import math
from dataclasses import dataclass

from django.conf import settings
from django.http import Http404
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from events.collector import address_of
from events.models import ApiKey, Hub
from events.throttle import Throttle, is_this_machine, network_of
from views_layer.access import hub_for_user
from views_layer.links import link_of
from views_layer.models import ShareLink

_callers = Throttle(settings.ASK_RATE / 60, settings.ASK_RATE)
_failures = Throttle(settings.ASK_FAILURE_RATE / 60, settings.ASK_FAILURE_RATE)


class TooManyRequests(APIException):
    """Somebody asks more often than the rate; `wait` becomes the header Retry-After, in seconds."""

    status_code = 429
    default_code = "too_many_requests"

    def __init__(self, wait: float, who: str, rate: int) -> None:
        self.wait = math.ceil(wait)
        super().__init__(f"{who} may ask {rate} times a minute; ask again in {self.wait} s.")


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The caller that a key stands for."""

    key: ApiKey
    is_authenticated: bool = True


@dataclass(frozen=True, slots=True)
class LinkHolder:
    """The caller that a share link's token stands for."""

    link: ShareLink
    is_authenticated: bool = True


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`, or the token of a share link in its place."""

    def authenticate(self, request: Request) -> tuple[KeyHolder | LinkHolder, None] | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        if found := ApiKey.in_use(ApiKey.digest_of(key.strip())):
            return KeyHolder(found), None
        link = link_of(key.strip(), timezone.now())
        if link is None:
            refuse_failing(request)
            raise AuthenticationFailed(
                "This key is unknown or revoked; ask staff for one of scope read.", "unknown_key"
            )
        if link.password:
            raise AuthenticationFailed(
                "This share link has a password: it opens in a browser only; make one without for a program.",
                "locked_link",
            )
        return LinkHolder(link), None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class KeyScheme(OpenApiAuthenticationExtension):
    """What the schema says of keys; to define it registers it."""

    target_class = KeyAuthentication
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A key of scope read, or a share link's token."}


AUTHENTICATION = [KeyAuthentication, SessionAuthentication]


def refuse_failing(request: Request) -> None:
    """Count a request that names nobody known. Raises TooManyRequests where its address sends such too often."""
    address = address_of(request.META)
    if not is_this_machine(address) and (wait := _failures.wait(network_of(address))):
        raise TooManyRequests(wait, "An address that shows no valid key", settings.ASK_FAILURE_RATE)


class CallerThrottle(BaseThrottle):
    """The rate of the key or the person who asks. Raises TooManyRequests."""

    def allow_request(self, request: Request, view: object) -> bool:
        if isinstance(request.user, KeyHolder):
            name = f"key {request.user.key.pk}"
        elif isinstance(request.user, LinkHolder):
            name = f"link {request.user.link.pk}"
        elif request.user.is_authenticated:
            name = f"user {request.user.pk}"
        else:
            refuse_failing(request)
            return True
        if wait := _callers.wait(name):
            raise TooManyRequests(wait, "Each key, link and session", settings.ASK_RATE)
        return True


def hub_for(request: Request, slug: str) -> Hub:
    """The hub `slug`, if the caller may read it. Raises Http404, NotAuthenticated, PermissionDenied."""
    if isinstance(request.user, KeyHolder):
        key = request.user.key
        if key.scope != ApiKey.READ:
            raise PermissionDenied("This key is of scope ingest; asking needs one of scope read.", "wrong_scope")
        if key.hub.slug != slug:
            raise Http404(f"There is no hub {slug!r} here.")
        return key.hub
    if isinstance(request.user, LinkHolder):
        if request.user.link.hub.slug != slug:
            raise Http404(f"There is no hub {slug!r} here.")
        return request.user.link.hub
    if not request.user.is_authenticated:
        raise NotAuthenticated("Send Authorization: Bearer <key> with a key of scope read, or sign in at /login.")
    return hub_for_user(request.user, slug)


def forced_filters(request: Request) -> dict[str, list[str]]:
    """What the caller's questions are narrowed by: the filters of a share link."""
    return request.user.link.filters if isinstance(request.user, LinkHolder) else {}


def refuse_narrowed(request: Request) -> None:
    """Raises PermissionDenied for a caller whose filters an answer about the whole hub would get around."""
    if forced_filters(request):
        raise PermissionDenied("This share link shows a part of the hub; this answer is about all of it.", "narrowed")


def refuse_all_but_staff(request: Request) -> None:
    """Raises NotAuthenticated for nobody, PermissionDenied for whom is no member of staff, signed in."""
    is_person = not isinstance(request.user, KeyHolder | LinkHolder)
    if request.user.is_authenticated and not (is_person and request.user.is_staff):
        raise PermissionDenied("This address is for staff, signed in at /login.", "staff_only")
    if not request.user.is_authenticated:
        raise NotAuthenticated("This address is for staff: sign in at /login.")
