"""The consumer: reads the log after the buffer's mark, folds, applies. Messages only wake it; they carry no data."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from aggregations.cells import DamagedCells
from events.catalogue import learn
from events.log import EventLog, Position, event_log
from speed import buffers, folding, recovery

logger = logging.getLogger(__name__)

LISTS_AT_ONCE = 256
"""Lists that are merged together: with hundreds of hubs a round trip for each would cost more than the merging."""


def apply_new(log: EventLog | None = None, until: Position | None = None) -> int:
    """Apply all chunks after the mark (up to `until`); returns the number of events applied.

    Idempotent: a chunk counts once, however often and by how many consumers it is applied. Recovers first where
    Redis is empty or older than the ledger. Raises LogGap at a missing chunk, redis.RedisError without Redis.
    """
    log = log or event_log()
    applied, is_through = 0, False
    while not is_through:
        some, is_through = _apply(log, until)
        applied += some
    return applied


def _apply(log: EventLog, until: Position | None) -> tuple[int, bool]:
    """The number of events applied, and whether that was all: not so where the buffers changed under it."""
    applied = 0
    state = recovery.ensure(log)
    for batch in folding.batches(log.read(state.mark, until)):
        next_mark = state.mark | {chunk.partition: chunk.sequence for chunk in batch}
        learn(event for chunk in batch for event in chunk.events)
        long_lists = buffers.apply(state, next_mark, folding.entries(batch))
        if long_lists is None:
            logger.debug("Somebody else moved the buffers on from %s; starting again there.", state)
            return applied, False
        applied += sum(len(chunk.events) for chunk in batch)
        state = replace(state, mark=next_mark)
        try:
            _compact(state.active, long_lists)
        except DamagedCells:
            logger.exception("The active buffer is damaged; it is built again from the log.")
            recovery.rebuild(log, state)
            return applied, False
    return applied, True


def _compact(epoch: int, long_lists: Sequence[tuple[str, str]]) -> None:
    """Merge long lists, LISTS_AT_ONCE a round trip. One that is gone meanwhile (retired, wiped) stays gone."""
    for first in range(0, len(long_lists), LISTS_AT_ONCE):
        names = long_lists[first : first + LISTS_AT_ONCE]
        found = zip(names, buffers.entries_of(epoch, names), strict=True)
        buffers.compact(
            epoch,
            [(hub, rollup, entries, folding.merged(rollup, entries)) for (hub, rollup), entries in found if entries],
        )
