"""Erased visitors and events that were kept long enough: gone from every store, and every other number as before."""

import json
import random
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.http import QueryDict

from aggregations.rollups import HOUR_MS
from batch import archive, ledger
from batch import removals as purging
from batch.models import ArchiveFile, Audit, KeptRow, Mismatch, Restatement, Run
from batch.view_store import RowsGone
from events import removals as asked
from events.intake import Batch, Intake
from events.log import event_log
from events.models import Hub, RejectedEvent, Removal
from events.normaliser import Caller, normalise, rejection_of
from events.sent import Reject, TrustedSent, checked_or_reject
from speed import consumer
from statsproject.event_log import MONGO_EVENT_LOG, ORM_EVENT_LOG
from tests import caches, log, oracle
from tests.simulation.world import empty
from views_layer import ask, removals, seam
from views_layer.models import Seal, ViewRow

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NOW = datetime(2026, 3, 20, 12, 30, tzinfo=UTC)
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = "words that only one person ever typed"
QUESTIONS = (
    "metrics=events,visits,visitors,duration_ms,new_visitors&period=all",
    "metrics=events,visitors&period=all&interval=day",
    "metrics=visitors,events&period=all&by=media",
    "metrics=events&period=30d&interval=hour&timezone=Asia/Tokyo",
    "metrics=events,visits&period=all&by=action,country",
    "metrics=events&period=all&by=properties.plan",
    "metrics=visitors&from=2026-03-02T10:30:00Z&to=2026-03-09T07:15:00Z&by=page",
    "metrics=events&period=month&interval=month&by=target",
)


@pytest.fixture(autouse=True)
def hub(redis_url: str, monkeypatch) -> Hub:
    empty(redis_url)
    caches.renew(monkeypatch)
    Hub.objects.filter(slug="acme").delete()
    return Hub.objects.create(slug="acme", timezone="Europe/Paris")


def item(rng: random.Random, visitor: str, **fields) -> dict:
    at = FIRST + timedelta(seconds=rng.randrange(18 * 86_400))
    return {
        "hub": "acme",
        "visitor": visitor,
        "action": rng.choice(["view", "read", "share", "search"]),
        "media": rng.choice(["cat-1", "cat-2"]),
        "page": rng.choice([1, 2, 7]),
        "duration_ms": rng.choice([1, 10_000]),
        "country": rng.choice(["FR", "CA"]),
        "occurred_at": at.isoformat(),
        "properties": {"plan": rng.choice(["a", "b"])},
    } | fields


def send(items: list[dict]) -> None:
    caller = Caller({"acme": 0}.get, is_trusted=True)
    received = int(NOW.timestamp() * 1000)
    drafts = [normalise(checked_or_reject(one, TrustedSent), caller, received) for one in items]
    Intake().append([Batch(drafts)])


def history(rng: random.Random, count: int = 60) -> None:
    """Events of six visitors in three epochs, the last of which waits, with the secret of visitor 0."""
    for kind in (Run.HOURLY, Run.DAILY, None):
        send([item(rng, f"v{rng.randrange(6)}") for _ in range(count)])
        send([item(rng, "v0", action="search", target=SECRET)])
        if kind:
            seam.run_now(kind)
    consumer.apply_new()


def in_log() -> list:
    return [event for chunk in event_log().read({}) for event in chunk.events]


def of(visitor: str) -> int:
    return {event.visitor for event in in_log() if event.visitor_key == asked.visitor_key("acme", visitor)}.pop()


def answers(hub: Hub) -> list:
    """What every question is answered: from when on, the rows, the totals."""
    found = [ask.answer(Hub.objects.get(pk=hub.pk), QueryDict(text), NOW) for text in QUESTIONS]
    return [(one["query"]["from"], one["results"], one["totals"]) for one in found]


def expected(events: list) -> list:
    """What the definition gives for events, in plain loops."""
    said = []
    for text in QUESTIONS:
        pairs = [(name, value) for name, values in QueryDict(text).lists() for value in values]
        found = oracle.ask(events, "Europe/Paris", pairs, NOW)
        said.append((found["from"], found["results"], found["totals"]))
    return said


def erase(hub: Hub, visitor: str = "v0") -> dict:
    removal = asked.erase(hub, visitor, "test")
    removals.carry_out([removal])
    return removals.receipt(Removal.objects.get(pk=removal.pk))


def without(number: int) -> list:
    return [event for event in in_log() if event.visitor != number]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_number_is_as_if_the_visitor_had_never_been_there(hub, seed) -> None:
    history(random.Random(seed))
    left = without(of("v0"))
    assert answers(hub) != expected(left)
    receipt = erase(hub)
    assert (receipt["before"]["events"], receipt["after"]) == (180 + 3 - len(left), {"log": 0, "archive": 0})
    assert (in_log(), answers(hub)) == (left, expected(left))
    seam.run_now(Run.REBUILD)
    assert (answers(hub), Mismatch.objects.count()) == (expected(left), 0)


def test_the_first_events_of_a_hub_can_be_those_of_an_erased_visitor(hub) -> None:
    send([item(random.Random(1), "v0", occurred_at=f"2026-03-0{day}T10:00:00Z") for day in (1, 2, 3)])
    send([item(random.Random(1), "v1", occurred_at="2026-03-05T10:00:00Z")])
    seam.run_now(Run.DAILY)
    erase(hub)
    assert answers(hub) == expected(without(1))


def test_the_last_visitor_of_a_hub_can_be_erased(hub) -> None:
    send([item(random.Random(1), "v0")])
    seam.run_now(Run.DAILY)
    erase(hub)
    found = ask.answer(hub, QueryDict("metrics=events,visitors&from=2026-03-01&to=2026-04-01&by=media"), NOW)
    assert (found["results"], found["totals"]) == ([], {"events": 0, "visitors": 0})
    seam.run_now(Run.REBUILD)
    assert ask.answer(hub, QueryDict("metrics=events&from=2026-03-01&to=2026-04-01"), NOW)["totals"] == {"events": 0}


def test_nothing_of_the_visitor_is_left_in_any_file(hub) -> None:
    history(random.Random(4))
    key = asked.visitor_key("acme", "v0")
    visits = {event.visit_key for event in in_log() if event.visitor_key == key}
    erase(hub)
    found = [
        str(path.relative_to(settings.DATA_DIR))
        for path in Path(settings.DATA_DIR).rglob("*")
        if path.is_file() and any(word in path.read_bytes() for word in (SECRET.encode(), key, *visits))
    ]
    assert (found, len(archive.paths(archive.visible(10_000)))) == (
        [],
        len(list(settings.ARCHIVE_DIR.rglob("*.parquet"))),
    )


def test_who_comes_back_is_a_new_visitor(hub) -> None:
    history(random.Random(5))
    before = of("v0")
    erase(hub)
    send([item(random.Random(5), "v0", id="back")])
    (event,) = [event for event in in_log() if event.id == "back"]
    assert (event.visitor > before, event.visit_number) == (True, 1)
    assert log.has_number("acme", before)


def test_a_closed_day_that_loses_events_is_restated_with_the_reason(hub) -> None:
    history(random.Random(6))
    seam.run_now(Run.HOURLY)
    days = {oracle.EPOCH + event.occurred_at * oracle.MS for event in in_log() if event.visitor == of("v0")}
    erase(hub)
    restated = Restatement.objects.filter(metric="events", reason=Restatement.ERASED)
    local = {at.astimezone(hub.zone).date() for at in days}
    assert {found.day_start.astimezone(hub.zone).date() for found in restated} == local
    assert all(found.new < found.old for found in restated)


STEPS = {
    "before it is secured": "views_layer.removals.secure",
    "after it is secured": "views_layer.seam.run_now",
    "before the files are replaced": "batch.archive.replace",
    "after the files are replaced": "batch.removals.emptier_hours",
    "while rows are written": "batch.run._Work._audit_accounts",
    "before it is published": "batch.ledger.publish",
    "after it is published": "{log}.remove",
    "while the log is written": "{written}",
    "before it is told": "batch.removals.remaining",
}


OF_LOG = {
    ORM_EVENT_LOG: {"log": ORM_EVENT_LOG, "written": "events.logs.orm.empty_journal"},
    MONGO_EVENT_LOG: {"log": MONGO_EVENT_LOG, "written": "events.logs.mongo.projection.Projection.take_removed"},
}
"""What the log of each kind calls to remove, and while it does."""


@pytest.mark.parametrize("step", STEPS)
def test_an_erasure_that_is_cut_off_is_finished_by_the_reconciler(hub, monkeypatch, step) -> None:
    history(random.Random(7))
    left = without(of("v0"))
    with monkeypatch.context() as patch:
        patch.setattr(STEPS[step].format(**OF_LOG[settings.EVENT_LOG["BACKEND"]]), lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            erase(hub)
    removals.carry_out_all(NOW)
    assert (in_log(), answers(hub), Mismatch.objects.count()) == (left, expected(left), 0)
    (removal,) = Removal.objects.all()
    assert (removals.receipt(removal)["before"]["events"], removal.receipt["after"]["log"]) == (183 - len(left), 0)


def test_an_archive_that_is_lost_between_publication_and_log_comes_back_without_the_visitor(hub, monkeypatch) -> None:
    history(random.Random(8))
    left = without(of("v0"))
    with monkeypatch.context() as patch:
        patch.setattr(f"{settings.EVENT_LOG['BACKEND']}.remove", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            erase(hub)
    for path in settings.ARCHIVE_DIR.rglob("*.parquet"):
        path.unlink()
    seam.run_now(Run.REBUILD)
    assert answers(hub) == expected(left)


def test_rejected_events_that_name_the_visitor_are_deleted(hub) -> None:
    history(random.Random(9))
    caller = Caller({"acme": 0}.get, is_trusted=True)
    with event_log().writer() as writer:
        for visitor in ("v0", "v1"):
            one = item(random.Random(1), visitor, page=0)
            writer.reject([rejection_of(one, Reject("invalid_page", "page must be 1 or more."), caller, 1)])
    assert erase(hub)["before"]["rejected"] == 1
    assert [json.loads(bytes(row.payload))["visitor"] for row in RejectedEvent.objects.all()] == ["v1"]


def test_a_visitor_who_is_not_known_is_an_error_that_says_so(hub) -> None:
    with pytest.raises(CommandError, match="acme knows no visitor 'nobody'"):
        call_command("erase_visitor", "acme", "nobody")
    with pytest.raises(CommandError, match="There is no hub 'acne'; the hubs are acme"):
        call_command("erase_visitor", "acne", "v0")


def test_the_command_prints_the_receipt(hub) -> None:
    history(random.Random(10))
    count = len(in_log()) - len(without(of("v0")))
    out = StringIO()
    call_command("erase_visitor", "acme", "v0", stdout=out)
    printed = json.loads(out.getvalue())
    assert (printed["hub"], printed["before"]["events"], printed["after"]) == ("acme", count, {"log": 0, "archive": 0})


def keep(hub: Hub, **days: int) -> Hub:
    Hub.objects.filter(pk=hub.pk).update(**days)
    for _ in range(3):
        removals.carry_out_all(NOW)
    return Hub.objects.get(pk=hub.pk)


ROW_QUESTIONS = [
    text for text in QUESTIONS if "properties" not in text and "country" not in text and "T10:30" not in text
]


def row_answers(hub: Hub) -> list:
    found = [ask.answer(Hub.objects.get(pk=hub.pk), QueryDict(text), NOW) for text in ROW_QUESTIONS]
    return [(one["query"]["from"], one["results"], one["totals"]) for one in found]


def test_raw_events_go_after_their_days_and_their_numbers_stay(hub) -> None:
    history(random.Random(11))
    before = row_answers(hub)
    bound = datetime(2026, 3, 9, 23, tzinfo=UTC)
    hub = keep(hub, keep_events_days=10)
    times = [oracle.EPOCH + event.occurred_at * oracle.MS for event in in_log()]
    assert (min(times) >= bound, hub.events_since, row_answers(hub)) == (True, bound, before)
    seam.run_now(Run.REBUILD)
    assert row_answers(hub) == before
    ViewRow.objects.all().delete()
    Seal.objects.all().delete()
    with pytest.raises(RowsGone):
        row_answers(hub)
    seam.run_now(Run.HOURLY)
    assert (row_answers(hub), Mismatch.objects.count()) == (before, 0)


def test_what_comes_late_for_a_day_without_raw_events_is_counted_beside_what_was_kept(hub) -> None:
    history(random.Random(12))
    hub = keep(hub, keep_events_days=10)
    late = [item(random.Random(n), f"v{n}", occurred_at=f"2026-03-0{n + 1}T10:{n}0:00Z") for n in range(5)]
    (events,) = [found[2]["events"] for found in row_answers(hub)[:1]]
    for kind in (Run.HOURLY, Run.DAILY):
        send(late)
        seam.run_now(kind)
    after = row_answers(hub)
    assert after[0][2]["events"] == events + 10
    for days in (0, 1):
        removals.carry_out_all(NOW + timedelta(days=days))
        assert row_answers(hub) == after
    seam.run_now(Run.REBUILD)
    assert (row_answers(hub), Mismatch.objects.count(), len({row.epoch for row in KeptRow.objects.all()})) == (
        after,
        0,
        2,
    )


@pytest.mark.parametrize("text", ["by=properties.plan&period=30d", "from=2026-03-02T10:30:00Z&to=2026-03-02T10:31:00Z"])
def test_a_question_that_needs_removed_events_is_refused(hub, text) -> None:
    send([item(random.Random(1), "v0", occurred_at=f"2026-03-02T10:{minute}:00Z") for minute in (10, 30, 50)])
    seam.run_now(Run.DAILY)
    hub = keep(hub, keep_events_days=10)
    with pytest.raises(ask.QueryError) as error:
        ask.answer(hub, QueryDict(f"metrics=events&{text}"), NOW)
    assert (error.value.code, error.value.field, "acme keeps since 2026-03-09T23:00Z" in error.value.detail) == (
        "not_kept", "from", True,
    )  # fmt: skip


def test_numbers_end_after_their_days(hub) -> None:
    history(random.Random(13))
    bound = datetime(2026, 3, 9, 23, tzinfo=UTC)
    left = [event for event in in_log() if oracle.EPOCH + event.occurred_at * oracle.MS >= bound]
    hub = keep(hub, keep_rows_days=10)
    text = "metrics=events,visitors&from=2026-03-01&to=2026-03-21&by=media"
    found = ask.answer(hub, QueryDict(text), NOW)
    wanted = oracle.ask(left, "Europe/Paris", [("metrics", "events,visitors"), ("period", "all"), ("by", "media")], NOW)
    assert (found["results"], found["query"]["from"]) == (wanted["results"], "2026-03-09T23:00:00Z")
    assert found["meta"]["warnings"] == ["acme keeps numbers since 2026-03-09T23:00:00Z: the range begins there."]
    hours = int(bound.timestamp()) // 3600
    assert (ViewRow.objects.filter(start__lt=hours).count(), KeptRow.objects.filter(hour__lt=hours).count()) == (0, 0)
    assert min(event.occurred_at for event in in_log()) >= hours * HOUR_MS
    with pytest.raises(ask.QueryError, match="acme keeps numbers since"):
        ask.answer(hub, QueryDict("metrics=events&from=2026-03-01&to=2026-03-04"), NOW)


def test_an_event_from_before_the_numbers_that_are_kept_is_rejected(hub) -> None:
    hub = keep(hub, keep_rows_days=10)
    caller = Caller({"acme": int(hub.rows_since.timestamp() * 1000)}.get, is_trusted=True)
    one = item(random.Random(1), "v0", occurred_at="2026-03-09T22:59:59Z")
    with pytest.raises(Reject) as reject:
        normalise(checked_or_reject(one, TrustedSent), caller, int(NOW.timestamp() * 1000))
    assert reject.value.code == "too_old"


def total(hub: Hub) -> int:
    found = ask.answer(Hub.objects.get(pk=hub.pk), QueryDict("metrics=events&period=all"), NOW)
    return found["totals"]["events"]


def at(text: str, visitor: str = "v7") -> dict:
    return item(random.Random(3), visitor, occurred_at=text)


def test_a_run_that_must_rebuild_takes_over_what_was_kept(hub) -> None:
    send([at(f"2026-03-02T10:{minute}:00Z") for minute in (10, 20, 30)] + [at("2026-03-19T10:00:00Z")])
    seam.run_now(Run.DAILY)
    keep(hub, keep_events_days=10)
    hour = int(datetime(2026, 3, 19, 10, tzinfo=UTC).timestamp()) // 3_600
    ViewRow.objects.filter(grain="hour", rollup="hub", start=hour).update(payload=b"damaged")
    send([at("2026-03-02T10:55:00Z"), at("2026-03-19T10:10:00Z")])
    assert (seam.run_now(Run.HOURLY).kind, total(hub)) == ("rebuild", 6)


def test_who_is_erased_together_with_old_events_is_in_no_number_that_is_kept(hub) -> None:
    history(random.Random(14))
    left = without(of("v0"))
    Hub.objects.update(keep_events_days=10)
    removals._let_events_go(Hub.objects.get(), NOW)
    asked.erase(hub, "v0", "test")
    removals.carry_out(list(Removal.objects.order_by("id")))
    assert (total(hub), {removal.epoch for removal in Removal.objects.all()}) == (len(left), {3})


def test_what_comes_late_while_old_events_are_removed_is_counted_once(hub, monkeypatch) -> None:
    history(random.Random(15))
    seam.run_now(Run.DAILY)
    count = total(hub)
    secure = removals.secure

    def then_late(some) -> None:
        secure(some)
        send([at("2026-03-02T10:00:00Z", "late")])

    Hub.objects.update(keep_events_days=10)
    with monkeypatch.context() as patch:
        patch.setattr(removals, "secure", then_late)
        removals.carry_out_all(NOW)
    for path in settings.ARCHIVE_DIR.rglob("*.parquet"):
        path.unlink()
    seam.run_now(Run.DAILY)
    removals.carry_out_all(NOW + timedelta(days=1))
    seam.run_now(Run.REBUILD)
    assert total(hub) == count + 1


def test_what_was_secured_by_another_process_reaches_no_further(hub) -> None:
    history(random.Random(16))
    seam.run_now(Run.DAILY)
    Hub.objects.update(keep_events_days=10)
    removals._let_events_go(Hub.objects.get(), NOW)
    first, second = (list(Removal.objects.all()) for _ in range(2))
    asked.secure(first)
    send([at("2026-03-02T10:00:00Z")])
    asked.secure(second)
    assert first[0].until == second[0].until == Removal.objects.get().until


def test_a_run_that_was_overtaken_gives_its_epoch_nothing_to_remove(hub) -> None:
    history(random.Random(17))
    removal = asked.erase(hub, "v0", "test")
    asked.secure([removal])
    cut = seam.swap(event_log(), NOW)
    overtaken = ledger.claim(cut.epoch, Run.DAILY)
    Run.objects.update(alive_at=NOW - timedelta(days=365))
    newer = ledger.claim(cut.epoch, Run.DAILY)
    given = purging.begin(newer)
    with pytest.raises(ledger.Fenced):
        purging.begin(overtaken)
    assert (given, Removal.objects.get().epoch) == ([], None)


def test_a_removal_that_left_something_is_carried_out_again(hub, monkeypatch) -> None:
    history(random.Random(18))
    left = without(of("v0"))
    with monkeypatch.context() as patch:
        patch.setattr("batch.removals.remaining", lambda *args: 1)
        erase(hub)
        assert (Removal.objects.get().done_at, Removal.objects.get().epoch) == (None, None)
    removals.carry_out_all(NOW)
    assert (total(hub), Removal.objects.get().done_at is None) == (len(left), False)


@pytest.mark.skipif(settings.EVENT_LOG["BACKEND"] != ORM_EVENT_LOG, reason="Only SQLite has such a journal.")
def test_the_journal_is_emptied_by_the_repeat_too(hub, monkeypatch) -> None:
    history(random.Random(19))
    with monkeypatch.context() as patch:
        patch.setattr("events.logs.orm.empty_journal", lambda alias: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            erase(hub)
    emptied: list[str] = []
    monkeypatch.setattr("events.logs.orm.empty_journal", emptied.append)
    removals.carry_out_all(NOW)
    assert emptied == ["log"]


def test_raw_questions_end_before_the_first_event_goes(hub, monkeypatch) -> None:
    history(random.Random(20))
    seam.run_now(Run.DAILY)
    Hub.objects.update(keep_events_days=10)
    with monkeypatch.context() as patch:
        patch.setattr("events.models.Hub.save", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            removals.carry_out_all(NOW)
    assert Removal.objects.count() == 0


def test_states_of_mismatches_go_with_the_visitor(hub) -> None:
    history(random.Random(21))
    Mismatch.objects.create(
        audit=Audit.objects.latest("epoch"), hub="acme", rollup="target", stored_state=SECRET.encode(), batch_state=b"x"
    )
    erase(hub)
    assert [(bytes(row.stored_state), bytes(row.batch_state)) for row in Mismatch.objects.all()] == [(b"", b"")]


def test_there_is_no_comparison_with_a_part_of_a_range(hub) -> None:
    history(random.Random(22))
    hub = keep(hub, keep_rows_days=10)
    whole, part = (
        ask.answer(hub, QueryDict(f"metrics=events&from={first}&to=2026-03-18&compare=previous"), NOW)
        for first in ("2026-03-16", "2026-03-12")
    )
    said = "acme keeps numbers since 2026-03-09T23:00:00Z: there is nothing to compare with."
    assert (whole["totals"]["previous"]["events"] > 0, whole["meta"]["warnings"]) == (True, [])
    assert (part["totals"]["previous"], part["results"][0]["previous"]) == ({"events": None}, {"events": None})
    assert part["meta"]["warnings"] == [said]


def test_late_events_of_old_days_make_no_run_of_their_own(hub) -> None:
    history(random.Random(23))
    keep(hub, keep_events_days=10)
    count = Run.objects.count()
    for _ in range(3):
        send([at("2026-03-02T10:00:00Z")])
        removals.carry_out_all(NOW)
    assert Run.objects.count() == count


def test_files_that_nothing_knows_of_are_swept_after_a_day(hub) -> None:
    history(random.Random(24))
    left = settings.ARCHIVE_DIR / "acme" / "0000000001.7.tmp"
    left.write_bytes(b"half a file")
    known = len(archive.paths(ArchiveFile.objects.all()))
    now = left.stat().st_mtime
    swept = [archive.sweep(now + seconds) for seconds in (3_600, 90_000)]
    assert (swept, left.exists(), len(list(settings.ARCHIVE_DIR.rglob("*.parquet")))) == ([0, 1], False, known)
