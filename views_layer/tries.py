"""Tries: how often the run of an epoch has ended without publication, and when it may be tried again by itself.

A tick comes every 30 seconds. What fails for a lasting cause would do its work for nothing each time; so from the third
failure in a row on each try waits longer. A person who asks with `run_batch` waits for nothing.
"""

import re
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from batch import ledger
from batch.models import Run

AT_ONCE = 2
"""Tries that wait for nothing but the tick: most causes are gone by then."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(minutes=10)
CLOCKS_APART = timedelta(minutes=5)
ROOM = 256 * 1024**2
"""Bytes that are free on a disk that is full no longer."""
STARTED_AT = timezone.now()
"""When this process began. Who has mended a cause in code or stores has started the parts again."""

_full = re.compile(r"No space left|disk is full", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tries:
    """Of an epoch that waits: runs that ended without publication, the error of the last one ("" where it just
    stopped), when that was, and when the next one comes by itself at the latest.
    """

    epoch: int
    count: int
    error: str
    ended_at: datetime
    next_at: datetime


def tries_of(epoch: int, now: datetime) -> Tries | None:
    """The tries of an epoch; None where there were none, or one is under way."""
    runs = Run.objects.filter(epoch=epoch, published_at=None).order_by("-pk")
    last = runs.first()
    if last is None or (last.failed_at is None and last.alive_at > now - ledger.LEASE):
        return None
    count, ended_at = runs.count(), last.failed_at or last.alive_at
    return Tries(epoch, count, last.error, ended_at, ended_at + pause_after(count))


def pause_after(count: int) -> timedelta:
    """How long the next try waits after so many: nothing, nothing, then 1, 2, 4, 8 and at most 10 minutes."""
    if count <= AT_ONCE:
        return timedelta(0)
    return min(FIRST_PAUSE * 2 ** min(count - AT_ONCE - 1, 10), LONGEST_PAUSE)


def is_due(tries: Tries | None, now: datetime) -> bool:
    """True where the next try may begin: its pause is over, or the cause of the last failure seems to be gone.

    An end that lies in the future was dated by a clock that was ahead.
    """
    if tries is None or tries.next_at <= now or tries.ended_at > now + CLOCKS_APART:
        return True
    return bool(tries.error) and (tries.ended_at < STARTED_AT or _has_room_again(tries))


def _has_room_again(tries: Tries) -> bool:
    return bool(_full.search(tries.error)) and shutil.disk_usage(settings.DATA_DIR).free > ROOM
