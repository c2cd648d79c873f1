"""Removals carried out: the run that publishes without the events, the one after it, then the log itself."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from aggregations.buckets import instant_ms, midnight, moment_of
from aggregations.rollups import HOUR_MS
from batch import archive, kept, removals
from batch.models import Mismatch, Run
from batch.rows import first_event_at
from batch.run import Progress, silent
from batch.view_store import view_store
from events.cuts import published_cut, waiting_cut
from events.journal import empty_journal
from events.log import Position, event_log
from events.models import Hub, Removal
from events.removals import Taken, remove_before, secure
from views_layer import seam
from views_layer.tries import is_due, tries_of

logger = logging.getLogger(__name__)

DAYS_AT_ONCE = timedelta(days=31)
"""What one removal of old events takes at most: it bounds the work of a run."""


def carry_out(asked: Sequence[Removal], progress: Progress = silent) -> None:
    """Do what is left of some removals. Idempotent.

    Raises what keeps a run from being published, LogBusy, redis.RedisError; a repeat goes on from there.
    """
    if unsecured := [removal for removal in asked if removal.until is None]:
        secure(unsecured)
    for removal in asked:
        while removal.epoch is None or removal.epoch > _published():
            seam.run_now(Run.DAILY, progress)
            removal.refresh_from_db()
        if removal.epoch == _published():
            # The next one deletes what only readers of the epoch before needed: old rows, old files.
            seam.run_now(Run.HOURLY, progress)
    left = [removal for removal in asked if removal.done_at is None]
    if left:
        _finish(left, progress)


def _published() -> int:
    published = published_cut()
    return published.epoch if published else 0


def _finish(asked: Sequence[Removal], progress: Progress) -> None:
    """Take the events out of the log, and look whether any is left."""
    log, groups = event_log(), _by_reach(asked)
    for number, (until, some) in enumerate(groups):
        progress("remove from the log", number, len(groups))
        log.remove(until, Taken(some))
    Mismatch.objects.filter(hub__in={removal.hub for removal in asked}).update(stored_state=b"", batch_state=b"")
    for alias in ("default", "views"):
        empty_journal(alias)
    seam.rewrite_buffers()
    for number, (until, some) in enumerate(groups):
        progress("look whether any is left", number, len(groups))
        left = Counter(event.hub for chunk in log.read({}, until) for event in filter(Taken(some), chunk.events))
        for removal in some:
            after = {"log": left[removal.hub], "archive": removals.remaining(removal, _published())}
            removal.receipt["after"] = after
            if any(after.values()):
                logger.error("%s is carried out again, since something is left: %s", removal, after)
                removal.epoch = removal.until = None
            else:
                removal.done_at = timezone.now()
            removal.save(update_fields=["receipt", "done_at", "epoch", "until"])
            logger.info("%s: %s", removal, removal.receipt)


def _by_reach(asked: Sequence[Removal]) -> list[tuple[Position, list[Removal]]]:
    """Removals that reach equally far, together: each group is one walk through the log."""
    groups: dict[str, list[Removal]] = {}
    for removal in asked:
        groups.setdefault(json.dumps(removal.until, sort_keys=True), []).append(removal)
    return [(json.loads(until), some) for until, some in groups.items()]


def receipt(removal: Removal) -> dict[str, Any]:
    """What a removal did, as JSON values: what there was before and is after, in events, and when."""
    found = removal.receipt.get("before", {"events": 0, "visits": 0, "visitors": 0})
    times = {name: moment_of(found[name]).isoformat() for name in ("first_at", "last_at") if name in found}
    return {
        "removal": removal.pk,
        "hub": removal.hub,
        "before": found | times | {"rejected": removal.receipt.get("rejected", 0)},
        "after": removal.receipt.get("after"),
        "epoch": removal.epoch,
        "requested_at": removal.requested_at.isoformat(),
        "done_at": removal.done_at.isoformat() if removal.done_at else None,
    }


def carry_out_all(now: datetime) -> None:
    """Carry out what is asked for, and what hubs no longer keep; later, where the runs of an epoch keep failing."""
    waiting = waiting_cut()
    if waiting and not is_due(tries_of(waiting.epoch, now), now):
        return
    open_ = set(Removal.objects.filter(done_at=None, before__isnull=False).values_list("hub", flat=True))
    for hub in Hub.objects.exclude(keep_events_days=None, keep_rows_days=None):
        if hub.slug not in open_:
            _let_events_go(hub, now)
        if hub.keep_rows_days:
            _let_rows_go(hub, _bound(hub, hub.keep_rows_days, now))
    carry_out(list(Removal.objects.filter(done_at=None).order_by("id")))


def _let_events_go(hub: Hub, now: datetime) -> None:
    """Ask, once for each local day, for the removal of events that were kept long enough."""
    bound = _bound(hub, min(days for days in (hub.keep_events_days, hub.keep_rows_days) if days), now)
    first_at = _first_raw_at(hub, bound)
    if first_at and (hub.events_since is None or hub.events_since < bound):
        remove_before(hub, min(bound, first_at + DAYS_AT_ONCE), "retention")


def _let_rows_go(hub: Hub, bound: datetime) -> None:
    """End a hub's numbers at a bound; once their raw events are gone, delete those that ended at a tick before."""
    if hub.rows_since and _first_raw_at(hub, hub.rows_since) is None:
        _delete_rows(hub, hub.rows_since)
    if hub.rows_since is None or hub.rows_since < bound:
        hub.rows_since = bound
        hub.save(update_fields=["rows_since"])


def _bound(hub: Hub, days: int, now: datetime) -> datetime:
    """The start of a hub's local day so many days ago, cut to the full hour."""
    day = now.astimezone(hub.zone).date() - timedelta(days=days)
    at = instant_ms(midnight(day, hub.zone))
    return moment_of(at - at % HOUR_MS)


def _first_raw_at(hub: Hub, before: datetime) -> datetime | None:
    """The full hour in which the first event of a hub occurred that the archive has from before a time."""
    old = archive.visible(_published(), hub.slug, end=instant_ms(before)).order_by("first_at")
    first_at = old.values_list("first_at", flat=True).first()
    return None if first_at is None else moment_of(first_at - first_at % HOUR_MS)


def _delete_rows(hub: Hub, since: datetime) -> None:
    hour = instant_ms(since) // HOUR_MS
    first_at = first_event_at(view_store(), hub.slug, _published())
    if first_at is not None and first_at < hour * HOUR_MS:
        kept.remove_before(hub.slug, hour)
        deleted = view_store().remove_before(hub.slug, hour)
        logger.info("%d rows of %s from before %s are deleted.", deleted, hub.slug, since)
