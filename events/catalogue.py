"""The catalogue: what events tell of media, learnt into the table of media."""

from collections.abc import Iterable
from datetime import UTC, datetime

from aggregations.event import Event
from events.models import Hub, Media

CAPACITY = 200_000
PAIRS_PER_QUERY = 300

_known: dict[tuple[str, str], tuple[str | None, str | None, int | None, int]] = {}
"""Kind, title and pages that the last event of a media taught, and its earliest time; None where none did."""


def learn(events: Iterable[Event]) -> int:
    """Learn media, kinds, titles and page counts; returns how many media are new or changed. Idempotent.

    The newest event (by `occurred_at`) that gives a title wins; an older one fills only what is still unknown. Events
    that tell nothing new cost no query.
    """
    telling = sorted((event for event in events if _is_news(event)), key=lambda event: event.occurred_at)
    by_hub: dict[str, list[Event]] = {}
    for event in telling:
        by_hub.setdefault(event.hub, []).append(event)
    hubs = Hub.objects.filter(slug__in=by_hub).in_bulk(field_name="slug") if by_hub else {}
    changed = sum(_learn_hub(hub, by_hub[slug]) for slug, hub in hubs.items())
    _remember(telling)
    return changed


def forget() -> None:
    """Empty this process's memory of what is known, as after a restore of the tables."""
    _known.clear()


def _is_news(event: Event) -> bool:
    if event.media is None:
        return False
    known = _known.get((event.hub, event.media))
    if known is None or event.occurred_at < known[3]:
        return True
    return any(
        value is not None and value != before
        for value, before in zip((event.media_kind, event.title, event.pages), known, strict=False)
    )


def _remember(events: list[Event]) -> None:
    if len(_known) > CAPACITY:
        _known.clear()
    for event in events:
        kind, title, pages, first_at = _known.get((event.hub, event.media or ""), (None, None, None, event.occurred_at))
        _known[event.hub, event.media or ""] = (
            event.media_kind or kind,
            event.title or title,
            event.pages or pages,
            min(first_at, event.occurred_at),
        )


def _learn_hub(hub: Hub, events: list[Event]) -> int:
    keys = sorted({event.media for event in events if event.media})
    media: dict[str, Media] = {}
    for start in range(0, len(keys), PAIRS_PER_QUERY):
        for row in Media.objects.filter(hub=hub, key__in=keys[start : start + PAIRS_PER_QUERY]):
            media[row.key] = row
    changed: dict[str, Media] = {}
    for event in events:
        at = datetime.fromtimestamp(event.occurred_at / 1000, UTC)
        key = event.media or ""
        row = media.setdefault(key, Media(hub=hub, key=key, first_at=at))
        if _teach(row, event, at) or row.pk is None:
            changed[key] = row
    Media.objects.bulk_create(
        changed.values(),
        batch_size=500,
        update_conflicts=True,
        unique_fields=["hub", "key"],
        update_fields=["kind", "title", "pages", "first_at", "learnt_at"],
    )
    return len(changed)


def _teach(row: Media, event: Event, at: datetime) -> bool:
    """Write what the event tells into the row; True where that changes it."""
    is_newest = row.learnt_at is None or at >= row.learnt_at
    is_changed = at < row.first_at
    row.first_at = min(row.first_at, at)
    for name, value in (("kind", event.media_kind), ("title", event.title), ("pages", event.pages)):
        before = getattr(row, name)
        if value is not None and value != before and (is_newest or not before):
            setattr(row, name, value)
            row.learnt_at = max(at, row.learnt_at or at)
            is_changed = True
    return is_changed
