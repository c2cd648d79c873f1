"""The message that a subscription's mail is: both texts, attachments, and how to end it."""

from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.signing import BadSignature, Signer
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext_lazy as lazy

from views_layer.models import Subscription

KINDS = {
    Subscription.WEEKLY: lazy("Weekly report"),
    Subscription.MONTHLY: lazy("Monthly report"),
    Subscription.HOURLY: lazy("Alert by the hour"),
    Subscription.DAILY: lazy("Alert by the day"),
}
"""What subscriptions are called."""
NOWHERE = "django.core.mail.backends.dummy.EmailBackend"


def _signer() -> Signer:
    return Signer(salt="affluence.subscription", sep=".")


@dataclass(frozen=True, slots=True)
class Content:
    """What a mail says: `template` names both texts, `context` fills them, `files` are attached by name."""

    subject: str
    template: str
    context: dict[str, Any]
    files: tuple[tuple[str, str], ...] = ()


def can_send() -> bool:
    """Whether mail is set up (EMAIL_URL)."""
    return settings.EMAIL_BACKEND != NOWHERE


def token_of(subscription: Subscription) -> str:
    """The token with which whoever gets the mails of a subscription can end it."""
    return _signer().sign(subscription.public_id)


def subscription_of(token: str) -> Subscription | None:
    """The subscription of a token, also one that has ended; None where the token is none of ours."""
    try:
        public_id = _signer().unsign(token)
    except BadSignature:
        return None
    return Subscription.objects.select_related("hub").filter(public_id=public_id).first()


def absolute(path: str) -> str:
    """The address of a page, as a mail needs it."""
    return settings.PUBLIC_URL + path


def html_of(subscription: Subscription, content: Content) -> str:
    """The text of a mail as HTML."""
    return render_to_string(f"mails/{content.template}.html", _context(subscription, content))


def text_of(subscription: Subscription, content: Content) -> str:
    """The text of a mail without any markup."""
    lines = render_to_string(f"mails/{content.template}.txt", _context(subscription, content)).splitlines()
    return "\n".join(_without_runs(line.rstrip() for line in lines)).strip() + "\n"


def message_of(
    subscription: Subscription, content: Content, period: str, to: str | None = None
) -> EmailMultiAlternatives:
    """The message about a period. Sent twice it is still one, by its Message-ID; a test `to` somebody else has its own."""
    headers = {
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": f"<{_leave_url(subscription)}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    if to is None:
        headers["Message-ID"] = f"<{subscription.public_id}.{_plain(period)}@{_domain()}>"
    subject = " ".join(content.subject.split())
    text = text_of(subscription, content)
    message = EmailMultiAlternatives(subject, text, to=[to or subscription.address], headers=headers)
    message.attach_alternative(html_of(subscription, content), "text/html")
    for name, text in content.files:
        message.attach(name, text.encode(), "text/csv")
    return message


def _context(subscription: Subscription, content: Content) -> dict[str, Any]:
    hub = subscription.hub
    return content.context | {
        "hub": hub,
        "subject": content.subject,
        "unsubscribe_url": _leave_url(subscription),
        "reports_url": absolute(reverse("reports", args=[hub.slug])),
    }


def _leave_url(subscription: Subscription) -> str:
    return absolute(reverse("unsubscribe", args=[token_of(subscription)]))


def _without_runs(lines: Iterable[str]) -> Iterable[str]:
    """The lines with one empty line where there were several."""
    was_empty = True
    for line in lines:
        if line or not was_empty:
            yield line
        was_empty = not line


def _plain(period: str) -> str:
    return "".join(letter for letter in period if letter.isalnum())


def _domain() -> str:
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
