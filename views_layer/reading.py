"""Ask how the pages of one media are turned: what no sum of events tells, from its raw events in a range."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from django.http import QueryDict

from aggregations.buckets import instant_ms, moment_of
from aggregations.columns import Key
from events.models import Hub
from views_layer import raw
from views_layer.ask import steady
from views_layer.gather import acceptor, time_key, unit_within
from views_layer.question import TIME_DIMENSIONS, Question, read_question
from views_layer.seam import Moment, moment, verify
from views_layer.turns import COLUMNS, Turns, turns


@dataclass(frozen=True, slots=True)
class Reading:
    """The turns of each page that was read. `since`: raw events of the range before it were removed; None: none were."""

    pages: dict[int, Turns]
    since: datetime | None


def reading(hub: Hub, media: str, parameters: QueryDict, now: datetime) -> Reading:
    """How the pages of `media` are turned in the range and through the filters of `parameters` (DESIGN, section 7).

    All of it is of one log position. Raises QueryError.
    """
    question = read_question(parameters, hub.timezone, now)

    def read() -> Reading:
        current = moment(hub.slug, [], now)
        # Read after the moment: what was removed by then, it does not have.
        hub.refresh_from_db(fields=["events_since", "rows_since"])
        start = question.start or 0
        first = max(start, *(instant_ms(at) for at in (hub.events_since, hub.rows_since) if at), 0)
        found = turns(_reads(hub, media, question, (first, question.end), current)) if first < question.end else {}
        verify(current)
        return Reading(found, moment_of(first) if first > start else None)

    return steady(read)


def _reads(hub: Hub, media: str, question: Question, span: tuple[int, int], current: Moment) -> pa.Table:
    """The reads of a media that name a page and pass the filters, with the columns that `turns` needs."""
    names = [name for name in question.filters if name not in ("media", *TIME_DIMENSIONS)]
    filtered = {f"f{number}": raw.expression(name) for number, name in enumerate(names)}
    where = f"media = ? AND action = 'read' AND page IS NOT NULL AND {raw.ROBOTS[question.robots]}"
    found = raw.table(current, hub.slug, span, {name: name for name in COLUMNS} | filtered, where, [media])
    mask = np.ones(found.num_rows, dtype=bool)
    for alias, name in zip(filtered, names, strict=True):
        mask &= _key(found[alias]).holding(acceptor(name, question.filters[name]))
    for name in TIME_DIMENSIONS:
        if name in question.filters:
            unit = unit_within([], question.zone, [span])
            moments = found["occurred_at"].to_numpy() // unit * unit
            mask &= time_key(name, moments, question.zone).holding(acceptor(name, question.filters[name]))
    found = found.select(COLUMNS)
    return found if mask.all() else found.filter(mask)


def _key(column: pa.ChunkedArray) -> Key:
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    return Key(encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False))
