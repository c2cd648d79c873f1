"""The index of media: where a server searches the catalogue, and how it is filled from the tables."""

import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from batch.view_store import StoreAway
from events.log import event_log
from events.models import Hub

logger = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=5)
"""Media learnt so shortly before a filling count as changed since: their row may have been written by a clock that is
behind, or in a transaction that ended later."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A generation of a hub's entries, and until when media that were learnt are in it."""

    generation: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """The words of a media; of two entries of a key the later learnt counts."""

    key: str
    words: str
    learnt_at: datetime


@dataclass(frozen=True, slots=True)
class Hits:
    """The first keys that match, how many match, and how many entries there are, matching or not."""

    keys: list[str]
    total: int
    held: int


class MediaIndex(ABC):
    """Entries of each hub's media, in generations. It may lose anything. Each method may raise StoreAway."""

    @abstractmethod
    def mark(self, hub: int) -> Mark | None:
        """What is kept of a hub; None where nothing is."""

    @abstractmethod
    def put(self, hub: int, generation: str, entries: Iterable[Entry]) -> int:
        """Put entries; returns how many there were. Idempotent, in any order."""

    @abstractmethod
    def keep(self, hub: int, mark: Mark) -> None:
        """Let searches find what was put, and keep the mark."""

    @abstractmethod
    def forget(self, hub: int) -> None:
        """Forget the mark of a hub: its media are put anew, in another generation."""

    @abstractmethod
    def drop_others(self, hub: int, generation: str) -> None:
        """Delete the entries of a hub that are of other generations."""

    @abstractmethod
    def find(self, generation: str, words: Sequence[str], without: Sequence[str], after: str, count: int) -> Hits:
        """The keys after `after` whose words begin with all of `words`, by code points; `without` some keys."""


@cache
def media_index() -> MediaIndex | None:
    """The index that settings name; None where the tables are searched."""
    named = settings.MEDIA_INDEX
    return import_string(named["BACKEND"])(**named["OPTIONS"]) if named else None


def mark_of(index: MediaIndex, hub: Hub) -> Mark | None:
    """The mark of a hub, where it was filled from these very tables: those of a backup may hold earlier titles."""
    mark = index.mark(hub.pk)
    return mark if mark and mark.generation.startswith(event_log().birth()) else None


def fill(now: datetime) -> None:
    """Let the index hold what the tables hold. Idempotent; what it cannot do now, the next call does."""
    index = media_index()
    if index is None:
        return
    try:
        for hub in Hub.objects.all():
            _fill(index, hub, now)
    except StoreAway as away:
        logger.warning("%s The catalogue is searched in the tables.", away)


def _fill(index: MediaIndex, hub: Hub, now: datetime) -> None:
    mark = mark_of(index, hub)
    media = hub.media.filter(learnt_at__gt=mark.until) if mark else hub.media.all()
    if not media.exists():
        return
    generation = mark.generation if mark else f"{event_log().birth()}-{secrets.token_hex(8)}"
    rows = media.values_list("key", "words", "learnt_at").iterator()
    count = index.put(hub.pk, generation, (Entry(*row) for row in rows))
    index.keep(hub.pk, Mark(generation, now - OVERLAP))
    if mark is None:
        index.drop_others(hub.pk, generation)
        logger.info("%d media of %s can be searched.", count, hub.slug)
