"""System checks: what would fail later, said at start."""

from collections.abc import Callable

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from batch.engine import engine, raw_engine
from batch.view_store import view_store
from events.log import LogUnfit, event_log
from statsproject.environment import readable_by_others
from views_layer.mails.message import can_send

STORES: tuple[tuple[str, Callable[[], object]], ...] = (
    ("EVENT_LOG", event_log),
    ("VIEW_STORE", view_store),
    ("BATCH_ENGINE", engine),
    ("RAW_ENGINE", raw_engine),
)


@register()
def check_backends(**_: object) -> list[CheckMessage]:
    """E001: a store's backend cannot be made from settings."""
    errors: list[CheckMessage] = []
    for name, make in STORES:
        try:
            make()
        except Exception as error:
            hint = f"Mend BACKEND and OPTIONS of {name} in the settings; the backends are named by dotted path."
            errors.append(Error(f"{name} is wrong: {error}", hint=hint, id="affluence.E001"))
    return errors


@register(deploy=True)
def check_event_log(**_: object) -> list[CheckMessage]:
    """E003, W002: the event log's server does not promise what a log needs, or is one machine alone."""
    log = event_log()
    try:
        weakness = log.weakness()
    except LogUnfit as error:
        return [Error(str(error), hint="docs/servers-mongodb.md says what it must promise.", id="affluence.E003")]
    return [Warning(weakness, id="affluence.W002")] if weakness else []


@register()
def check_secrets(**_: object) -> list[CheckMessage]:
    """W001: a secret that others on this machine may read."""
    return [
        Warning(f"{path} can be read by others.", hint=f"Run: chmod 600 {path}", id="affluence.W001")
        for path in readable_by_others(settings.DATA_DIR)
    ]


@register()
def check_alerts(**_: object) -> list[CheckMessage]:
    """E002: mail is to tell of alarms, and goes nowhere."""
    if not settings.ALERT_EMAILS or can_send():
        return []
    hint = "Set EMAIL_URL, for example to smtp+tls://USER:PASSWORD@HOST:587, or unset ALERT_EMAILS."
    return [Error("ALERT_EMAILS is set, but no EMAIL_URL.", hint=hint, id="affluence.E002")]
