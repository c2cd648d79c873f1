"""The alarms: one literal list of what may be wrong, read by `pipeline_status`, `/metrics` and the alerts.

Each has a section of its name in docs/runbook.md: what it means, what users see, what to do.
"""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings
from django_celery_beat.models import PeriodicTask

from batch.models import Mismatch
from events.log import event_log
from events.models import Removal
from statsproject import pulse, servers
from statsproject.celery import SCHEDULE, Tick
from views_layer import seam

logger = logging.getLogger(__name__)

CRITICAL, WARNING = "critical", "warning"
"""Critical: numbers stand still or may be wrong, so the pipeline is unhealthy. Warning: they soon may."""

LAG_S = 120
TICK_IS_LATE = timedelta(minutes=10)
"""Beat stores when it last sent a tick every three minutes."""
LITTLE_DISK, NO_DISK = 2 * 1024**3, 256 * 1024**2
MANY_REJECTED = 100
REJECTED_SHARE = 0.05
REMOVED_WITHIN = timedelta(hours=6)
SHOWN = 200
"""Characters of an error that an alarm repeats."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something is wrong: which check says so, how bad it is, and what it is, in a sentence."""

    name: str
    severity: str
    sentence: str


class Facts:
    """What the checks look at, each asked for once: all of one evaluation speak of the same moment, `now`."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    @cached_property
    def parts(self) -> dict[str, bool]:
        return pulse.felt()

    @cached_property
    def status(self) -> dict[str, Any]:
        """The pipeline's status. A Redis that gives no pulse is not asked again: it may hang."""
        return seam.status(self.now, has_redis=self.parts["redis"])

    @cached_property
    def servers(self) -> dict[str, str | None]:
        return servers.troubles()

    @cached_property
    def free_bytes(self) -> int:
        return shutil.disk_usage(settings.DATA_DIR).free

    @cached_property
    def lately(self) -> tuple[int, int]:
        """Events accepted and rejected in this hour and the one before."""
        hour = int(self.now.timestamp()) // 3_600
        accounts = event_log().accounts(hour - 1, hour + 1).values()
        return sum(account.accepted for account in accounts), sum(account.rejected for account in accounts)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that may be wrong. An alarm is told once it has held for `patience`; `fine` says what is well, else."""

    name: str
    check: Callable[[Facts], Alarm | None]
    fine: Callable[[Facts], str]
    patience: timedelta = timedelta(minutes=1)


def _redis(facts: Facts) -> Alarm | None:
    if not facts.parts["redis"]:
        sentence = "Redis does not answer: answers end at the last cut, and nothing is folded."
        return Alarm("redis", CRITICAL, sentence)
    if not facts.status["settled"]:
        sentence = (
            "Redis answers, but its buffers do not agree with the recorded cuts; the consumer has not mended them."
        )
        return Alarm("redis", CRITICAL, sentence)
    return None


def _servers(facts: Facts) -> Alarm | None:
    wrong = [trouble for trouble in facts.servers.values() if trouble]
    return Alarm("servers", CRITICAL, " ".join(wrong)) if wrong else None


def _servers_are_fine(facts: Facts) -> str:
    return f"{', '.join(facts.servers)} serve." if facts.servers else "Every part is embedded."


def _lag(facts: Facts) -> Alarm | None:
    waiting, seconds = facts.status["lag_events"], facts.status["lag_seconds"]
    if not facts.parts["redis"] or seconds <= LAG_S:
        return None
    return Alarm(
        "lag", CRITICAL, f"{waiting} accepted events are not in the answers; the oldest waits for {seconds:.0f} s."
    )


def _lag_is_fine(facts: Facts) -> str:
    waiting = facts.status["lag_events"]
    return f"{waiting} events wait to be folded." if waiting else "Every accepted event is in the answers."


def _publication(facts: Facts) -> Alarm | None:
    if not facts.status["overdue"]:
        return None
    last = facts.status["cut_at"] or "never"
    minutes = seam.OVERDUE.total_seconds() / 60
    return Alarm(
        "publication",
        CRITICAL,
        f"The last hour was not published within {minutes:.0f} minutes; last published cut: {last}.{_tries(facts)}",
    )


def _publication_is_fine(facts: Facts) -> str:
    epoch = facts.status["published_epoch"]
    return (f"Epoch {epoch} is published, in time." if epoch else "No full hour is over yet.") + _tries(facts)


def _tries(facts: Facts) -> str:
    """How often the run of an epoch that waits has failed, in a sentence; empty where it has not."""
    tries = facts.status["tries"]
    if tries is None:
        return ""
    why = tries["error"][:SHOWN] or "the process stopped"
    times = "once" if tries["count"] == 1 else f"{tries['count']} times"
    return (
        f" The run of epoch {tries['epoch']} has failed {times} ({why}); it is tried again at {tries['next_at']} at the"
        " latest, and at once by run_batch."
    )


def _audit(facts: Facts) -> Alarm | None:
    """Stands until somebody has acknowledged every difference."""
    count = facts.status["mismatches"]
    if not count:
        return None
    newest = Mismatch.objects.filter(acknowledged_at=None).select_related("audit").order_by("-pk")[0]
    return Alarm(
        "audit",
        CRITICAL,
        f"{count} states differed from the raw events, and nobody has acknowledged them; the newest is {newest}, in epoch"
        f" {newest.audit.epoch}. Batch was published.",
    )


def _accounting(facts: Facts) -> Alarm | None:
    accounts = facts.status["accounts"]
    if accounts["balanced"]:
        return None
    return Alarm(
        "accounting",
        CRITICAL,
        f"Of {accounts['received']} events received in 24 hours, {accounts['accepted']} were accepted, {accounts['duplicates']}"
        f" duplicates and {accounts['rejected']} rejected; in some hour these do not add up, or the log holds another number.",
    )


def _parts(facts: Facts) -> Alarm | None:
    dead = [part for part, is_felt in facts.parts.items() if not is_felt]
    if not dead or not facts.parts["redis"]:  # without Redis no pulse can be felt
        return None
    return Alarm("parts", CRITICAL, f"No pulse of {', '.join(dead)}.")


def _schedules(facts: Facts) -> Alarm | None:
    found = {task.name: task for task in PeriodicTask.objects.select_related("interval", "crontab")}
    wrong = [said for tick in SCHEDULE if (said := wrong_with(tick, found.get(tick.name), facts.now))]
    return Alarm("schedules", WARNING, " ".join(wrong)) if wrong else None


def wrong_with(tick: Tick, stored: PeriodicTask | None, now: datetime) -> str:
    """What is wrong with a tick of the schedule, in a sentence; empty where nothing is."""
    if stored is None:
        return f"{tick.name!r} is missing."
    if not stored.enabled:
        return f"{tick.name!r} is disabled."
    sent_at = max(stored.date_changed, stored.last_run_at or stored.date_changed)
    if now - sent_at > timedelta(seconds=tick.every_seconds or 3600) + TICK_IS_LATE:
        return f"{tick.name!r} was not sent since {sent_at:%Y-%m-%d %H:%M} UTC."
    return ""


def _disk(facts: Facts) -> Alarm | None:
    if facts.free_bytes >= LITTLE_DISK:
        return None
    severity = CRITICAL if facts.free_bytes < NO_DISK else WARNING
    return Alarm("disk", severity, f"{facts.free_bytes / 1024**2:.0f} MiB are free on the disk of {settings.DATA_DIR}.")


def _rejected(facts: Facts) -> Alarm | None:
    accepted, rejected = facts.lately
    if rejected < MANY_REJECTED or rejected < REJECTED_SHARE * (accepted + rejected):
        return None
    sentence = f"{rejected} events were rejected in this hour and the one before, and {accepted} accepted."
    return Alarm("rejected", WARNING, sentence)


def _removals(facts: Facts) -> Alarm | None:
    """A person who asked to be erased has a right to it, and nobody looks at a list every day."""
    late = Removal.objects.filter(done_at=None, requested_at__lt=facts.now - REMOVED_WITHIN).order_by("id")
    if not late:
        return None
    sentence = f"{len(late)} removals are not done; the oldest, {late[0]}, was asked for at"
    return Alarm("removals", WARNING, f"{sentence} {late[0].requested_at:%Y-%m-%d %H:%M} UTC.")


CHECKS = (
    Check("redis", _redis, lambda facts: "Redis answers, and its buffers agree with the recorded cuts."),
    Check("parts", _parts, lambda facts: f"{', '.join(part for part in facts.parts if part != 'redis')} run."),
    Check("servers", _servers, _servers_are_fine),
    Check("lag", _lag, _lag_is_fine),
    Check("publication", _publication, _publication_is_fine),
    Check("audit", _audit, lambda facts: f"Audits so far: {facts.status['audits']}; no difference is open."),
    Check(
        "accounting",
        _accounting,
        lambda facts: f"All {facts.status['accounts']['received']} events received in 24 hours are accounted for.",
    ),
    Check("schedules", _schedules, lambda facts: f"All {len(SCHEDULE)} ticks are enabled and sent in time."),
    Check("removals", _removals, lambda facts: "Every removal that was asked for is done, or on its way."),
    Check("disk", _disk, lambda facts: f"{facts.free_bytes / 1024**3:.0f} GiB are free."),
    Check(
        "rejected",
        _rejected,
        lambda facts: (
            f"{facts.lately[1]} events were rejected in this hour and the one before,"
            f" {facts.status['rejected']} wait for replay."
        ),
    ),
)


def look(facts: Facts, checks: tuple[Check, ...] = CHECKS) -> dict[str, Alarm | None]:
    """What each check finds, by name. One that cannot look is an alarm too: nobody knows that all is well."""
    return {check.name: _looked(check, facts) for check in checks}


def _looked(check: Check, facts: Facts) -> Alarm | None:
    try:
        return check.check(facts)
    except Exception as error:
        logger.exception("The check %s failed.", check.name)
        return Alarm(check.name, CRITICAL, f"This could not be checked ({type(error).__name__}: {error}).")


def is_healthy(found: dict[str, Alarm | None]) -> bool:
    """True where no alarm is critical."""
    return not any(alarm and alarm.severity == CRITICAL for alarm in found.values())
