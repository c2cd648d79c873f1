"""What was learnt of a hub, as a question finds it."""

import hashlib
import threading
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from aggregations.buckets import instant_ms
from batch import lessons
from batch.models import Learnt as Kept
from batch.view_store import RowsGone
from events.log import Position
from events.models import Cut, Hub
from insights.lesson import Lesson
from views_layer import raw
from views_layer.period import LAST_MS
from views_layer.seam import Moment

PAYLOADS = 16
_learning = threading.Lock()


class Learnt(NamedTuple):
    """The bytes of a lesson, and the events that it was learnt from: those up to `cut`, of the readers of `epoch`.

    Of two with one `digest` the payload is the same.
    """

    payload: bytes
    digest: str
    epoch: int
    cut: Position
    trained_until: datetime


def learnt(hub: Hub, lesson: Lesson, current: Moment) -> Learnt:
    """What readers of a moment use: what is kept, never older than the last daily run; else it is learnt at once.

    Before the first publication it is learnt from the log each time, up to the moment's mark, as of epoch 0 with an empty
    cut. Raises RowsGone; to be called in `ask.steady`.
    """
    if not current.epoch:
        events = raw.table(current, hub.slug, (0, LAST_MS), lesson.columns, lesson.where, [])
        payload = lesson.learn(events, instant_ms(current.as_of))
        return Learnt(payload, hashlib.sha256(payload).hexdigest(), 0, {}, current.as_of)
    kept = lessons.kept(hub.slug, lesson, current.epoch)
    if kept is None:
        with _learning:  # those who ask at the same time find what the first of them has learnt
            kept = lessons.kept(hub.slug, lesson, current.epoch) or lessons.learn(hub.slug, lesson, current.epoch)
    cut = Cut.objects.get(epoch=kept.epoch)
    return Learnt(_payload(kept.pk, kept.digest), kept.digest, kept.epoch, cut.position, cut.cut_at)


@lru_cache(PAYLOADS)
def _payload(key: int, digest: str) -> bytes:
    try:
        return bytes(Kept.objects.values_list("payload", flat=True).get(pk=key))
    except Kept.DoesNotExist as gone:
        raise RowsGone("What was learnt was deleted while it was read; read again from the published epoch.") from gone
