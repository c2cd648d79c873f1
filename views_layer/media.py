"""The search of a hub's catalogue.

A media is found where each word of the search begins a word of its title or id; case, accents and the order of words
make no difference. The media whose id is the search comes first, the others by id, in the order of code points.

The truth is the tables. Where there is an index of media, it answers for what it holds, and the tables for what changed
since; where it is away, or lacks something, the tables answer for all.
"""

import logging
from dataclasses import dataclass

from django.db import connections
from django.db.models import F, QuerySet
from django.db.models.functions import Collate

from batch.view_store import StoreAway
from events.models import Hub, Media
from events.words import words_of
from views_layer.media_index import Mark, MediaIndex, mark_of, media_index
from views_layer.question import QueryError

logger = logging.getLogger(__name__)

LENGTH, WORDS = 200, 16
"""Characters and words that a search may have."""
CHANGED_AT_MOST = 2_000
"""Media that changed since the index was filled; where there are more, the tables answer sooner."""
Some = tuple[list[Media], int]
"""The first media of those that match, and how many match."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of media, how many there are in all, and the `after` of the next page, None on the last one."""

    media: list[Media]
    total: int
    after: str | None


def find(hub: Hub, search: str, limit: int, after: str | None = None) -> Found:
    """The media that match, all where `search` is empty. Raises QueryError for a search that is too long."""
    search = search.strip()
    words = words_of(search)
    if len(search) > LENGTH or len(words) > WORDS:
        raise QueryError(
            "invalid_search",
            f"A search of {len(search)} characters and {len(words)} words is too long; use up to {LENGTH} and {WORDS}.",
            "search",
        )
    named = hub.media.filter(key=search).first() if search else None
    first = [named] if named and after is None else []
    others, total = _others(hub, search, words, limit + 1 - len(first), after or "")
    found = [*first, *others]
    last = found[limit - 1] if len(found) > limit else None
    # After the media that is named the others begin from their first.
    next_after = None if last is None else "" if last is named else last.key
    return Found(found[:limit], total + (named is not None), next_after)


def _others(hub: Hub, search: str, words: list[str], count: int, after: str) -> Some:
    """The first media after an id, without the one that the search names."""
    if search and not words:
        return [], 0
    index = media_index() if words else None
    found = _of_index(index, hub, search, words, count, after) if index else None
    return found or _of_tables(hub.media.exclude(key=search), words, count, after)


def _of_tables(media: QuerySet[Media], words: list[str], count: int, after: str) -> Some:
    matching = _matching(media, words)
    page = list(_in_order(matching, after)[:count])
    is_whole = not after and len(page) < count
    return page, len(page) if is_whole else matching.count()


def _of_index(index: MediaIndex, hub: Hub, search: str, words: list[str], count: int, after: str) -> Some | None:
    """None where the index does not answer, is far behind, or lacks what it should hold."""
    try:
        mark = mark_of(index, hub)
        return _merged(index, mark, hub, search, words, count, after) if mark else None
    except StoreAway as away:
        logger.warning("%s The catalogue is searched in the tables.", away)
        return None


def _merged(
    index: MediaIndex, mark: Mark, hub: Hub, search: str, words: list[str], count: int, after: str
) -> Some | None:
    changed = hub.media.filter(learnt_at__gt=mark.until)
    changed_keys = list(changed.values_list("key", flat=True)[: CHANGED_AT_MOST + 1])
    if len(changed_keys) > CHANGED_AT_MOST:
        return None
    hits = index.find(mark.generation, words, [*changed_keys, search], after, count)
    known = {media.key: media for media in hub.media.filter(key__in=hits.keys)}
    # Counted last: what changes meanwhile is counted no more, so that the index never seems to lack it.
    settled = hub.media.filter(learnt_at__lte=mark.until)
    wanted = settled.count() - settled.filter(key=search).count()
    if len(known) < len(hits.keys) or hits.held < wanted:
        logger.error("The index of media lacks some of %s; it is filled anew.", hub.slug)
        index.forget(hub.pk)
        return None
    fresh, fresh_total = _of_tables(changed.filter(key__in=changed_keys).exclude(key=search), words, count, after)
    page = sorted((known | {media.key: media for media in fresh}).values(), key=lambda media: media.key)
    return page[:count], hits.total + fresh_total


def _matching(media: QuerySet[Media], words: list[str]) -> QuerySet[Media]:
    for word in words:
        media = media.filter(words__contains=f" {word}")
    return media


def _in_order(media: QuerySet[Media], after: str) -> QuerySet[Media]:
    """Those after an id, in the order of code points, which is not that of every PostgreSQL."""
    is_postgres = connections[media.db].vendor == "postgresql"
    placed = media.annotate(place=Collate("key", "C") if is_postgres else F("key"))
    return placed.filter(place__gt=after).order_by("place")
