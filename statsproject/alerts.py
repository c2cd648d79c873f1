"""Alerts: tells people of alarms, by e-mail and webhook, once each way and each day while they last.

What a channel has taken is kept, so that one that fails is tried again the next minute and the other tells nothing
twice. Of several workers one tells at a time. A crash between sending and keeping tells once more, never less.
"""

import json
import logging
import socket
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta
from http.client import HTTPException

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q

from statsproject import alarms
from statsproject.alarms import Alarm
from statsproject.models import Alert, Teller, Telling

logger = logging.getLogger(__name__)

AGAIN_AFTER = timedelta(days=1)
TIMEOUT_S = 5.0
TELLER_LEASE = timedelta(minutes=5)
"""When a teller that says nothing counts as dead: longer than slow channels take for all alarms."""
PATIENCE = {check.name: check.patience for check in alarms.CHECKS}


def watch(now: datetime) -> None:
    """Look at all alarms, keep what stands and what is over, and tell what is due."""
    record(alarms.look(alarms.Facts(now)), now)
    tell(now)


def record(found: dict[str, Alarm | None], now: datetime) -> None:
    """Keep which alarms stand since when. One that went before anybody was told of it is forgotten."""
    with transaction.atomic():
        standing = {alert.name: alert for alert in Alert.objects.filter(cleared_at=None)}
        for name, alarm in found.items():
            if alarm:
                said = {"severity": alarm.severity, "sentence": alarm.sentence}
                Alert.objects.update_or_create(
                    name=name, cleared_at=None, defaults=said, create_defaults={**said, "since": now}
                )
            elif alert := standing.get(name):
                if not alert.tellings.exists():
                    alert.delete()
                else:
                    alert.cleared_at = now
                    alert.save(update_fields=["cleared_at"])


def tell(now: datetime) -> None:
    """Tell each channel what is due. One that fails is left until the next minute, with all that it was to be told.

    Nothing is told where another worker is telling.
    """
    until = now + TELLER_LEASE
    if not _claim(now, until):
        return
    try:
        _tell(now)
    finally:
        Teller.objects.filter(free_at=until).update(free_at=now)


def _claim(now: datetime, until: datetime) -> bool:
    """True for the one worker that may tell until then. A time farther ahead was written by a clock that was."""
    Teller.objects.get_or_create(pk=1, defaults={"free_at": now})
    return bool(Teller.objects.filter(Q(free_at__lte=now) | Q(free_at__gt=until)).update(free_at=until))


def _tell(now: datetime) -> None:
    recent = Alert.objects.filter(Q(cleared_at=None) | Q(cleared_at__gt=now - AGAIN_AFTER)).order_by("since")
    alerts = list(recent.prefetch_related("tellings"))
    for channel, send in channels().items():
        try:
            for alert in alerts:
                if state := _due(alert, channel, now):
                    send(alert, state)
                    Telling.objects.update_or_create(
                        alert=alert, channel=channel, state=state, defaults={"told_at": now}
                    )
        except (OSError, HTTPException) as error:
            logger.warning("The %s could not be told (%s); it is tried again in a minute.", channel, error)


def _due(alert: Alert, channel: str, now: datetime) -> str | None:
    """The state that a channel is to be told of now, if any."""
    told = {telling.state: telling.told_at for telling in alert.tellings.all() if telling.channel == channel}
    if alert.cleared_at:
        return Telling.CLEARED if Telling.RAISED in told and Telling.CLEARED not in told else None
    has_held = now - alert.since >= PATIENCE.get(alert.name, timedelta(0))
    is_old = Telling.RAISED not in told or now - told[Telling.RAISED] >= AGAIN_AFTER
    return Telling.RAISED if has_held and is_old else None


def channels() -> dict[str, Callable[[Alert, str], None]]:
    """Who is told, as settings say. Each raises OSError or HTTPException where the news was not taken."""
    found: dict[str, Callable[[Alert, str], None]] = {}
    if settings.ALERT_EMAILS:
        found["email"] = _mail
    if settings.ALERT_WEBHOOK:
        found["webhook"] = _post
    return found


def _mail(alert: Alert, state: str) -> None:
    host = socket.gethostname()
    is_over = f"It was cleared at {alert.cleared_at:%Y-%m-%d %H:%M} UTC.\n" if alert.cleared_at else ""
    text = (
        f"{alert.sentence}\n\nThe alarm {alert.name} ({alert.severity}) stands on {host} since "
        f"{alert.since:%Y-%m-%d %H:%M} UTC.\n{is_over}What to do: docs/runbook.md#{alert.name}\n"
    )
    send_mail(f"Affluence on {host}: {alert.name} {state}", text, None, settings.ALERT_EMAILS)


def _post(alert: Alert, state: str) -> None:
    body = {
        "alarm": alert.name,
        "state": state,
        "severity": alert.severity,
        "sentence": alert.sentence,
        "since": alert.since.isoformat(),
        "host": socket.gethostname(),
    }
    request = urllib.request.Request(  # noqa: S310 (settings take http and https only)
        settings.ALERT_WEBHOOK, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
        pass
