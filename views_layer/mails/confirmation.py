"""Confirmation: an address that somebody else has entered is asked whether it wants the mails, and has no other before."""

from datetime import UTC, datetime, timedelta

from django.core.signing import BadSignature, Signer
from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from views_layer.mails.message import KINDS, Content, absolute
from views_layer.models import Mail, Subscription
from views_layer.pages.wording import dated

LASTS = timedelta(days=7)
"""How long the link of a question confirms."""
TRIED = timedelta(days=3)
"""For how long a question that cannot be sent is tried: whoever gets it late has days left to answer."""
PAUSE = timedelta(minutes=10)
"""How long a subscription waits before it may be asked again."""
A_DAY = 3
"""How often a hub may ask one address in 24 hours, whatever it is subscribed to: a form that mails strangers is misused."""


class MayNotAsk(Exception):
    """The address was asked too lately or too often, and may be asked from `again_at` on; None: it wants no mails of the hub."""

    def __init__(self, again_at: datetime | None) -> None:
        super().__init__(f"It may be asked from {again_at} on." if again_at else "It wants no mails of this hub.")
        self.again_at = again_at


def _signer() -> Signer:
    return Signer(salt="affluence.confirmation", sep=".")


def token_of(subscription: Subscription, until: datetime) -> str:
    """The token with which whoever gets the question confirms, before `until`."""
    return _signer().sign(f"{subscription.public_id}.{int(until.timestamp())}")


def asked_by(token: str, now: datetime) -> Subscription | None:
    """The subscription of a token, also one that was confirmed or has ended; None for one that is over, or none of ours."""
    try:
        public_id, _separator, until = _signer().unsign(token).rpartition(".")
    except BadSignature:
        return None
    if int(until) <= now.timestamp():
        return None
    return Subscription.objects.select_related("hub").filter(public_id=public_id).first()


def ask(subscription: Subscription, now: datetime) -> None:
    """Let the address be asked. Raises MayNotAsk. Of two calls at once one asks."""
    _refuse(subscription, now)
    with transaction.atomic():
        seen = Subscription.objects.filter(
            pk=subscription.pk, confirmed_at=None, ended_at=None, asked_at=subscription.asked_at
        )
        if not seen.update(asked_at=now):
            return
        Mail.objects.create(
            subscription=subscription,
            period=now.astimezone(UTC).isoformat(timespec="seconds"),
            asks=True,
            due_at=now,
            free_at=now,
            until=now + TRIED,
        )


def _refuse(subscription: Subscription, now: datetime) -> None:
    """Raises MayNotAsk."""
    of_address = Subscription.objects.filter(hub=subscription.hub, address__iexact=subscription.address)
    if of_address.filter(is_unsubscribed=True, confirmed_at=None).exists():
        raise MayNotAsk(None)
    if subscription.asked_at and now < subscription.asked_at + PAUSE:
        raise MayNotAsk(subscription.asked_at + PAUSE)
    asked = Mail.objects.filter(asks=True, subscription__in=of_address)
    lately = [*asked.filter(due_at__gt=now - timedelta(days=1)).order_by("due_at").values_list("due_at", flat=True)]
    if len(lately) >= A_DAY:
        raise MayNotAsk(lately[-A_DAY] + timedelta(days=1))


def confirm(subscription: Subscription, now: datetime) -> None:
    """From now on it is sent; its first period is the next that ends. Idempotent; one that has ended stays so."""
    Subscription.objects.filter(pk=subscription.pk, confirmed_at=None, ended_at=None).update(confirmed_at=now)
    subscription.refresh_from_db()


def confirmation(subscription: Subscription, asked_at: datetime) -> Content:
    """The question, in the language that is active."""
    until = asked_at + LASTS
    title = KINDS[subscription.kind]
    return Content(
        subject=_("%(hub)s: please confirm (%(title)s)") % {"hub": subscription.hub, "title": title},
        template="confirmation",
        context={
            "title": title,
            "address": subscription.address,
            "until": dated(until.astimezone(subscription.hub.zone), "d MMMM y, HH:mm"),
            "zone": subscription.hub.zone.key,
            "confirm_url": absolute(reverse("confirm", args=[token_of(subscription, until)])),
        },
    )
