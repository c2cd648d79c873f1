"""Who asks: a key of scope `read`, or a signed-in session. Each sees its own hub only; another hub looks like none."""

from dataclasses import dataclass

from django.http import Http404
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.request import Request

from events.models import ApiKey, Hub
from views_layer.access import hub_for_user


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The caller that a key stands for."""

    key: ApiKey
    is_authenticated: bool = True


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`."""

    def authenticate(self, request: Request) -> tuple[KeyHolder, None] | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        found = (
            ApiKey.objects.select_related("hub").filter(digest=ApiKey.digest_of(key.strip()), revoked_at=None).first()
        )
        if found is None:
            raise AuthenticationFailed(
                "This key is unknown or revoked; ask staff for one of scope read.", "unknown_key"
            )
        return KeyHolder(found), None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class KeyScheme(OpenApiAuthenticationExtension):
    """What the schema says of keys; to define it registers it."""

    target_class = KeyAuthentication
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A key of scope read."}


AUTHENTICATION = [KeyAuthentication, SessionAuthentication]


def hub_for(request: Request, slug: str) -> Hub:
    """The hub `slug`, if the caller may read it. Raises Http404, NotAuthenticated, PermissionDenied."""
    if isinstance(request.user, KeyHolder):
        key = request.user.key
        if key.scope != ApiKey.READ:
            raise PermissionDenied("This key is of scope ingest; asking needs one of scope read.", "wrong_scope")
        if key.hub.slug != slug:
            raise Http404(f"There is no hub {slug!r} here.")
        return key.hub
    if not request.user.is_authenticated:
        raise NotAuthenticated("Send Authorization: Bearer <key> with a key of scope read, or sign in at /login.")
    return hub_for_user(request.user, slug)
