"""Builds that are broken on purpose, each by one patch: the harness must see them, or it is blind."""

from collections.abc import Iterable

from events.log import EventLog, Position
from tests.faults.points import replace


def ignore_the_mark() -> None:
    """Entries are appended whoever else has appended them: a replayed chunk counts again."""
    from speed import buffers

    def blind(state: buffers.Pipeline, next_mark: Position, entries: Iterable[buffers.Entry]) -> list:
        client, prefix = buffers.client(), buffers.PREFIX
        for hub, rollup, data in entries:
            client.rpush(f"{prefix}buffer:{state.active}:{hub}:{rollup}", data)
            client.hincrby(f"{prefix}lengths:{state.active}", f"{hub}:{rollup}", 1)
        client.hset(f"{prefix}pipeline", "mark", buffers.position_text(next_mark))
        return []

    replace(buffers.apply, blind)


def drop_before_publish() -> None:
    """The frozen buffer is emptied when its batch run begins, not when that is published."""
    from batch import archive
    from speed import buffers

    add_range = archive.add_range

    def dropping(log: EventLog, epoch: int, after: Position, until: Position) -> list:
        for key in buffers.client().keys(f"{buffers.PREFIX}buffer:{epoch}:*"):
            buffers.client().delete(key)
        buffers.client().delete(f"{buffers.PREFIX}lengths:{epoch}")
        return add_range(log, epoch, after, until)

    replace(add_range, dropping)


BUILDS = {"ignore-the-mark": ignore_the_mark, "drop-before-publish": drop_before_publish}
