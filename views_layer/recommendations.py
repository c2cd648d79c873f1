"""What to read next (DESIGN, section 8): the kept model of a hub, with what a visitor has read up to this moment."""

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.http import QueryDict

from aggregations.buckets import instant_ms, moment_of
from batch.run import Progress
from events.log import event_log
from events.models import Hub
from events.normaliser import visitor_key
from insights.recommendations.evaluation import evaluate
from insights.recommendations.interactions import COLUMNS, WHERE
from insights.recommendations.model import RECOMMENDATIONS, Model, News, Shelf, learn, model_of
from views_layer import raw
from views_layer.ask import steady, utc
from views_layer.insights import RANGE, events_at, meta_of
from views_layer.learnt import learnt
from views_layer.period import LAST_MS
from views_layer.question import ROBOTS, QueryError, read_limit, read_one_of, read_range, refuse_all_but
from views_layer.seam import Moment, moment, verify

LIMIT, LIMIT_AT_MOST = 10, 100
MODELS_KEPT = 16
LATE_MS = 48 * 3_600_000
"""How late a public event may come: what occurred in that time before the model was learnt may have come after it."""


class Known(NamedTuple):
    """A model, and the instant in milliseconds up to which it knows what happened."""

    model: Model
    until: int


def recommendations(hub: Hub, parameters: QueryDict, now: datetime) -> dict[str, Any]:
    """What readers of `media` also read; for `visitor` what to read next; without either what is popular now.

    Raises QueryError.
    """
    refuse_all_but(parameters, "media", "visitor", "limit", *RANGE)
    media, visitor = parameters.get("media"), parameters.get("visitor")
    if media and visitor:
        raise QueryError("invalid_visitor", "Give media or visitor, not both: each asks another question.", "visitor")
    limit = read_limit(parameters, LIMIT_AT_MOST, LIMIT)
    robots = read_one_of(parameters, "robots", ROBOTS) or ROBOTS[0]
    start, end = read_range(parameters, hub.timezone, now, default="all")
    is_kept = start is None and robots == ROBOTS[0]

    def read() -> tuple[list[dict], Known, Moment]:
        current = moment(hub.slug, [], now)
        hub.refresh_from_db(fields=["events_since"])
        own = [media] if media else _read_by(hub, visitor, current) if visitor else []
        known = model_at(hub, current) if is_kept else _of_range(hub, (start or 0, end), robots, current)
        fresh = news(hub, known, current) if is_kept else []
        results = Shelf(known.model, fresh).recommend(own, set(own), limit)
        verify(current)
        return results, known, current

    results, known, current = steady(read)
    return {
        "results": results,
        "model": known.model.lists if media else known.model.name,
        "trained_until": utc(moment_of(known.until)),
        "meta": meta_of(hub, (start or 0, end), current),
    }


def shelf_at(hub: Hub, now: datetime) -> tuple[Shelf, Known]:
    """What may be recommended now by the kept model of a hub, with what was opened lately."""

    def read() -> tuple[Shelf, Known]:
        current = moment(hub.slug, [], now)
        hub.refresh_from_db(fields=["events_since"])
        known = model_at(hub, current)
        fresh = news(hub, known, current)
        verify(current)
        return Shelf(known.model, fresh), known

    return steady(read)


def model_at(hub: Hub, current: Moment) -> Known:
    """The kept model of a hub. Raises RowsGone; to be called in `ask.steady`."""
    kept = learnt(hub, RECOMMENDATIONS, current)
    return Known(_decoded(kept.digest, kept.payload), instant_ms(kept.trained_until))


def news(hub: Hub, known: Known, current: Moment) -> list[News]:
    """What was opened lately: since the model was learnt, or so shortly before that it may not know of it."""
    select = "media, CAST(min(occurred_at) AS BIGINT), count(DISTINCT visitor)"
    where = f"{WHERE} AND NOT is_bot GROUP BY media"
    return [News(*row) for row in raw.rows(current, hub.slug, (known.until - LATE_MS, LAST_MS), select, where)]


def evaluation(hub: Hub, now: datetime, progress: Progress) -> dict[str, Any]:
    """The scores of the candidates on a hub's own events, without robots."""
    events, _current = events_at(hub, (0, LAST_MS), COLUMNS, f"{WHERE} AND NOT is_bot", [], now)
    return evaluate(events, progress)


def _read_by(hub: Hub, visitor: str, current: Moment) -> list[str]:
    """What a visitor, named as clients name it, has ever opened; nothing where nobody is known by that name."""
    number = event_log().visitor_number(hub.slug, visitor_key(hub.slug, visitor))
    if number is None:
        return []
    where = "visitor = ? AND media IS NOT NULL"
    return [media for (media,) in raw.rows(current, hub.slug, (0, LAST_MS), "DISTINCT media", where, [number])]


def _of_range(hub: Hub, span: tuple[int, int], robots: str, current: Moment) -> Known:
    """A model learnt on the spot from a range of occurrence."""
    events = raw.table(current, hub.slug, span, COLUMNS, f"{WHERE} AND {raw.ROBOTS[robots]}", [])
    until = min(span[1], instant_ms(current.as_of))
    payload = learn(events, until)
    return Known(_decoded(hashlib.sha256(payload).hexdigest(), payload), until)


@lru_cache(MODELS_KEPT)
def _decoded(digest: str, payload: bytes) -> Model:
    return model_of(payload)
