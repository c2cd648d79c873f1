"""What django-axes needs to throttle logins without keeping an address."""

import ipaddress
from typing import Any

from axes.backends import AxesStandaloneBackend
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.utils.crypto import salted_hmac

from events.collector import address_of
from events.throttle import network_of


class Throttle(AxesStandaloneBackend):
    """Refuses a login that is locked. Without a request, as in a command, there is no network and no throttle."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        if request is not None:
            super().authenticate(request, **credentials)


def hashed_address(request: HttpRequest) -> str:
    """A keyed hash of the client's network, written as an IPv6 address: axes keeps it where an address would stand.

    The network is the whole IPv4 address, or the first 64 bits of an IPv6 address: whoever has one, has all of them.
    """
    digest = salted_hmac("affluence.login", network_of(address_of(request.META)), algorithm="sha256").digest()
    return str(ipaddress.IPv6Address(digest[:16]))


def locked(request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None) -> HttpResponse:
    """The answer to a login that is locked, on both login pages: 429, how long, and the ways out."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    context = {"minutes": minutes, "failures": settings.AXES_FAILURE_LIMIT}
    answer = render(request, "pages/locked.html", context, status=429)
    answer["Retry-After"] = str(minutes * 60)
    add_never_cache_headers(answer)
    return answer
