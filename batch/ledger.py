"""The run ledger: who may do an epoch's batch work, and what is published. Ticks are hints; the ledger decides."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, transaction
from django.db.models import Max
from django.utils import timezone

from batch.models import Errand, Run
from events.cuts import mark_published, published_cut
from events.exclusive import shut_out_others

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
"""How long a run that says nothing keeps its claim."""
RENEWED_EVERY_S = 15


class Fenced(Exception):
    """A newer claim has taken over; this run must write and publish nothing more."""


def claim(epoch: int, kind: str) -> Run | None:
    """Claim an epoch's work; None where it is published, or a run that is alive has it.

    An epoch keeps the kind of its first claim, so that a run that goes on writes the same rows.
    """
    now = timezone.now()
    with transaction.atomic():
        shut_out_others(DEFAULT_DB_ALIAS, "ledger")
        earlier = list(Run.objects.filter(epoch=epoch).order_by("id"))
        if any(run.published_at for run in earlier):
            return None
        if any(run.failed_at is None and run.alive_at > now - LEASE for run in earlier):
            return None
        return Run.objects.create(epoch=epoch, kind=earlier[0].kind if earlier else kind, claimed_at=now, alive_at=now)


def closed_until() -> datetime:
    """Up to when days and months may be over: the latest time at which a run was claimed. It never goes back.

    A clock that was ahead has closed days, whose rows answer from then on; runs by a clock that is behind it must keep
    those rows as current as any other's.
    """
    return Run.objects.aggregate(latest=Max("claimed_at"))["latest"]


@contextmanager
def kept_alive(claimed: Run | Errand) -> Iterator[None]:
    """Keep a claim through steps that say nothing for long. A process that is stopped keeps no claim."""
    over = threading.Event()

    def keep() -> None:
        while not over.wait(RENEWED_EVERY_S):
            try:
                type(claimed).objects.filter(pk=claimed.pk).update(alive_at=timezone.now())
            except OperationalError as error:
                logger.warning("The claim of the %s could not be renewed (%s); it is tried again.", claimed, error)
            finally:
                connection.close()

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def report(run: Run, step: str) -> None:
    """Say what the run is doing, which keeps its claim alive. Raises Fenced where a newer claim has the epoch."""
    run.step = step
    run.alive_at = timezone.now()
    run.save(update_fields=["step", "done", "total", "alive_at", "event_count", "row_count"])
    if Run.objects.filter(epoch=run.epoch, id__gt=run.pk).exists():
        raise Fenced(f"Run {run.pk} of epoch {run.epoch} was too slow: a newer run has claimed the epoch.")


def refuse_published(epoch: int) -> None:
    """Raises Fenced where an epoch has been published: what is still done for it comes too late.

    To be called first in a transaction; nothing is published until that ends.
    """
    shut_out_others(DEFAULT_DB_ALIAS, "ledger")
    published = published_cut()
    if published and published.epoch >= epoch:
        raise Fenced(f"Epoch {epoch} has been published by another run.")


def publish(run: Run) -> None:
    """Publish the epoch in the ledger, once. Raises Fenced where a newer claim has it."""
    with transaction.atomic():
        shut_out_others(DEFAULT_DB_ALIAS, "ledger")
        report(run, "publish")
        mark_published(run.epoch, timezone.now())
        run.published_at = timezone.now()
        run.save(update_fields=["published_at"])


def fail(run: Run, error: BaseException) -> None:
    """Give the claim back with the reason, so that the next tick may try again at once."""
    run.failed_at = timezone.now()
    run.error = f"{type(error).__name__}: {error}"
    run.save(update_fields=["failed_at", "error"])


def last_epoch_from_raw_events(until: int | None = None) -> int:
    """The newest published epoch, up to `until`, whose run recomputed from the raw events (daily or rebuild); 0 before
    the first."""
    run = _last_from_raw_events(until)
    return run.epoch if run else 0


def last_daily_at() -> datetime | None:
    """When the newest published run from the raw events began; None before the first."""
    run = _last_from_raw_events()
    return run.claimed_at if run else None


def _last_from_raw_events(until: int | None = None) -> Run | None:
    runs = Run.objects.filter(published_at__isnull=False, kind__in=[Run.DAILY, Run.REBUILD])
    if until is not None:
        runs = runs.filter(epoch__lte=until)
    return runs.order_by("-epoch").first()
