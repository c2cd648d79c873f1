"""Raw events that pass a question's range, filters and robots: for what no sum of events tells."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from aggregations.buckets import instant_ms, moment_of
from aggregations.columns import Key
from events.models import Hub
from views_layer import raw
from views_layer.ask import steady
from views_layer.gather import acceptor, time_key, unit_within
from views_layer.question import TIME_DIMENSIONS, Question
from views_layer.seam import Moment, moment, verify

Condition = tuple[str, Sequence[object]]
"""SQL over an event's fields, and its parameters."""


def sifted(
    hub: Hub, question: Question, columns: Sequence[str], where: Condition, now: datetime
) -> tuple[pa.Table, datetime | None]:
    """The events that pass, with `columns`, in any order, all of one log position.

    Beside them since when they are kept, where the range begins before that; else None. Filters that `where` answers are
    to be left out of the question.
    """

    def read() -> tuple[pa.Table, datetime | None]:
        current = moment(hub.slug, [], now)
        # Read after the moment: what was removed by then, it does not have.
        hub.refresh_from_db(fields=["events_since", "rows_since"])
        start = question.start or 0
        first = max(start, *(instant_ms(at) for at in (hub.events_since, hub.rows_since) if at), 0)
        found = _events(hub, question, columns, where, (min(first, question.end), question.end), current)
        verify(current)
        return found, moment_of(first) if first > start else None

    return steady(read)


def _events(
    hub: Hub, question: Question, columns: Sequence[str], where: Condition, span: tuple[int, int], current: Moment
) -> pa.Table:
    names = [name for name in question.filters if name not in TIME_DIMENSIONS]
    filtered = {f"f{number}": raw.expression(name) for number, name in enumerate(names)}
    read = dict.fromkeys([*columns, "occurred_at"])
    condition, values = where
    condition = f"({condition}) AND {raw.ROBOTS[question.robots]}"
    found = raw.table(current, hub.slug, span, {name: name for name in read} | filtered, condition, values)
    mask = np.ones(found.num_rows, dtype=bool)
    for alias, name in zip(filtered, names, strict=True):
        mask &= _key(found[alias]).holding(acceptor(name, question.filters[name]))
    for name in TIME_DIMENSIONS:
        if name in question.filters:
            unit = unit_within([], question.zone, [span])
            moments = found["occurred_at"].to_numpy() // unit * unit
            mask &= time_key(name, moments, question.zone).holding(acceptor(name, question.filters[name]))
    found = found.select(columns)
    return found if mask.all() else found.filter(mask)


def _key(column: pa.ChunkedArray) -> Key:
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    return Key(encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False))
