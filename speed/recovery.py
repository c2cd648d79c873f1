"""Recovery: makes the buffers agree with ledger and log again: after Redis was emptied or restored from an old dump,
where a reader met damage, and where Redis holds the buffers of another log, which a restore has replaced.
"""

import logging
import time

from events.cuts import published_cut, waiting_cut
from events.log import EventLog, LogGap, Position, at_or_before
from events.models import Cut
from speed import buffers, folding

logger = logging.getLogger(__name__)

ATTEMPTS, PAUSE_S = 20, 0.01
"""Others move on a few times at most while the buffers are looked at; the pauses add up to two seconds."""


class Unsettled(RuntimeError):
    """The buffers never agreed with the ledger; nothing was changed that would lose an event."""


def ensure(log: EventLog) -> buffers.Pipeline:
    """The state of the buffers, after mending what does not agree with the ledger. Idempotent.

    Others may swap, publish and retire between the reading of buffers and ledger, so the buffers are replaced only
    where they still are as they were found; else all of it is read again. Raises LogGap for a log that lost its end,
    Unsettled where they never agree.
    """
    for attempt in range(ATTEMPTS):
        found = buffers.pipeline()
        state = _of_this_log(found, log)
        published, waiting = published_cut(), waiting_cut()
        if state and published and _is_published(state, published):
            buffers.retire(published.epoch, published.position)
        elif state and agrees(state, published, waiting, log.head()):
            return state
        elif not rebuild(log, found):
            time.sleep(PAUSE_S * attempt)
    raise Unsettled(
        f"The buffers ({found}) did not come to agree with the ledger (published: {published}, waiting: {waiting}) in"
        f" {ATTEMPTS} attempts; see the cuts of both, and whether two systems share this Redis."
    )


def settled(log: EventLog) -> buffers.Pipeline | None:
    """The state of the buffers as they are; None where they are empty or do not agree with the ledger."""
    state, published, waiting = _of_this_log(buffers.pipeline(), log), published_cut(), waiting_cut()
    if state and (_is_published(state, published) or agrees(state, published, waiting, log.head())):
        return state
    return None


def _of_this_log(found: buffers.Pipeline | None, log: EventLog) -> buffers.Pipeline | None:
    """The buffers that were found, unless they were folded from another log: its positions mean other chunks."""
    return found if found and found.birth == log.birth() else None


def _is_published(state: buffers.Pipeline, published: Cut | None) -> bool:
    """True where the frozen buffer is of a published epoch: its retirement follows."""
    return published is not None and (state.frozen, state.cut) == (published.epoch, published.position)


def agrees(state: buffers.Pipeline, published: Cut | None, waiting: Cut | None, head: Position) -> bool:
    """True where the buffers can have come from the ledger's cuts and the log as they are.

    A frozen buffer whose cut is not recorded yet agrees: the swap came first, the record follows. Those that were
    condemned do not.
    """
    epoch, start = (published.epoch, published.position) if published else (0, {})
    if (
        state.is_damaged
        or state.published != epoch
        or not at_or_before(start, state.mark)
        or not at_or_before(state.mark, head)
    ):
        return False
    if state.frozen is None:
        return waiting is None and state.active == epoch + 1
    if state.frozen != epoch + 1 or state.active != epoch + 2:
        return False
    return waiting is None or (state.frozen, state.cut) == (waiting.epoch, waiting.position)


def rebuild(log: EventLog, found: buffers.Pipeline | None) -> bool:
    """Build the buffers again from cuts and log: the frozen one of a waiting cut at once, the active one empty.

    The active buffer's mark is the last cut; the consumer goes on from there. False, and nothing changed, where the
    buffers are no longer as they were `found`. Raises LogGap where the log ends before a recorded cut.
    """
    published, waiting, birth = published_cut(), waiting_cut(), log.birth()
    epoch = published.epoch if published else 0
    start: Position = published.position if published else {}
    if waiting and waiting.epoch != epoch + 1:
        return False
    end = waiting.position if waiting else start
    if not at_or_before(end, log.head()):
        raise LogGap(f"The log ends at {log.head()}, before the recorded cut {end}; restore the log before reading on.")
    level = logging.WARNING if found or published else logging.DEBUG
    logger.log(level, "The buffers (%s) do not agree with ledger and log; they are built again from the log.", found)
    if found is None:
        buffers.forget_other_declarations()
    if waiting is None:
        return buffers.install(buffers.Pipeline(epoch, epoch + 1, start, None, None, birth), [], found)
    state = buffers.Pipeline(epoch, epoch + 2, waiting.position, waiting.epoch, waiting.position, birth)
    return buffers.install(state, _folded(log, start, waiting.position), found)


def _folded(log: EventLog, after: Position, until: Position) -> list[buffers.Entry]:
    parts: dict[tuple[str, str], list[bytes]] = {}
    for batch in folding.batches(log.read(after, until)):
        for hub, rollup, entry in folding.entries(batch):
            parts.setdefault((hub, rollup), []).append(entry)
    return [(hub, rollup, folding.merged(rollup, found)) for (hub, rollup), found in parts.items()]
