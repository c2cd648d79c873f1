"""Recovery: makes the buffers agree with the ledger again after Redis was emptied or restored from an old dump."""

import logging

from events.cuts import cut_position, published_cut, waiting_cut
from events.log import EventLog, Position, at_or_before
from speed import buffers, folding

logger = logging.getLogger(__name__)


def ensure(log: EventLog) -> buffers.Pipeline:
    """The state of the buffers, after mending what does not agree with the ledger. Idempotent."""
    published = published_cut()
    waiting = waiting_cut()
    published_epoch = published.epoch if published else 0
    state = buffers.pipeline()
    if state and state.frozen == published_epoch and state.cut == cut_position(published_epoch):
        buffers.retire(published_epoch)
        state = buffers.pipeline()
    expected = (waiting.epoch, waiting.position) if waiting else None
    if state and agrees(state, published_epoch, expected, log.head()):
        return state
    logger.warning("The buffers (%s) do not agree with the ledger; they are built again from the log.", state)
    return rebuild(log)


def agrees(
    state: buffers.Pipeline, published: int, waiting: tuple[int, Position] | None, head: Position
) -> bool:
    """True where the buffers can have come from the ledger's cuts and the log as they are.

    A frozen buffer whose cut is not recorded yet agrees: the swap came first, the record follows.
    """
    if state.published != published or not at_or_before(state.mark, head):
        return False
    if state.frozen is None:
        return waiting is None and state.active == published + 1
    if state.frozen != published + 1 or state.active != published + 2:
        return False
    return waiting is None or (state.frozen, state.cut) == waiting


def rebuild(log: EventLog) -> buffers.Pipeline:
    """Build the buffers again from cuts and log: the frozen one of a waiting cut at once, the active one empty.

    The active buffer's mark is the last cut; the consumer goes on from there.
    """
    published, waiting = published_cut(), waiting_cut()
    epoch = published.epoch if published else 0
    start: Position = published.position if published else {}
    if waiting is None:
        state = buffers.Pipeline(published=epoch, active=epoch + 1, mark=start, frozen=None, cut=None)
        buffers.install(state, [])
        return state
    state = buffers.Pipeline(epoch, epoch + 2, waiting.position, waiting.epoch, waiting.position)
    buffers.install(state, _folded(log, start, waiting.position))
    return state


def _folded(log: EventLog, after: Position, until: Position) -> list[buffers.Entry]:
    parts: dict[tuple[str, str], list[bytes]] = {}
    for batch in folding.batches(log.read(after, until)):
        for hub, rollup, entry in folding.entries(batch):
            parts.setdefault((hub, rollup), []).append(entry)
    return [(hub, rollup, folding.merged(rollup, found)) for (hub, rollup), found in parts.items()]
