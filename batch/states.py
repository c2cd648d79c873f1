"""States made where rows are: what the workers of a cluster do with their part of a family's rows.

Beside `aggregations` and `batch.partials`, nothing of the project is shipped to them: no Django, no settings.
"""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from aggregations.cells import Cells, decode, encode_by_hub, merge
from aggregations.rollups import Rollup
from batch.partials import Partials, measures_of

SCHEMA = pa.schema([("hub", pa.string()), ("rollup", pa.string()), ("state", pa.binary())])
ROWS_AT_ONCE = 1_000_000
"""Rows that a worker folds at once: it bounds its memory. States of the same cells are merged by who asked."""


def states(batches: Iterable[pa.RecordBatch], rollups: Sequence[Rollup]) -> Iterator[pa.RecordBatch]:
    """The bytes of the cells of some rollups by hub, from rows of the statement of a family that holds them."""
    for table in _tables(batches):
        partials = Partials(table, measures_of(rollups))
        for rollup in rollups:
            found = list(encode_by_hub(partials.fold(["hub", *rollup.keys], rollup.measures), rollup.measures))
            hubs, encoded = [hub for hub, _ in found], [state for _, state in found]
            yield pa.RecordBatch.from_arrays([hubs, [rollup.name] * len(found), encoded], schema=SCHEMA)


def _tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(batch.num_rows for batch in held) >= ROWS_AT_ONCE:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


class States:
    """What workers have made, as a table of SCHEMA: decoded and merged rollup by rollup."""

    def __init__(self, table: pa.Table) -> None:
        self._found: dict[str, dict[str, list[bytes]]] = {}
        for hub, rollup, state in zip(*(column.to_pylist() for column in table.columns), strict=True):
            self._found.setdefault(rollup, {}).setdefault(hub, []).append(state)

    def by_hub(self, rollup: Rollup) -> dict[str, Cells]:
        """The cells of a rollup by hub; afterwards its bytes are let go."""
        found = self._found.pop(rollup.name, {})
        return {
            hub: merge([decode(state, rollup.keys, rollup.measures) for state in some], rollup.measures)
            for hub, some in sorted(found.items())
        }
