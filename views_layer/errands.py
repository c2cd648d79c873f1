"""Errands: batch work that people ask for in the admin.

An errand is a row, and the message to the worker only says that there is one. So a lost message costs half a minute,
until the next tick, and a doubled one nothing.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Q
from django.utils import timezone

from batch import ledger
from batch.models import Errand, Run
from events.exclusive import shut_out_others
from events.log import event_log
from views_layer import seam

logger = logging.getLogger(__name__)

STOPPED = "The process that did it stopped. What it had cut is published by the next tick; ask again for the rest."


class AskedAlready(Exception):
    """Another errand is not done yet."""


def ask(kind: str, who: str, now: datetime) -> Errand:
    """Enter an errand for the worker. Raises AskedAlready while one is open, of whatever kind."""
    with transaction.atomic():
        shut_out_others(DEFAULT_DB_ALIAS, "errands")
        end_stopped(now)
        if other := open_errand(now):
            state = "is under way" if other.begun_at else "has not begun yet"
            raise AskedAlready(
                f"{other.asked_by} asked for a {other.get_kind_display()} at {other.asked_at:%H:%M:%S} UTC, which {state};"
                " ask again when it is over."
            )
        return Errand.objects.create(kind=kind, asked_at=now, asked_by=who)


def open_errand(now: datetime) -> Errand | None:
    """The errand that waits or is under way; None where there is none, or its process has stopped."""
    return Errand.objects.filter(Q(begun_at=None) | Q(alive_at__gt=now - ledger.LEASE), ended_at=None).first()


def end_stopped(now: datetime) -> None:
    """End errands whose process said nothing for too long."""
    Errand.objects.filter(ended_at=None, alive_at__lte=now - ledger.LEASE).update(ended_at=now, error=STOPPED)


def carry_out(now: datetime) -> None:
    """Do what was asked for and has not begun. An errand that fails says why, and is tried no more: ticks go on by themselves."""
    end_stopped(now)
    while errand := _begun():
        try:
            with ledger.kept_alive(errand):
                errand.epoch = DOES[errand.kind]()
        except Exception as error:
            logger.exception("The %s failed.", errand)
            errand.error = f"{type(error).__name__}: {error}"
        errand.ended_at = timezone.now()
        errand.save(update_fields=["epoch", "error", "ended_at"])


def _begun() -> Errand | None:
    """The oldest errand that waits, begun by this very call; None where none waits, or another worker took it."""
    waiting = Errand.objects.filter(begun_at=None, ended_at=None).order_by("pk").first()
    if waiting is None:
        return None
    waiting.begun_at = waiting.alive_at = timezone.now()
    is_ours = Errand.objects.filter(pk=waiting.pk, begun_at=None).update(
        begun_at=waiting.begun_at, alive_at=waiting.alive_at
    )
    return waiting if is_ours else None


def _swap() -> int:
    return seam.swap(event_log(), timezone.now()).epoch


def _retry() -> int | None:
    run = seam.run_waiting(timezone.now())
    return None if run is None else run.epoch


DOES: dict[str, Callable[[], int | None]] = {
    Run.HOURLY: lambda: seam.run_now(Run.HOURLY).epoch,
    Run.DAILY: lambda: seam.run_now(Run.DAILY).epoch,
    Run.REBUILD: lambda: seam.run_now(Run.REBUILD).epoch,
    Errand.SWAP: _swap,
    Errand.RETRY: _retry,
}
"""What each kind of errand does; it returns the epoch that it froze or published."""
