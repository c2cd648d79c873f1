"""What a run writes: days and months, whatever a run is split into, and whatever it finds half done."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.http import QueryDict
from django.utils import timezone

from aggregations.event import Event
from aggregations.rollups import HOUR_MS, declaration_of
from batch.models import RebuiltWindow, Run
from batch.run import StoreEmptied, _Work
from events.models import Hub
from speed import consumer
from tests import caches, log
from tests.simulation.world import ROLLUPS, empty
from views_layer import ask, seam
from views_layer.models import Seal, ViewRow

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

HUB = "acme"
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def world(redis_url: str, monkeypatch) -> None:
    empty(redis_url)
    for module in ("batch.run", "speed.folding"):
        monkeypatch.setattr(f"{module}.ROLLUPS", ROLLUPS)
    caches.renew(monkeypatch)


def append(*hours: int) -> None:
    """One event in each of some hours after FIRST."""
    start = int(FIRST.timestamp() * 1000)
    log.append(
        [
            Event(HUB, "e", "view", start + hour * HOUR_MS, start, hour % 50 + 1, hour % 50 + 1, 1, media="m")
            for hour in hours
        ]
    )


def events(**parameters: str) -> list[int]:
    """The number of events from January to March, by whatever interval."""
    text = "metrics=events&from=2026-01-01&to=2026-04-01" + "".join(f"&{n}={v}" for n, v in parameters.items())
    found = ask.answer(Hub.objects.get(slug=HUB), QueryDict(text), timezone.now())
    return [row["events"] for row in found["results"]]


def test_a_daily_run_of_very_many_hours_makes_whole_days_and_months() -> None:
    append(*range(0, 24 * 90, 2))
    seam.run_now(Run.DAILY)
    assert events(interval="month") == [31 * 12, 28 * 12, 31 * 12]
    assert set(events(interval="day")) == {12}
    assert events() == [90 * 12]


def test_a_rebuild_that_died_with_its_store_begins_anew(monkeypatch) -> None:
    monkeypatch.setattr("batch.run.REBUILD_EVENTS", 1)
    append(*range(0, 24 * 90, 24))
    recompute, done = _Work._recompute, []

    def dying(self, hub, ranges, is_last) -> None:
        if len(done) == 2:
            raise InterruptedError
        done.append(ranges)
        recompute(self, hub, ranges, is_last)

    with monkeypatch.context() as patch:
        patch.setattr(_Work, "_recompute", dying)
        with pytest.raises(InterruptedError):
            seam.run_now(Run.REBUILD)
    assert RebuiltWindow.objects.count() == 2
    ViewRow.objects.all().delete()
    Seal.objects.all().delete()
    seam.run_now(Run.HOURLY)
    assert events() == [90]


def test_a_rebuild_that_died_goes_on_from_there(monkeypatch) -> None:
    monkeypatch.setattr("batch.run.REBUILD_EVENTS", 1)
    append(*range(0, 24 * 90, 24))
    recompute, done = _Work._recompute, []

    def once_dying(self, hub, ranges, is_last) -> None:
        done.append(ranges)
        if len(done) == 3:
            raise InterruptedError
        recompute(self, hub, ranges, is_last)

    monkeypatch.setattr(_Work, "_recompute", once_dying)
    with pytest.raises(InterruptedError):
        seam.run_now(Run.REBUILD)
    seam.run_now(Run.REBUILD)
    assert (len(done), done[2] == done[3], events()) == (3 + 1 + 3, True, [90])


def test_rows_of_another_declaration_are_not_taken_over_by_the_run_that_goes_on(monkeypatch) -> None:
    append(*range(0, 72, 24))
    with monkeypatch.context() as patch:
        patch.setattr("batch.run.DECLARATION", "before the deploy")
        patch.setattr("batch.ledger.publish", lambda run: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            seam.run_now(Run.REBUILD)
    ViewRow.objects.update(payload=b"without the new measure")
    seam.run_now(Run.HOURLY)
    assert events() == [3]


def test_a_rebuild_in_windows_writes_the_days_that_closed_lately_from_their_events(monkeypatch) -> None:
    monkeypatch.setattr("batch.run.REBUILD_EVENTS", 1)
    now = int((timezone.now() - FIRST).total_seconds()) // 3600
    yesterday = f"{timezone.now() - timedelta(days=1):%Y-%m-%d}"
    append(now - 24 * 70, now - 24)
    seam.run_now(Run.HOURLY)
    append(now - 24)
    seam.run_now(Run.REBUILD)
    text = f"metrics=events&from={yesterday}&to={timezone.now():%Y-%m-%d}&interval=day"
    found = ask.answer(Hub.objects.get(slug=HUB), QueryDict(text), timezone.now())
    assert found["totals"]["events"] == 2


def test_a_late_event_reaches_hour_day_and_month() -> None:
    append(0, 1, 800)
    seam.run_now(Run.HOURLY)
    append(1)
    consumer.apply_new()
    before = events(interval="month")
    seam.run_now(Run.HOURLY)
    assert (before, events(interval="month"), events(interval="day")[0]) == ([3, 1, 0], [3, 1, 0], 3)


@pytest.mark.parametrize("kind", [Run.HOURLY, Run.DAILY])
def test_a_day_that_a_clock_ahead_has_closed_gets_its_later_events(kind: str) -> None:
    append(1)
    with time_machine.travel(FIRST + timedelta(hours=25), tick=False):
        seam.run_now(Run.HOURLY)
    append(23)
    with time_machine.travel(FIRST + timedelta(hours=23, minutes=30), tick=False):
        seam.run_now(kind)
    assert (events(interval="day")[0], events()) == (2, [2])


def test_a_store_that_is_emptied_while_a_run_writes_is_noticed(monkeypatch) -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    append(1, 2)
    record_audit = _Work._record_audit

    def emptying(self: _Work, *audit) -> None:
        ViewRow.objects.all().delete()
        Seal.objects.all().delete()
        monkeypatch.setattr(_Work, "_record_audit", record_audit)
        record_audit(self, *audit)

    monkeypatch.setattr(_Work, "_record_audit", emptying)
    with pytest.raises(StoreEmptied, match="epoch 2"):
        seam.run_now(Run.HOURLY)
    run = seam.run_now(Run.HOURLY)
    assert (sum(events()), run.published_at is not None) == (3, True)


def test_rows_and_buffers_of_another_declaration_do_not_count(monkeypatch) -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    monkeypatch.setattr("views_layer.stores.orm.DECLARATION", "another")
    monkeypatch.setattr("speed.buffers.PREFIX", "{affluence}:another:")
    append(2)
    consumer.apply_new()
    before = sum(events())
    run = seam.reconcile(timezone.now())
    assert (before, sum(events()), run and run.kind) == (2, 2, Run.REBUILD)
    assert declaration_of(ROLLUPS[:1]) != declaration_of(ROLLUPS[1:])


def test_a_zone_that_changes_while_a_run_writes_leaves_no_month_of_the_old_zone(monkeypatch) -> None:
    """March begins at one instant in Lagos and in Paris, and ends an hour earlier in Paris, whose clocks changed."""
    hub = Hub.objects.get(slug=HUB)
    hub.timezone = "Africa/Lagos"
    hub.save()
    start = int((datetime(2026, 3, 10, tzinfo=UTC) - FIRST).total_seconds()) // 3600
    april = int((datetime(2026, 3, 31, 22, tzinfo=UTC) - FIRST).total_seconds()) // 3600
    append(start, april)
    record_audit = _Work._record_audit

    def changing(self: _Work, *audit) -> None:
        record_audit(self, *audit)
        hub.timezone = "Europe/Paris"
        hub.save()

    monkeypatch.setattr(_Work, "_record_audit", changing)
    seam.run_now(Run.DAILY)
    assert ViewRow.objects.filter(grain="month").count()
    assert (events(), events(interval="month"), events(interval="day")[-1]) == ([1], [0, 0, 1], 0)
