"""What is due, what a run leaves behind, and what mends itself: the seam, with a frozen `now`."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from django.contrib.auth.models import User
from django.core.management import call_command
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from aggregations.cells import decode
from aggregations.event import Event
from aggregations.metrics import present
from aggregations.rollups import rollup_named
from batch import archive, ledger, restatements
from batch.models import ArchiveFile, Audit, Mismatch, Restatement, Run
from batch.run import StoreEmptied, _Work
from batch.view_store import RowsGone, StoreAway, view_store
from events.cuts import cut_position, mark_published, published_cut, record_cut
from events.log import event_log
from events.models import ApiKey, Cut, Hub
from speed import buffers, consumer
from tests import caches, log
from tests.rows import lose_rows
from tests.simulation.world import ROLLUPS, empty
from views_layer import ask, raw, seam, tries
from views_layer.models import ViewRow
from views_layer.stores.orm import OrmViewStore

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

HUB = "acme"
HUB_ROLLUP = rollup_named("hub")
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
    log.append([Event(HUB, "e", "view", EVENT_AT, EVENT_AT, visitor, visitor, 1, media="m") for _ in range(count)])


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
        (NOW + timedelta(minutes=4), False),
        (NOW + timedelta(hours=2), True),
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
    buffers.swap(event_log().birth())
    seam.reconcile(at(NOW))
    assert runs() == [(1, "daily")]
    assert answered() == (1, 1, "views+buffers")


@pytest.fixture
def away(monkeypatch):
    """Lets a method of the view store find its server away."""

    def refuse(*_: object) -> None:
        raise StoreAway("The view store does not answer.")

    return lambda method: monkeypatch.setattr(OrmViewStore, method, refuse)


def test_with_a_view_store_that_is_away_answers_are_raw_and_nothing_is_published(at, away) -> None:
    append()
    seam.run_now(Run.HOURLY)
    away("is_sealed")
    assert (seam.reconcile(at(timezone.now() + timedelta(hours=2))), answered()) == (None, (1, 1, "raw"))
    assert runs() == [(1, "hourly")]


def test_a_run_that_cannot_clean_up_is_published(away) -> None:
    append()
    away("clean_up")
    assert seam.run_now(Run.HOURLY).published_at is not None


def test_a_zone_changes_while_the_view_store_is_away(away) -> None:
    away("forget_days")
    hub = Hub.objects.get(slug=HUB)
    hub.timezone = "Europe/Paris"
    hub.save()
    assert Hub.objects.get(slug=HUB).timezone == "Europe/Paris"


def test_an_emptied_view_store_is_rebuilt_by_itself(at) -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    append(2)
    seam.run_now(Run.HOURLY)
    lose_rows()
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
    lose_rows()
    seam.run_now(kind)
    assert answered() == (2, 2, "views+buffers")
    assert runs()[1] == (2, "rebuild")


def test_rows_of_a_store_that_was_made_anew_are_not_taken_for_the_old_ones() -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    assert answered()[:2] == (1, 1)
    references = list(ViewRow.objects.order_by("pk").values_list("pk", flat=True))
    lose_rows()
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
    seam.run_now(Run.HOURLY)
    assert answered() == (1, 1, "views+buffers")
    mismatch = Mismatch.objects.get()
    assert (mismatch.audit.epoch, mismatch.kind, mismatch.rollup, Audit.objects.get(epoch=1).mismatch_count) == (
        1,
        "buffer",
        "hub",
        1,
    )
    with pytest.raises(SystemExit):
        call_command("pipeline_status", "--json")
    status = json.loads(capsys.readouterr().out)
    assert (status["mismatches"], status["lag_events"]) == (1, 0)


def spoilt(key: str) -> None:
    buffers.client().lset(key, 0, b"damaged")


def doubled(key: str) -> None:
    buffers.client().rpush(key, buffers.client().lindex(key, 0))


def shortened(key: str) -> None:
    buffers.client().lpop(key)


def evicted(key: str) -> None:
    buffers.client().delete(key)


@pytest.fixture
def failing(monkeypatch, at):
    """Runs fail; told are the seconds after NOW of each try, of ticks every 30 seconds for half an hour."""
    add_range, tried = archive.add_range, []
    monkeypatch.setattr(tries, "STARTED_AT", NOW - timedelta(days=1))

    def tick(seconds: int, error: Exception) -> None:
        def fail(*_: object) -> None:
            tried.append(seconds)
            raise error

        monkeypatch.setattr(archive, "add_range", fail)
        with suppress(OSError):
            seam.reconcile(at(NOW + timedelta(seconds=seconds)))
        monkeypatch.setattr(archive, "add_range", add_range)

    append(1)
    consumer.apply_new()
    tick.tried = tried
    return tick


def test_a_run_that_keeps_failing_is_tried_less_and_less_often(failing) -> None:
    for seconds in range(0, 1_800, 30):
        failing(seconds, OSError("no"))
    told = seam.status(NOW + timedelta(seconds=1_800))["tries"]
    assert (failing.tried, told) == (
        [0, 30, 60, 120, 240, 480, 960, 1_560],
        {"epoch": 1, "count": 8, "error": "OSError: no", "next_at": "2026-03-05T11:06:00+00:00"},
    )


def test_a_run_that_failed_often_is_tried_at_once_where_the_cause_may_be_gone(failing, monkeypatch, at) -> None:
    for seconds in range(0, 1_000, 30):
        failing(seconds, OSError("no"))
    before = published_cut()
    monkeypatch.setattr(tries, "STARTED_AT", NOW + timedelta(seconds=1_000))
    run = seam.reconcile(at(NOW + timedelta(seconds=1_020)))
    assert (before, run.epoch, seam.status(NOW)["tries"]) == (None, 1, None)


@pytest.mark.parametrize(("free", "due"), [(255, [0, 30, 60]), (257, [0, 30, 60, 90])])
def test_a_disk_that_has_room_again_is_waited_for_no_longer(failing, monkeypatch, free: int, due: list[int]) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free * 1024**2))
    for seconds in (0, 30, 60, 90):
        failing(seconds, OSError(28, "No space left on device"))
    assert failing.tried == due


def test_a_failure_of_a_clock_that_was_ahead_is_not_waited_for(failing) -> None:
    for seconds in (7_200, 7_230, 7_260, 60):
        failing(seconds, OSError("no"))
    assert failing.tried == [7_200, 7_230, 7_260, 60]


def test_who_asks_for_a_run_waits_for_nothing(failing, at) -> None:
    for seconds in range(0, 100, 30):
        failing(seconds, OSError("no"))
    assert seam.run_now(Run.HOURLY).epoch == 2


@pytest.mark.parametrize("is_frozen", [True, False])
@pytest.mark.parametrize("damage", [spoilt, doubled, shortened, evicted])
def test_a_damaged_buffer_is_told_and_mended_once_it_is_asked_for(damage, is_frozen: bool) -> None:
    append(1)
    consumer.apply_new()
    append(2)
    consumer.apply_new()
    if is_frozen:
        seam.swap(event_log(), timezone.now())
    damage(f"{buffers.PREFIX}buffer:1:{HUB}:hub")
    found = [(*answered(), seam.status(timezone.now())["settled"])]
    consumer.apply_new()
    found.append((*answered(), seam.status(timezone.now())["settled"]))
    assert found == [(0, 0, "views", False), (2, 2, "views+buffers", True)]


def test_a_damaged_buffer_takes_nothing_from_other_hubs_until_it_is_mended() -> None:
    Hub.objects.create(slug="other")
    append(1)
    log.append([Event("other", "e", "view", EVENT_AT, EVENT_AT, 1, 1, 1)])
    consumer.apply_new()
    spoilt(f"{buffers.PREFIX}buffer:1:{HUB}:hub")
    answered()
    parameters = QueryDict("metrics=events&from=2026-03-01&to=2026-03-05")
    found = ask.answer(Hub.objects.get(slug="other"), parameters, timezone.now())
    assert (found["totals"], found["meta"]["exact"]) == ({"events": 1}, True)


def alter(rollup: str, payload: bytes, grain: str = "hour") -> bytes:
    """Put other bytes in the place of the row of the hour, or day, of EVENT_AT; returns what it held."""
    row = ViewRow.objects.filter(rollup=rollup, grain=grain).latest("version")
    held = bytes(row.payload)
    ViewRow.objects.filter(pk=row.pk).update(payload=payload)
    return held


def mismatches() -> list[tuple]:
    found = Mismatch.objects.order_by("rollup").values_list(
        "audit__epoch", "kind", "rollup", "hour_at", "stored_state", "batch_state"
    )
    return [(*named, bytes(stored), bytes(batch)) for *named, stored, batch in found]


EVENT_HOUR = datetime(2026, 3, 3, 9, tzinfo=UTC)


def test_a_row_that_was_altered_is_mended_by_the_daily_run_and_told() -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    one, day = (bytes(ViewRow.objects.get(rollup="hub", grain=grain).payload) for grain in ("hour", "day"))
    append(2)
    seam.run_now(Run.HOURLY)
    two, _ = alter("hub", one), alter("hub", day, "day")
    before = answered()
    run = seam.run_now(Run.DAILY)
    assert (before[0], answered(), run.kind) == (1, (2, 2, "views+buffers"), "daily")
    assert mismatches() == [(3, "rows", "hub", EVENT_HOUR, one, two)]
    assert Audit.objects.get(epoch=3).mismatch_count == 1
    restated = Restatement.objects.filter(epoch=3, metric="events").values_list("old", "new", "reason")
    assert list(restated) == [(1, 2, Restatement.CORRECTED)]
    assert seam.status(timezone.now())["mismatches"] == 1


def test_a_row_that_was_altered_is_told_with_what_an_hourly_run_would_have_made_of_it() -> None:
    states = []
    for visitor in (1, 2, 3):
        append(visitor)
        seam.run_now(Run.HOURLY)
        states.append(bytes(ViewRow.objects.filter(rollup="hub", grain="hour").latest("version").payload))
    alter("hub", states[0])
    append(2)
    seam.run_now(Run.DAILY)
    three = bytes(ViewRow.objects.filter(rollup="hub", grain="hour").latest("version").payload)
    (found,) = mismatches()
    measures = {name: [] for name in ("events", "visitors")}
    for state in found[-2:]:
        cells = decode(state, HUB_ROLLUP.keys, HUB_ROLLUP.measures)
        for name, shown in measures.items():
            shown += present(cells, name)
    assert (found[:4], found[-1], measures) == (
        (4, "rows", "hub", EVENT_HOUR),
        three,
        {"events": [2, 4], "visitors": [2, 3]},
    )


@pytest.mark.parametrize(("kind", "becomes"), [(Run.HOURLY, Run.REBUILD), (Run.DAILY, Run.DAILY)])
def test_a_row_that_is_damaged_stops_no_run_and_is_told(kind: str, becomes: str) -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    alter("media", b"damaged")
    alter("hub", b"damaged")
    append(2)
    run = seam.run_now(kind)
    assert (answered(), run.kind) == ((2, 2, "views+buffers"), becomes)
    assert [found[1:-1] for found in mismatches()] == [
        ("rows", rollup, EVENT_HOUR, b"damaged") for rollup in ("hub", "media")
    ]
    restated = Restatement.objects.filter(metric="events").values_list("old", "new", "reason")
    assert list(restated) == [(1, 2, Restatement.CORRECTED)]


def test_a_row_that_was_lost_is_told() -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    ViewRow.objects.filter(rollup="media").delete()
    seam.run_now(Run.DAILY)
    state = bytes(ViewRow.objects.filter(rollup="media", grain="hour").get().payload)
    assert mismatches() == [(2, "rows", "media", EVENT_HOUR, b"", state)]


def test_daily_runs_of_hours_that_hourly_runs_have_merged_find_nothing() -> None:
    for visitor in range(1, 6):
        append(visitor, count=visitor)
        seam.run_now(Run.DAILY if visitor % 3 == 0 else Run.HOURLY)
    seam.run_now(Run.DAILY)
    assert (mismatches(), answered()[:2]) == ([], (15, 5))


def test_a_store_that_is_emptied_while_a_daily_run_compares_is_no_mismatch(monkeypatch) -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    record_audit = _Work._record_audit

    def emptying(self: _Work, *audit) -> None:
        monkeypatch.setattr(_Work, "_record_audit", record_audit)
        lose_rows()
        record_audit(self, *audit)

    monkeypatch.setattr(_Work, "_record_audit", emptying)
    with pytest.raises(StoreEmptied):
        seam.run_now(Run.DAILY)
    assert mismatches() == []


def test_a_mismatch_that_is_acknowledged_makes_nothing_unhealthy(client) -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    alter("hub", b"damaged")
    seam.run_now(Run.DAILY)
    client.force_login(User.objects.create_superuser("root"))
    before = seam.status(timezone.now())
    assert client.get("/admin/batch/mismatch/").status_code == 200
    selected = {"action": "acknowledge", "_selected_action": [Mismatch.objects.get().pk]}
    client.post("/admin/batch/mismatch/", selected)
    after = seam.status(timezone.now())
    assert [status["mismatches"] for status in (before, after)] == [1, 0]
    assert (Mismatch.objects.get().acknowledged_by, Mismatch.objects.get().acknowledged_at is None) == ("root", False)


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

    def put_back(birth):
        monkeypatch.setattr(buffers, "swap", swap)
        buffers.client().flushall()
        for key, value in old.items():
            buffers.client().restore(key, 0, value)
        return swap(birth)

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


def test_a_lost_file_that_a_restatement_needs_is_written_again_by_the_next_try() -> None:
    hub = Hub.objects.get(slug=HUB)
    hub.timezone = "Pacific/Marquesas"  # Its midnight is 09:30 GMT.
    hub.save()
    append(1)
    seam.run_now(Run.HOURLY)
    Path(archive.paths(archive.visible(1))[0]).unlink()
    append(2)
    with pytest.raises(Exception, match="No files found"):
        seam.run_now(Run.HOURLY)
    seam.run_now(Run.HOURLY)
    restated = Restatement.objects.filter(metric__in=["events", "visitors"]).values_list("metric", "old", "new")
    assert (sorted(restated), answered()[:2]) == ([("events", 1, 2), ("visitors", 1, 2)], (2, 2))


def test_a_run_that_comes_after_its_epoch_was_published_restates_nothing() -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    with pytest.raises(ledger.Fenced):
        restatements.enter(1, [])


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
    log.append([Event("acme", "e", "view", 1, received_at, 1, 1, 1)], received_at)
    consumer.apply_new()
    late = [NOW.replace(hour=11, minute=9), NOW.replace(hour=11, minute=11)]
    assert [seam.status(now)["overdue"] for now in late] == [False, True]


def test_a_mark_that_disagrees_with_the_ledger_is_not_believed() -> None:
    append(2)
    seam.run_now(Run.HOURLY)
    ahead = buffers.Pipeline(1, 2, {"main": 9}, None, None, event_log().birth())
    buffers.install(ahead, [], buffers.pipeline())
    status = seam.status(timezone.now())
    assert (status["settled"], status["applied"]) == (False, {"main": 1})


def test_the_buffers_of_a_log_that_was_replaced_are_in_no_answer() -> None:
    append(1, count=5)
    consumer.apply_new()
    log.lose()
    append(1)
    before = answered()
    consumer.apply_new()
    assert (before[0], answered()) == (0, (1, 1, "views+buffers"))


def test_an_event_that_nobody_accounted_for_is_told() -> None:
    with event_log().writer() as writer:
        writer.append([Event(HUB, "e", "view", EVENT_AT, EVENT_AT, 1, 1, 1)], received_at=1)
    seam.run_now(Run.HOURLY)
    found = Mismatch.objects.values_list("kind", "hour_at", "acknowledged_at")
    epoch_began = datetime(1970, 1, 1, tzinfo=UTC)
    assert (list(found), seam.status(timezone.now())["mismatches"]) == ([("account", epoch_began, None)], 1)


def test_a_lost_file_of_the_archive_is_written_again() -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    asked = {"metrics": "events", "by": "media,country", "period": "all"}
    for path in archive.paths(archive.visible(1)):
        Path(path).unlink()
    key = ApiKey.issue(Hub.objects.get(slug=HUB), ApiKey.READ)
    ask_api = partial(Client().get, f"/api/hubs/{HUB}/stats", asked, headers={"Authorization": f"Bearer {key}"})
    missing = ask_api()
    seam.reconcile(timezone.now())
    found = ask_api()
    assert (missing.status_code, missing["Retry-After"], missing.json()["error"]["code"]) == (503, "15", "not_ready")
    assert (found.status_code, found.json()["totals"], archive.lost(2)) == (200, {"events": 1}, False)


def test_run_batch_due_does_what_is_due_and_no_more() -> None:
    append()
    consumer.apply_new()
    for _ in range(2):
        call_command("run_batch", "--due")
    assert (runs(), answered()) == ([(1, "daily")], (1, 1, "views+buffers"))
