"""Chunks of events folded into the entries of a buffer."""

from collections.abc import Iterable, Iterator, Sequence

from aggregations.cells import decode, encode, encode_by_hub, fold_hubs, merge
from aggregations.columns import EventColumns
from aggregations.rollups import ROLLUPS, rollup_named
from events.log import Chunk
from speed.buffers import Entry

FOLD_AT_MOST = 20_000
"""Events folded at once, unless a single chunk has more."""


def batches(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Chunks in runs of about FOLD_AT_MOST events."""
    batch: list[Chunk] = []
    size = 0
    for chunk in chunks:
        batch.append(chunk)
        size += len(chunk.events)
        if size >= FOLD_AT_MOST:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def entries(chunks: Sequence[Chunk]) -> Iterator[Entry]:
    """One entry for each hub and rollup that the chunks touch."""
    columns = EventColumns([event for chunk in chunks for event in chunk.events])
    if columns.size == 0:
        return
    for rollup in ROLLUPS:
        for hub, data in encode_by_hub(fold_hubs(columns, rollup), rollup.measures):
            yield hub, rollup.name, data


def merged(rollup_name: str, found: Sequence[bytes]) -> bytes:
    """The entries of one hub and rollup as one."""
    rollup = rollup_named(rollup_name)
    parts = [decode(entry, rollup.keys, rollup.measures) for entry in found]
    return encode(merge(parts, rollup.measures), rollup.measures)
