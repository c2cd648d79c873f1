"""What is due, what a run leaves behind, and what mends itself: the seam, with a frozen `now`."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from django.core.management import call_command
from django.http import QueryDict
from django.utils import timezone

from aggregations.event import Event
from batch import archive, ledger
from batch.models import ArchiveFile, Audit, Mismatch, Run
from batch.view_store import RowsGone, view_store
from events.cuts import cut_position, mark_published, published_cut, record_cut
from events.log import event_log
from events.models import Cut, Hub
from speed import buffers, consumer
from tests import caches
from tests.simulation.world import ROLLUPS, empty
from views_layer import ask, raw, seam
from views_layer.models import Seal, ViewRow

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

HUB = "acme"
NOW = datetime(2026, 3, 5, 10, 30, tzinfo=UTC)
EVENT_AT = int(datetime(2026, 3, 3, 9, 15, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(autouse=True)
def world(redis_url: str, monkeypatch) -> None:
    empty(redis_url)
    for module in ("batch.run", "speed.folding"):
        monkeypatch.setattr(f"{module}.ROLLUPS", ROLLUPS)
    caches.renew(monkeypatch)


@pytest.fixture
def at(monkeypatch):
    """Sets the time that the ledger reads."""

    def set_time(now: datetime) -> datetime:
        monkeypatch.setattr("batch.ledger.timezone.now", lambda: now)
        return now

    return set_time


def append(visitor: int = 1, count: int = 1) -> None:
    with event_log().writer() as writer:
        events = [Event(HUB, "e", "view", EVENT_AT, EVENT_AT, visitor, visitor, 1, media="m") for _ in range(count)]
        writer.append(events, received_at=1)


def answered() -> tuple:
    """Events and visitors of the hub, and where they come from."""
    text = "metrics=events,visitors&from=2026-03-01&to=2026-03-05"
    found = ask.answer(Hub.objects.get(slug=HUB), QueryDict(text), timezone.now())
    return found["totals"]["events"], found["totals"]["visitors"], found["meta"]["source"]


def runs() -> list[tuple[int, str]]:
    return list(Run.objects.filter(published_at__isnull=False).order_by("epoch").values_list("epoch", "kind"))


@pytest.mark.parametrize(
    ("last_cut_at", "is_due"),
    [
        (None, True),
        (datetime(2026, 3, 5, 9, 59, 59, 999_999, tzinfo=UTC), True),
        (datetime(2026, 3, 5, 10, tzinfo=UTC), False),
        (datetime(2026, 3, 5, 10, 29, tzinfo=UTC), False),
        (datetime(2026, 3, 1, tzinfo=UTC), True),
    ],
)
def test_a_full_hour_since_the_last_cut_is_due(last_cut_at, is_due: bool) -> None:
    assert seam.hour_is_due(last_cut_at, NOW) is is_due


def test_ticks_that_were_missed_or_doubled_make_one_epoch_an_hour(at) -> None:
    append()
    for now in (NOW, NOW, NOW + timedelta(minutes=29), NOW + timedelta(minutes=30), NOW + timedelta(minutes=31)):
        seam.reconcile(at(now))
    seam.reconcile(at(NOW + timedelta(hours=5)))
    assert runs() == [(1, "daily"), (2, "hourly"), (3, "hourly")]


def test_an_hour_without_events_is_published_too(at) -> None:
    seam.reconcile(at(NOW))
    assert (published_cut().epoch, published_cut().position) == (1, {})


def test_the_first_run_after_midnight_gmt_is_the_daily_one(at) -> None:
    times = (NOW, NOW.replace(hour=23, minute=0), datetime(2026, 3, 6, tzinfo=UTC), datetime(2026, 3, 6, 1, tzinfo=UTC))
    for now in times:
        seam.reconcile(at(now))
    assert runs() == [(1, "daily"), (2, "hourly"), (3, "daily"), (4, "hourly")]


def test_a_daily_run_that_began_before_midnight_is_not_that_of_the_next_day(at, monkeypatch) -> None:
    before, after = datetime(2026, 3, 5, 23, 59, 59, tzinfo=UTC), datetime(2026, 3, 6, 0, 0, 5, tzinfo=UTC)
    at(before)
    publish = ledger.publish
    monkeypatch.setattr(ledger, "publish", lambda run: (at(after), publish(run)))
    seam.run_now(Run.DAILY)
    assert seam.kind_due(after) == Run.DAILY


def test_a_swap_that_nobody_ran_is_finished_and_is_daily_if_that_is_due(at) -> None:
    append()
    consumer.apply_new()
    buffers.swap()
    seam.reconcile(at(NOW))
    assert runs() == [(1, "daily")]
    assert answered() == (1, 1, "views+buffers")


def test_an_emptied_view_store_is_rebuilt_by_itself(at) -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    append(2)
    seam.run_now(Run.HOURLY)
    ViewRow.objects.all().delete()
    Seal.objects.all().delete()
    assert answered() == (2, 2, "raw")
    seam.reconcile(at(timezone.now()))
    assert answered() == (2, 2, "views+buffers")
    assert runs()[-1] == (3, "rebuild")


@pytest.mark.parametrize("kind", [Run.HOURLY, Run.DAILY])
def test_a_run_on_an_emptied_view_store_rebuilds_whatever_its_kind(kind: str) -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    append(2)
    consumer.apply_new()
    seam.swap(event_log(), NOW)
    ViewRow.objects.all().delete()
    Seal.objects.all().delete()
    seam.run_now(kind)
    assert answered() == (2, 2, "views+buffers")
    assert runs()[1] == (2, "rebuild")


def test_rows_of_a_store_that_was_made_anew_are_not_taken_for_the_old_ones() -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    assert answered()[:2] == (1, 1)
    references = list(ViewRow.objects.order_by("pk").values_list("pk", flat=True))
    ViewRow.objects.all().delete()
    Seal.objects.all().delete()
    append(2)
    seam.run_now(Run.HOURLY)
    rows = list(ViewRow.objects.order_by("pk"))
    ViewRow.objects.all().delete()
    for row, reference in zip(rows, references, strict=True):
        row.pk = reference
        row.save(force_insert=True)
    assert answered()[:2] == (2, 2)


@pytest.mark.parametrize("damage", [b"damaged", None])
def test_a_corrupted_buffer_loses_against_batch_and_is_told(damage: bytes | None, capsys) -> None:
    append(1)
    consumer.apply_new()
    seam.swap(event_log(), timezone.now())
    key = f"{buffers.PREFIX}buffer:1:{HUB}:hub"
    buffers.client().lset(key, 0, damage) if damage else buffers.client().rpush(key, buffers.client().lindex(key, 0))
    before = answered()
    seam.run_now(Run.HOURLY)
    assert before == ((0, 0, "views") if damage else (2, 1, "views+buffers"))
    assert answered() == (1, 1, "views+buffers")
    mismatch = Mismatch.objects.get()
    assert (mismatch.audit.epoch, mismatch.rollup, Audit.objects.get(epoch=1).mismatch_count) == (1, "hub", 1)
    with pytest.raises(SystemExit):
        call_command("pipeline_status", "--json")
    status = json.loads(capsys.readouterr().out)
    assert (status["mismatches"], status["healthy"], status["lag_events"]) == (1, False, 0)


def test_a_redis_that_is_emptied_while_the_audit_reads_is_no_mismatch(monkeypatch) -> None:
    append(1)
    consumer.apply_new()
    seam.swap(event_log(), timezone.now())
    frozen_names = buffers.frozen_names

    def emptied(epoch: int):
        found = frozen_names(epoch)
        monkeypatch.setattr(buffers, "frozen_names", frozen_names)
        buffers.client().flushall()
        return found

    monkeypatch.setattr(buffers, "frozen_names", emptied)
    seam.run_now(Run.HOURLY)
    assert (Audit.objects.get(epoch=1).mismatch_count, Mismatch.objects.count()) == (0, 0)


def test_a_redis_that_dies_before_the_retirement_is_retired_when_it_is_back(monkeypatch) -> None:
    append(1)
    retire = buffers.retire

    def dead(*_):
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(buffers, "retire", dead)
    with pytest.raises(redis.ConnectionError):
        seam.run_now(Run.HOURLY)
    assert (published_cut().epoch, buffers.pipeline().published, answered()) == (1, 0, (1, 1, "views+buffers"))
    monkeypatch.setattr(buffers, "retire", retire)
    consumer.apply_new()
    assert (buffers.pipeline().published, answered()) == (1, (1, 1, "views+buffers"))


def test_a_redis_that_dies_midway_gives_the_claim_back(monkeypatch) -> None:
    append(1)

    def dead(*_):
        raise redis.ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(buffers, "entries_of", dead)
        with pytest.raises(redis.ConnectionError):
            seam.run_now(Run.HOURLY)
    seam.run_now(Run.HOURLY)
    assert (answered(), Mismatch.objects.count()) == ((1, 1, "views+buffers"), 0)


def test_a_run_that_is_asked_for_is_not_taken_for_one_that_was_cut_before(monkeypatch) -> None:
    """Beat's reconcile swaps and runs just before the command's own swap."""
    append(1)
    apply_new = consumer.apply_new

    def beaten(*arguments, **options):
        monkeypatch.setattr(consumer, "apply_new", apply_new)
        run = ledger.claim(seam.swap(event_log(), timezone.now()).epoch, Run.HOURLY)
        Run.objects.filter(pk=run.pk).update(failed_at=timezone.now())
        return apply_new(*arguments, **options)

    monkeypatch.setattr(consumer, "apply_new", beaten)
    run = seam.run_now(Run.REBUILD)
    assert (run.kind, published_cut().position, runs()) == ("rebuild", {"main": 1}, [(1, "hourly"), (2, "rebuild")])


def test_a_swap_on_a_redis_that_was_put_back_behind_the_ledger_counts_nothing_twice(monkeypatch) -> None:
    append(1)
    consumer.apply_new(until={"main": 1})
    old = {key: buffers.client().dump(key) for key in buffers.client().scan_iter()}
    append(2)
    seam.run_now(Run.HOURLY)
    swap = buffers.swap

    def put_back():
        monkeypatch.setattr(buffers, "swap", swap)
        buffers.client().flushall()
        for key, value in old.items():
            buffers.client().restore(key, 0, value)
        return swap()

    monkeypatch.setattr(buffers, "swap", put_back)
    assert seam.swap(event_log(), timezone.now()).epoch == 2
    consumer.apply_new()
    assert answered() == (2, 2, "views+buffers")


def test_a_reader_who_meets_a_publication_keeps_the_buffers(monkeypatch) -> None:
    append(1)
    consumer.apply_new()
    seam.swap(event_log(), timezone.now())
    append(2)
    consumer.apply_new()
    found = seam.published_cut

    def published_meanwhile():
        monkeypatch.setattr(seam, "published_cut", found)
        earlier = found()
        seam.run_epoch(1, Run.HOURLY, seam.FrozenBuffers())
        return earlier

    monkeypatch.setattr(seam, "published_cut", published_meanwhile)
    assert answered()[:2] == (2, 2)


def test_a_reader_who_is_slower_than_two_publications_starts_again() -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    moment = seam.moment(HUB, ROLLUPS, NOW)
    for visitor in (2, 3):
        append(visitor)
        seam.run_now(Run.HOURLY)
    with pytest.raises(RowsGone):
        seam.verify(moment)
    seam.verify(seam.moment(HUB, ROLLUPS, NOW))


def test_a_run_that_was_too_slow_adds_no_file() -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    with pytest.raises(ledger.Fenced):
        archive.add_range(event_log(), 1, {}, cut_position(1))
    append(2)
    seam.run_now(Run.HOURLY)
    with pytest.raises(ledger.Fenced):
        archive.compact(2)
    assert ArchiveFile.objects.count() == 2


def test_a_file_that_is_deleted_while_it_is_read_makes_the_reader_start_again() -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    moment = seam.moment(HUB, ROLLUPS, NOW)
    Path(archive.paths(archive.visible(1))[0]).unlink()
    with pytest.raises(RowsGone, match="was deleted while it was read"):
        raw.rows(moment, HUB, (0, EVENT_AT + 1), "id")


def test_a_lost_file_is_written_again_and_the_joined_ones_give_way() -> None:
    for visitor in (1, 2, 3):
        append(visitor)
        seam.run_now(Run.DAILY)
    path = archive.paths(archive.visible(3))[0]
    Path(path).unlink()
    append(4)
    seam.run_now(Run.REBUILD)
    assert sum(file.event_count for file in archive.visible(4)) == 4
    assert answered() == (4, 4, "views+buffers")


def test_status_without_redis_is_unsettled_and_still_counts(monkeypatch) -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    append(2)

    def dead():
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(buffers, "pipeline", dead)
    status = seam.status(timezone.now())
    assert (status["settled"], status["lag_events"], status["applied"]) == (False, 1, {"main": 1})


def test_a_publication_that_is_late_by_more_than_ten_minutes_is_overdue() -> None:
    record_cut(1, {}, NOW)
    mark_published(1, NOW)
    consumer.apply_new()
    late = [NOW.replace(hour=11, minute=9), NOW.replace(hour=11, minute=11)]
    assert [seam.status(now)["overdue"] for now in late] == [False, True]
    assert (Cut.objects.count(), view_store().is_sealed(0)) == (1, True)


def test_a_first_publication_that_never_comes_is_overdue() -> None:
    received_at = int(NOW.timestamp() * 1000)
    with event_log().writer() as writer:
        writer.append([Event("acme", "e", "view", 1, received_at, 1, 1, 1)], received_at)
    consumer.apply_new()
    late = [NOW.replace(hour=11, minute=9), NOW.replace(hour=11, minute=11)]
    assert [seam.status(now)["overdue"] for now in late] == [False, True]


def test_a_mark_that_disagrees_with_the_ledger_is_not_believed() -> None:
    append(2)
    seam.run_now(Run.HOURLY)
    ahead = buffers.Pipeline(published=1, active=2, mark={"main": 9}, frozen=None, cut=None)
    buffers.install(ahead, [], buffers.pipeline())
    status = seam.status(timezone.now())
    assert (status["settled"], status["applied"]) == (False, {"main": 1})
