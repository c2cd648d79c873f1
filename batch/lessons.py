"""What is learnt from the archive: kept for each hub and lesson under the epoch whose events it was learnt from.

It is grey data: whatever is missing is learnt again, to the same bytes.
"""

import hashlib
import logging
from collections.abc import Callable
from functools import lru_cache

from django.db.models import Sum

from aggregations.buckets import instant_ms
from batch import archive, ledger
from batch.engine import raw_engine
from batch.models import Learnt
from events.cuts import published_cut
from events.models import Cut
from insights.lesson import Lesson
from insights.lessons import LESSONS

logger = logging.getLogger(__name__)


def learn_all(epoch: int, say: Callable[[str], None]) -> None:
    """Learn everything from what readers of `epoch` see, before it is published.

    A lesson that fails is told in the log and keeps no number back; whoever asks for what it teaches learns it then, or
    is told of the failure.
    """
    for hub, lesson in _each(epoch):
        say(f"learn {lesson.name} of {hub}")
        _try(hub, lesson, epoch)


def learn_missing() -> None:
    """Learn what readers of the published epoch would have to learn themselves, once for each epoch."""
    if published := published_cut():
        learn_missing_of(published.epoch)


@lru_cache(maxsize=1)
def learn_missing_of(epoch: int) -> None:
    """The same of an epoch; the cache remembers that this process has done it, failures too."""
    for hub, lesson in _each(epoch):
        if kept(hub, lesson, epoch) is None:
            _try(hub, lesson, epoch)


def _each(epoch: int) -> list[tuple[str, Lesson]]:
    """Every hub with events in the archive, and every lesson."""
    hubs = archive.visible(epoch).order_by("hub").values_list("hub", flat=True).distinct()
    return [(hub, lesson) for hub in hubs for lesson in LESSONS]


def _try(hub: str, lesson: Lesson, epoch: int) -> None:
    try:
        learn(hub, lesson, epoch)
    except Exception:
        logger.exception("%s of %s could not be learnt from epoch %d.", lesson.name, hub, epoch)


def learn(hub: str, lesson: Lesson, epoch: int) -> Learnt:
    """Learn from the archive of an epoch, and keep it. Raises RowsGone where readers of the epoch are too late."""
    files = list(archive.visible(epoch, hub))
    paths = archive.paths(files)
    until = instant_ms(Cut.objects.get(epoch=epoch).cut_at)
    with archive.intact(paths):
        events = raw_engine().table(paths, None, lesson.columns, f"hub = ? AND ({lesson.where})", [hub])
    payload = lesson.learn(events, until)
    return Learnt.objects.update_or_create(
        hub=hub,
        lesson=lesson.name,
        version=lesson.version,
        epoch=epoch,
        defaults={
            "event_count": sum(file.event_count for file in files),
            "payload": payload,
            "digest": hashlib.sha256(payload).hexdigest(),
        },
    )[0]


def kept(hub: str, lesson: Lesson, epoch: int) -> Learnt | None:
    """What readers of `epoch` may use, without its payload: the newest that no run from the raw events has made stale.

    None where nothing is kept, or the hub has grown by a tenth since.
    """
    found = (
        Learnt.objects.defer("payload")
        .filter(hub=hub, lesson=lesson.name, version=lesson.version, epoch__lte=epoch)
        .filter(epoch__gte=ledger.last_epoch_from_raw_events(epoch))
        .order_by("-epoch")
        .first()
    )
    if found is None:
        return None
    count = archive.visible(epoch, hub).aggregate(events=Sum("event_count"))["events"] or 0
    return found if count * 10 <= found.event_count * 11 else None


def clean_up(epoch: int) -> None:
    """Delete what readers of `epoch` and later ones do not use."""
    Learnt.objects.filter(epoch__lt=ledger.last_epoch_from_raw_events(epoch)).delete()
