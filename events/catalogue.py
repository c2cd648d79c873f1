"""The catalogue: what events tell of media, learnt into the table of media."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import transaction

from aggregations.event import Event
from events.models import Hub, Media

CAPACITY = 200_000
MEDIA_PER_QUERY = 300
STEP_MS = 3_600_000

Said = tuple[int, str | int] | None
"""What an event says in a field: when it occurred, and the value; None where no event says it."""


class Facts(NamedTuple):
    """What events tell of a media: their earliest time, and of each field what the newest that says it says."""

    first_at: int
    kind: Said
    title: Said
    pages: Said


_known: dict[tuple[str, str], tuple[Facts, Facts]] = {}
"""By hub and media: what has been told to this process, and what of that is in the table."""


def learn(events: Iterable[Event]) -> int:
    """Learn media, kinds, titles and page counts; returns how many media are written. Idempotent, order-free.

    Of each field the newest event (by `occurred_at`) that says it wins; of those at the same time, the greatest value.
    Events that tell nothing new cost no query. That a value has been said again is written only when an hour has passed
    since it was written: a process that starts may let an event win that is late by less.
    """
    due: dict[str, dict[str, Facts]] = defaultdict(dict)
    for (hub, media), facts in _told(events).items():
        known = _known.get((hub, media))
        told = facts if known is None else _merged(known[0], facts)
        if known is None or _is_due(told, known[1]):
            due[hub][media] = told
        else:
            _known[hub, media] = (told, known[1])
    hubs = Hub.objects.filter(slug__in=due).in_bulk(field_name="slug") if due else {}
    return sum(_learn_hub(hub, due[slug]) for slug, hub in hubs.items())


def forget() -> None:
    """Empty this process's memory of what is known, as after a restore of the tables."""
    _known.clear()


def _told(events: Iterable[Event]) -> dict[tuple[str, str], Facts]:
    told: dict[tuple[str, str], Facts] = {}
    for event in events:
        if event.media is None:
            continue
        key, at = (event.hub, event.media), event.occurred_at
        kind, title, pages = event.media_kind, event.title, event.pages
        if not (kind or title or pages) and key in _known and at >= _known[key][0].first_at:
            continue
        facts = Facts(at, (at, kind) if kind else None, (at, title) if title else None, (at, pages) if pages else None)
        told[key] = _merged(told[key], facts) if key in told else facts
    return told


def _merged(first: Facts, second: Facts) -> Facts:
    """Both together; associative, commutative and idempotent."""
    said = [
        one if two is None or (one is not None and one > two) else two
        for one, two in zip(first[1:], second[1:], strict=True)
    ]
    return Facts(min(first.first_at, second.first_at), *said)


def _is_due(told: Facts, written: Facts) -> bool:
    """True where the table must hear of it: a value or the earliest time has changed, or STEP_MS have passed."""
    return told.first_at != written.first_at or any(
        now is not None and (before is None or now[1] != before[1] or now[0] - before[0] >= STEP_MS)
        for now, before in zip(told[1:], written[1:], strict=True)
    )


def _learn_hub(hub: Hub, told: dict[str, Facts]) -> int:
    """Write what is due of a hub's media; returns how many are written."""
    changed = []
    with transaction.atomic():
        written = _written(hub, sorted(told))
        for media, facts in told.items():
            before = written.get(media)
            facts = facts if before is None else _merged(before, facts)
            is_due = before is None or _is_due(facts, before)
            if is_due:
                changed.append(_row(hub, media, facts))
            told[media] = facts
            written[media] = facts if is_due else before or facts
        Media.objects.bulk_create(
            changed,
            batch_size=500,
            update_conflicts=True,
            unique_fields=["hub", "key"],
            update_fields=[
                "kind",
                "title",
                "pages",
                "first_at",
                "kind_at",
                "title_at",
                "pages_at",
                "words",
                "learnt_at",
            ],
        )
    if len(_known) > CAPACITY:
        _known.clear()
    _known.update({(hub.slug, media): (facts, written[media]) for media, facts in told.items()})
    return len(changed)


def _written(hub: Hub, keys: list[str]) -> dict[str, Facts]:
    found = {}
    for start in range(0, len(keys), MEDIA_PER_QUERY):
        for row in Media.objects.filter(hub=hub, key__in=keys[start : start + MEDIA_PER_QUERY]):
            found[row.key] = Facts(
                _ms(row.first_at),
                _said(row.kind_at, row.kind),
                _said(row.title_at, row.title),
                _said(row.pages_at, row.pages),
            )
    return found


def _row(hub: Hub, key: str, facts: Facts) -> Media:
    row = Media(hub=hub, key=key, first_at=_time(facts.first_at))
    for name in ("kind", "title", "pages"):
        said = getattr(facts, name)
        if said is not None:
            setattr(row, name, said[1])
            setattr(row, f"{name}_at", _time(said[0]))
    row.words = Media.searched(key, row.title)
    return row


def _said(at: datetime | None, value: str | int | None) -> Said:
    return (_ms(at), value) if at and value else None


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
