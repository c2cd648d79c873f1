"""Removals: events that leave the log for good, because a visitor is erased or because they were kept long enough.

A removal is recorded first, then carried out by a run from raw events (archive and rows), then in the log itself. Each
step can be repeated, so one that was cut off goes on from there.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import filterfalse

from django.db import transaction

from aggregations.buckets import instant_ms
from aggregations.event import Event
from events import rejected
from events.log import Chunk, event_log
from events.models import Hub, Removal
from events.normaliser import visitor_key


class UnknownVisitor(LookupError):
    """A hub knows no visitor of that name, and nothing of it waits in the inbox."""


def known(hub: Hub, visitor: str) -> tuple[int | None, list[int]]:
    """The number of a visitor, named as clients name it, and the rows of the inbox that name it.

    Raises UnknownVisitor where there is neither, LogBusy.
    """
    key = visitor_key(hub.slug, visitor)
    with event_log().writer() as writer:
        number = writer.visitors([(hub.slug, key)]).get((hub.slug, key))
    rows = rejected.naming(hub.slug, visitor, key)
    if number is None and not rows:
        raise UnknownVisitor(
            f"{hub.slug} knows no visitor {visitor!r}: it never sent an event under that name, or was erased before."
        )
    return number, rows


def erase(hub: Hub, visitor: str, by: str) -> Removal:
    """Record that a visitor, named as clients name it, is to be erased. Raises UnknownVisitor, LogBusy.

    Once it is secured, whoever comes back with that name is new. Rejected events that name the visitor go at once.
    """
    number, rows = known(hub, visitor)
    removal, _ = Removal.objects.get_or_create(
        hub=hub.slug, visitor=number, before=None, until__isnull=True, defaults={"requested_by": by}
    )
    removal.receipt["rejected"] = removal.receipt.get("rejected", 0) + rejected.delete(rows)
    removal.save(update_fields=["receipt"])
    return removal


def remove_before(hub: Hub, before: datetime, by: str) -> Removal:
    """Record that a hub's events that occurred before a full hour are to be removed. Raw questions begin there from now on.

    Up to where in the log it reaches is left open: many are secured at once.
    """
    with transaction.atomic():
        removal = Removal.objects.create(hub=hub.slug, before=instant_ms(before), requested_by=by)
        if hub.events_since is None or hub.events_since < before:
            hub.events_since = before
            hub.save(update_fields=["events_since"])
    return removal


def secure(removals: Sequence[Removal]) -> None:
    """Fix, once, up to where in the log removals reach. After it nobody is given the number of an erased visitor."""
    log = event_log()
    visitors = [(removal.hub, removal.visitor) for removal in removals if removal.visitor is not None]
    if visitors:
        for partition in log.head():
            with log.writer(partition) as writer:
                for hub, visitor in visitors:
                    writer.forget(hub, [visitor])
                writer.append([], int(time.time() * 1000))
    until = log.head()
    for removal in removals:
        Removal.objects.filter(pk=removal.pk, until__isnull=True).update(until=until)
        removal.refresh_from_db()


class Taken:
    """Tells the events that some removals take, wherever in the log they are."""

    def __init__(self, removals: Iterable[Removal]) -> None:
        self._visitors = {(one.hub, one.visitor) for one in removals if one.before is None}
        self._before: dict[str, int] = {}
        for one in removals:
            self._before[one.hub] = max(self._before.get(one.hub, 0), one.before or 0)

    def __call__(self, event: Event) -> bool:
        return event.occurred_at < self._before.get(event.hub, 0) or (event.hub, event.visitor) in self._visitors


def carried_out(epoch: int) -> list[Removal]:
    """The removals whose events readers of an epoch do not see, and the log may still hold."""
    return list(Removal.objects.filter(epoch__lte=epoch, done_at=None))


def without(chunks: Iterable[Chunk], removals: Sequence[Removal]) -> Iterator[Chunk]:
    """Chunks without the events that removals take."""
    for chunk in chunks:
        reaching = [one for one in removals if chunk.sequence <= (one.until or {}).get(chunk.partition, 0)]
        if reaching:
            chunk = replace(chunk, events=list(filterfalse(Taken(reaching), chunk.events)))
        yield chunk
