"""The post: plans the mails that are due, and sends each once.

A tick is a hint, the tables decide. What is due becomes a row, one for each subscription and period; whoever sends it
claims it first, by an update of the row as it was read, so that of several workers one does. A claim that ends without
an outcome was of a worker that was killed: once its lease is over the mail is sent, with the same Message-ID, so that a
mail program that had it already keeps one. What fails is tried again, ever later, until the mail is of no use any more.
"""

import logging
import time
from datetime import datetime, timedelta
from smtplib import SMTPRecipientsRefused, SMTPResponseException

from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models import F, Q
from django.utils import translation
from django.utils.translation import gettext as _

from views_layer.mails import confirmation
from views_layer.mails.alert import QUIET, alert, facts_of, look
from views_layer.mails.message import Content, can_send, message_of
from views_layer.mails.periods import NotYet, Period, last_due, name_of, named
from views_layer.mails.report import report
from views_layer.models import Mail, Subscription
from views_layer.question import QueryError

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=15)
"""When a claim without outcome counts as that of a dead worker."""
ROUND_S = 300.0
"""How long one round may begin to send mails: its claims, timed from its begin, must outlast the last of them."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=5), timedelta(hours=6)
LASTS = {
    Subscription.WEEKLY: timedelta(days=6),
    Subscription.MONTHLY: timedelta(days=27),
    Subscription.DAILY: timedelta(hours=20),
    Subscription.HOURLY: timedelta(hours=4),
}
"""For how long a mail that cannot be sent is tried: a report until the next is near, an alert while it is news."""


def carry_out(now: datetime) -> None:
    """Plan what is due by now, and send it. Without EMAIL_URL nothing is planned."""
    if can_send():
        plan(now)
        send_due(now)


def plan(now: datetime) -> None:
    """Make the rows of the mails that are due by now. A subscription that fails holds up no other."""
    for subscription in Subscription.objects.filter(ended_at=None, confirmed_at__lte=now).select_related("hub"):
        period = last_due(subscription.kind, subscription.hub.zone, now)
        assert subscription.confirmed_at is not None
        if subscription.confirmed_at >= period.due_at or subscription.planned_until == period.end:
            continue
        try:
            _plan(subscription, period, now)
        except NotYet as error:
            logger.info("%s waits: %s", subscription, error)
        except Exception:
            logger.exception("%s of %s could not be planned; it is tried again.", subscription, period.start)


def _plan(subscription: Subscription, period: Period, now: datetime) -> None:
    facts = {}
    is_due = True
    if subscription.is_alert:
        finding = look(subscription, period, now)
        is_due = finding is not None and bool(finding.direction) and not _is_quiet(subscription, now)
        facts = facts_of(finding) if finding else {}
    with transaction.atomic():
        if is_due:
            fields = {"facts": facts, "due_at": now, "free_at": now, "until": now + LASTS[subscription.kind]}
            name = name_of(subscription.kind, period, subscription.hub.zone)
            Mail.objects.get_or_create(subscription=subscription, period=name, defaults=fields)
        Subscription.objects.filter(pk=subscription.pk).update(planned_until=period.end)


def _is_quiet(subscription: Subscription, now: datetime) -> bool:
    """Whether an alert of this subscription was sent, or is about to be, in the last day."""
    return subscription.mails.filter(asks=False).filter(Q(due_at__gt=now - QUIET) | Q(sent_at__gt=now - QUIET)).exists()


def send_due(now: datetime) -> None:
    """Send what is due and free. A server that does not answer ends the round; a mail that it refuses does not."""
    begun = time.monotonic()
    # A time farther ahead was written by a clock that was.
    is_free = Q(free_at__lte=now) | Q(free_at__gt=now + LONGEST_PAUSE)
    is_wanted = Q(asks=False, subscription__confirmed_at__isnull=False) | Q(asks=True, subscription__confirmed_at=None)
    due = Mail.objects.filter(is_free, is_wanted, sent_at=None, until__gt=now, subscription__ended_at=None)
    connection = get_connection()
    try:
        for mail in due.select_related("subscription__hub").order_by("due_at", "pk"):
            if time.monotonic() - begun > ROUND_S:
                return
            if _claim(mail, now) and not _send(mail, connection, now):
                return
    finally:
        connection.close()


def _claim(mail: Mail, now: datetime) -> bool:
    """True for the one worker that may send this mail until its lease is over."""
    until = now + LEASE
    seen = Mail.objects.filter(pk=mail.pk, sent_at=None, free_at=mail.free_at, tries=mail.tries)
    if not seen.update(free_at=until, claimed_at=now, tries=F("tries") + 1, error=""):
        return False
    if mail.tries and not mail.error:
        logger.warning(
            "%s was claimed at %s, and its worker ended without outcome; it is sent now.", mail, mail.claimed_at
        )
    mail.free_at, mail.tries = until, mail.tries + 1
    return True


def _send(mail: Mail, connection: BaseEmailBackend, now: datetime) -> bool:
    """Send a claimed mail and keep the outcome. False where the server does not answer."""
    does_answer = True
    try:
        message = compose(mail, now)
        connection.open()
        connection.send_messages([message])
    except (SMTPResponseException, SMTPRecipientsRefused, QueryError, NotYet) as error:
        _keep_failure(mail, error, now)
    except OSError as error:
        _keep_failure(mail, error, now)
        does_answer = False
    except Exception as error:
        logger.exception("%s could not be made.", mail)
        _keep_failure(mail, error, now)
    else:
        Mail.objects.filter(pk=mail.pk).update(sent_at=now, subject=message.subject[:300])
    return does_answer


def _keep_failure(mail: Mail, error: Exception, now: datetime) -> None:
    free_at = now + min(FIRST_PAUSE * 2 ** min(mail.tries - 1, 10), LONGEST_PAUSE)
    said = str(error) or type(error).__name__
    logger.warning("%s was not sent (%s); it is tried again at %s.", mail, said, free_at)
    Mail.objects.filter(pk=mail.pk, free_at=mail.free_at).update(error=said[:2_000], free_at=free_at)


def compose(mail: Mail, now: datetime) -> EmailMultiAlternatives:
    """The message of a mail, in the language of its subscription. Raises NotYet, QueryError."""
    subscription = mail.subscription
    with translation.override(subscription.language):
        if mail.asks:
            return message_of(subscription, confirmation.confirmation(subscription, mail.due_at), mail.period)
        period = named(subscription.kind, mail.period, subscription.hub.zone)
        return message_of(subscription, _content(subscription, period, mail.facts, now), mail.period)


def preview(subscription: Subscription, now: datetime) -> tuple[Content, str]:
    """What a subscription would send of its last period, whether or not it is due, and the name of that period.

    Raises NotYet, QueryError. To be called in the language of the subscription.
    """
    period = last_due(subscription.kind, subscription.hub.zone, now)
    facts = {}
    if subscription.is_alert:
        finding = look(subscription, period, now)
        if finding is None:
            raise NotYet(_("There are no numbers of the weeks before to compare with yet."))
        facts = facts_of(finding)
    return _content(subscription, period, facts, now), name_of(subscription.kind, period, subscription.hub.zone)


def send_test(subscription: Subscription, to: str, now: datetime) -> None:
    """Send what a subscription would send of its last period to somebody else. Raises OSError, NotYet, QueryError."""
    with translation.override(subscription.language):
        content, period = preview(subscription, now)
        message_of(subscription, content, period, to).send()


def _content(subscription: Subscription, period: Period, facts: dict, now: datetime) -> Content:
    if subscription.is_alert:
        return alert(subscription, period, facts)
    return report(subscription, period, now)
