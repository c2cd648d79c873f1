"""Share links: who holds one reads the pages of one hub, narrowed by filters that cannot be removed."""

from datetime import datetime

from django.contrib.auth.hashers import check_password, make_password
from django.core.signing import BadSignature, Signer
from django.db.models import Q
from django.http import QueryDict

from views_layer.models import ShareLink
from views_layer.question import QueryError

_signer = Signer(salt="affluence.share-link", sep=".")


def token_of(link: ShareLink) -> str:
    """The token of a link, which its address holds. It can be made again, and a copy of the table has none."""
    return _signer.sign(link.public_id)


def link_of(token: str, now: datetime) -> ShareLink | None:
    """The link of a token with its hub; None where the token is none of ours, or the link was revoked or has expired."""
    try:
        public_id = _signer.unsign(token)
    except BadSignature:
        return None
    lasting = Q(expires_at=None) | Q(expires_at__gt=now)
    return ShareLink.objects.select_related("hub").filter(lasting, public_id=public_id, revoked_at=None).first()


def lock(link: ShareLink, password: str) -> None:
    """Set the password of a link that is not saved yet; the empty one leaves it open."""
    link.password = make_password(password) if password else ""


def opens(link: ShareLink, password: str) -> bool:
    return check_password(password, link.password)


def narrowed(parameters: QueryDict, filters: dict[str, list[str]]) -> QueryDict:
    """The parameters of a question with the forced `filters`, which a filter of its own may only narrow.

    Raises QueryError for a filter that asks for more than they let through.
    """
    asked = parameters.copy()
    for name, allowed in filters.items():
        chosen = asked.getlist(name)
        for value in chosen:
            if value not in allowed:
                raise QueryError(
                    f"invalid_{name}",
                    f"{name} {value!r} is not what this share link shows; use {' or '.join(map(repr, allowed))}.",
                    name,
                )
        asked.setlist(name, chosen or allowed)
    return asked
