"""The recorded cuts: which log position ended which epoch, and which epochs are published.

Epoch n holds the events after cut n-1, up to cut n. Speed and batch read the same cuts, so that a buffer and its
batch run cover the same range whatever crashes between them.
"""

from datetime import datetime

from events.log import Position
from events.models import Cut


def record_cut(epoch: int, position: Position, cut_at: datetime) -> Cut:
    """Record the cut of `epoch`; where one is recorded already, that one stays and is returned. Idempotent."""
    return Cut.objects.get_or_create(epoch=epoch, defaults={"position": position, "cut_at": cut_at})[0]


def cut_position(epoch: int) -> Position:
    """The position that ended `epoch`; {} for epoch 0, before the log's first chunk. Raises Cut.DoesNotExist."""
    return Cut.objects.get(epoch=epoch).position if epoch else {}


def cut_positions(epoch: int) -> list[Position]:
    """The positions that ended the epochs 0 to `epoch`."""
    return [{}, *Cut.objects.filter(epoch__lte=epoch).order_by("epoch").values_list("position", flat=True)]


def published_cut() -> Cut | None:
    """The cut of the newest published epoch; None before the first publication."""
    return Cut.objects.filter(published_at__isnull=False).order_by("-epoch").first()


def waiting_cut() -> Cut | None:
    """The cut that is recorded and not published: at most one, since a swap waits for its publication."""
    return Cut.objects.filter(published_at__isnull=True).order_by("epoch").first()


def mark_published(epoch: int, published_at: datetime) -> bool:
    """Publish an epoch in the ledger. True for the one caller that did it, False where it was done before."""
    return bool(Cut.objects.filter(epoch=epoch, published_at__isnull=True).update(published_at=published_at))
