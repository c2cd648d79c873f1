"""The recorded cuts: which log position ended which epoch.

Epoch n holds the events after cut n-1, up to cut n. Speed and batch read the same cuts, so that a buffer and its
batch run cover the same range whatever crashes between them.
"""

from datetime import datetime

from events.log import Position
from events.models import Cut


def record_cut(epoch: int, position: Position, cut_at: datetime) -> Cut:
    """Record the cut of `epoch`; where one is recorded already, that one stays and is returned. Idempotent."""
    return Cut.objects.get_or_create(epoch=epoch, defaults={"position": position, "cut_at": cut_at})[0]


def cut_of(epoch: int) -> Position:
    """The position that ended `epoch`; {} for epoch 0, before the log's first chunk. Raises Cut.DoesNotExist."""
    return Cut.objects.get(epoch=epoch).position if epoch else {}


def last_cut() -> Cut | None:
    """The newest recorded cut."""
    return Cut.objects.order_by("-epoch").first()


def cuts_after(epoch: int) -> list[Cut]:
    """The cuts of the epochs after `epoch`, oldest first."""
    return list(Cut.objects.filter(epoch__gt=epoch).order_by("epoch"))
