"""The hand-off between the layers, under schedules that no clock would ever make twice."""

import os
from collections.abc import Iterator

import pytest
from django.db import connections

from batch import ledger
from tests.simulation.scheduler import steps
from tests.simulation.world import BEST_ENDING, World

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

SEEDS = range(int(os.environ.get("SIMULATION_FIRST", 0)), int(os.environ.get("SIMULATION_SEEDS", 6)))


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
