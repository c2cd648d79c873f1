"""Beat's clock is set back: the ticks go on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django_celery_beat.models import PeriodicTask

from statsproject.beat import Entry, Scheduler
from statsproject.celery import SCHEDULE, app, store_schedule

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 5, 10, 0, 30, tzinfo=UTC)


@pytest.fixture
def scheduler(monkeypatch) -> tuple[Scheduler, list[str]]:
    """A scheduler at NOW, and the names of the ticks that it has sent."""
    sent: list[str] = []
    monkeypatch.setattr(Scheduler, "apply_async", lambda self, entry, **_: sent.append(entry.name))
    monkeypatch.setattr(Scheduler, "producer", None)
    store_schedule()
    return Scheduler(app=app), sent


def ticks(scheduler: Scheduler, clock: Any, seconds: int) -> None:
    for _ in range(seconds):
        clock.shift(1)
        while scheduler.tick() == 0:
            pass


def test_a_tick_of_the_future_is_as_one_of_now() -> None:
    with time_machine.travel(NOW, tick=False):
        store_schedule()
        PeriodicTask.objects.update(last_run_at=NOW + timedelta(hours=2))
        entry = Entry(PeriodicTask.objects.get(name=SCHEDULE[1].name), app=app)
        assert (entry.is_due().is_due, entry.is_due().next) == (False, 30)


def test_all_ticks_go_on_when_the_clock_is_set_back(scheduler) -> None:
    found, sent = scheduler
    with time_machine.travel(NOW + timedelta(hours=2), tick=False) as clock:
        ticks(found, clock, 2)
        sent.clear()
        clock.move_to(NOW)
        ticks(found, clock, 40)
    assert {name: sent.count(name) >= 1 for name in (SCHEDULE[0].name, SCHEDULE[1].name)} == {
        SCHEDULE[0].name: True,
        SCHEDULE[1].name: True,
    }
