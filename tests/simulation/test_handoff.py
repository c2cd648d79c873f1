"""The hand-off between the layers, under schedules that no clock would ever make twice."""

import os
from collections.abc import Callable, Iterable, Iterator

import pytest
from django.db import connections

from batch import archive, ledger, run
from batch.view_store import ViewRow as Row
from events.log import EventLog, Position, event_log
from events.models import Cut
from speed import buffers
from tests.simulation.scheduler import steps
from tests.simulation.world import BEST_ENDING, Inconsistent, World
from views_layer.models import ViewRow
from views_layer.stores.orm import OrmViewStore

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

SEEDS = range(int(os.environ.get("SIMULATION_FIRST", 0)), int(os.environ.get("SIMULATION_SEEDS", 5)))


@pytest.fixture(autouse=True)
def lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Schedules change the lease; it is put back."""
    monkeypatch.setattr(ledger, "LEASE", ledger.LEASE)


@pytest.fixture(autouse=True)
def no_disk(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commits do not wait for the disk: nothing here crashes the machine."""
    for alias in connections:
        connections[alias].close()
        options = connections.settings[alias]["OPTIONS"]
        monkeypatch.setitem(options, "init_command", f"{options['init_command']}; PRAGMA synchronous=OFF")
    yield
    connections.close_all()


def play(seed: int, monkeypatch: pytest.MonkeyPatch, url: str, chaos: bool = True, chunks: int = 14) -> World:
    with monkeypatch.context() as patch, steps(patch):
        world = World(seed, patch, url, chunks, chaos)
        world.play()
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_every_answer_is_the_log_up_to_its_mark(seed: int, monkeypatch, redis_url: str, record_property) -> None:
    world = play(seed, monkeypatch, redis_url)
    record_property("checked reads", world.reads)
    print(f"seed {seed}: {world.reads} checked reads, {world.published} epochs, {len(world.scheduler.trace)} turns")
    assert world.ending() == BEST_ENDING


# The naive variants: what each leaves out is needed, and the checker sees it.


def cut_by_the_clock(patch: pytest.MonkeyPatch) -> None:
    """Batch takes what was received up to the full hour, whatever the buffer held at the swap."""
    cut_position, clocked = run.cut_position, {}

    def by_the_clock(epoch: int) -> Position:
        if epoch and epoch not in clocked:
            clocked[epoch] = cut_position(epoch) if published(epoch) else event_log().head()
        return clocked[epoch] if epoch else {}

    patch.setattr(run, "cut_position", by_the_clock)


def drop_the_frozen_buffer_first(patch: pytest.MonkeyPatch) -> None:
    """The buffer is emptied when its batch run begins, not when that is published."""
    add_range = archive.add_range

    def dropping(log: EventLog, epoch: int, after: Position, until: Position) -> list:
        for key in buffers.client().keys(f"{buffers.PREFIX}buffer:{epoch}:*"):
            buffers.client().delete(key)
        buffers.client().delete(f"{buffers.PREFIX}lengths:{epoch}")
        return add_range(log, epoch, after, until)

    patch.setattr(archive, "add_range", dropping)


def overwrite_rows_in_place(patch: pytest.MonkeyPatch) -> None:
    """A bucket has one row, which each run overwrites."""

    def overwriting(self: OrmViewStore, version: int, rows: Iterable[Row]) -> int:
        for row in rows:
            bucket = {"hub": row.hub, "rollup": row.rollup, "grain": row.grain, "start": row.start, "end": row.end}
            ViewRow.objects.update_or_create(**bucket, version=0, defaults={"payload": row.payload})
        return 0

    patch.setattr(OrmViewStore, "write", overwriting)


def apply_without_looking_at_the_mark(patch: pytest.MonkeyPatch) -> None:
    """Entries are appended whoever else has appended them."""

    def blind(state: buffers.Pipeline, next_mark: Position, entries: Iterable[buffers.Entry]) -> list:
        for hub, rollup, data in entries:
            buffers.client().rpush(f"{buffers.PREFIX}buffer:{state.active}:{hub}:{rollup}", data)
            buffers.client().hincrby(f"{buffers.PREFIX}lengths:{state.active}", f"{hub}:{rollup}", 1)
        buffers.client().hset(f"{buffers.PREFIX}pipeline", "mark", buffers.position_text(next_mark))
        return []

    patch.setattr(buffers, "apply", blind)


def published(epoch: int) -> bool:
    return Cut.objects.filter(epoch=epoch, published_at__isnull=False).exists()


@pytest.mark.parametrize(
    "naive",
    [cut_by_the_clock, drop_the_frozen_buffer_first, overwrite_rows_in_place, apply_without_looking_at_the_mark],
    ids=lambda naive: naive.__name__,
)
def test_it_catches(naive: Callable[[pytest.MonkeyPatch], None], monkeypatch, redis_url: str) -> None:
    caught = []
    for seed in SEEDS:
        with monkeypatch.context() as patch:
            naive(patch)
            try:
                play(seed, patch, redis_url)
            except Inconsistent as found:
                caught.append((seed, found))
                break
    print(f"{naive.__name__}: {caught}")
    assert caught
