"""The intake and its stamper: duplicates, numbers, visits, visit numbers, rollback."""

import time

import pytest

from events.intake import Batch, Intake, Outcome
from events.log import AppendTooSlow, LogBusy, LogUnsure, VisitSpan
from events.logs.orm import OrmEventLog
from events.normaliser import Caller, named_visit_key, normalise, visitor_key
from events.sent import TrustedSent, checked_or_reject
from events.signals import appended

pytestmark = pytest.mark.django_db(databases="__all__")

MINUTE = 60_000
START = 1_795_000_000_000


@pytest.fixture
def log() -> OrmEventLog:
    return OrmEventLog()


@pytest.fixture
def intake(log) -> Intake:
    return Intake(log)


def draft(minute: float = 0, **fields):
    item = {"hub": "acme", "action": "view", "visitor": "ann"} | fields
    received_at = START + round(minute * MINUTE)
    return normalise(checked_or_reject(item, TrustedSent), Caller(lambda hub: 0, True), received_at)


def stamped(log) -> list[tuple[int, int, int]]:
    return [(e.visitor, e.visit, e.visit_number) for chunk in log.read({}) for e in chunk.events]


def add(intake, *drafts) -> Outcome:
    (outcome,) = intake.append([Batch(list(drafts))])
    return outcome


def in_one_go(intake, drafts) -> None:
    add(intake, *drafts)


def one_by_one(intake, drafts) -> None:
    for each in drafts:
        add(intake, each)


def by_new_intakes(intake, drafts) -> None:
    for each in drafts:
        add(Intake(OrmEventLog()), each)


@pytest.fixture(params=[in_one_go, one_by_one, by_new_intakes])
def send(request, intake):
    """Send drafts together, each in a write of its own, or each through a process that remembers nothing."""
    return lambda *drafts: request.param(intake, drafts)


def test_it_numbers_visitors_and_visits_within_the_hub(log, send):
    send(draft(), draft(visitor="bob"), draft(hub="other"), draft(visitor="bob", visit="x"), draft())
    assert stamped(log) == [(1, 1, 1), (2, 2, 1), (1, 1, 1), (2, 3, 2), (1, 1, 1)]


def test_it_joins_after_30_minutes_and_parts_after_more(log, send):
    send(draft(0), draft(30), draft(60), draft(90 + 1 / MINUTE))
    assert stamped(log) == [(1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 2, 2)]


def test_it_joins_a_late_event_to_the_earlier_of_two_visits(log, send):
    send(draft(0), draft(50), draft(25), draft(56), draft(55))
    assert stamped(log) == [(1, 1, 1), (1, 2, 2), (1, 1, 1), (1, 2, 2), (1, 1, 1)]


def test_it_never_merges_visits(log, send):
    send(draft(0), draft(40), draft(20), draft(65), draft(10))
    assert stamped(log) == [(1, 1, 1), (1, 2, 2), (1, 1, 1), (1, 2, 2), (1, 1, 1)]


def test_it_counts_visits_in_order_of_arrival(log, send):
    send(draft(500), draft(0), draft(1000))
    assert stamped(log) == [(1, 1, 1), (1, 2, 2), (1, 3, 3)]


def test_it_extends_a_visit_backwards(log, send):
    send(draft(100), draft(75), draft(50), draft(19))
    assert stamped(log) == [(1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 2, 2)]


def test_it_joins_visits_that_the_client_named(log, send):
    send(draft(0, visit="v"), draft(20), draft(300, visit="v"), draft(200), draft(210, visit="w"))
    assert stamped(log) == [(1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 2, 2)]


def test_it_carries_the_visit_number_that_was_sent(log, send):
    send(draft(0, visit_number=7), draft(1), draft(100, visit_number=2), draft(200))
    assert stamped(log) == [(1, 1, 7), (1, 1, 1), (1, 2, 2), (1, 3, 3)]


def test_it_counts_an_id_once_in_a_hub(log, intake):
    twice = add(intake, draft(id="a"), draft(id="a", action="share"), draft(id="a", hub="other"), draft(), draft())
    again = add(intake, draft(50, id="a", visitor="new"), draft(51, id="b"))
    assert (twice, again) == (Outcome(4, 1), Outcome(1, 1))
    assert [e.action for chunk in log.read({}) for e in chunk.events] == ["view"] * 5
    assert stamped(log)[-1] == (1, 2, 2)


def test_it_lets_a_duplicate_change_nothing(log, send):
    send(
        draft(0, id="a"), draft(29, id="a"), draft(40, id="b"), draft(0, id="b", visitor="zoe"), draft(0, visitor="bob")
    )
    assert stamped(log) == [(1, 1, 1), (1, 2, 2), (2, 3, 1)]


def test_it_tells_batches_apart(intake):
    outcomes = intake.append([Batch([draft(id="a")]), Batch([draft(id="a"), draft(id="b")]), Batch()])
    assert outcomes == [Outcome(1, 0), Outcome(1, 1), Outcome(0, 0)]


def test_it_appends_nothing_for_duplicates_alone(log, intake):
    add(intake, draft(id="a"))
    add(intake, draft(id="a"))
    assert log.head() == {"main": 1}


def test_it_forgets_numbers_of_an_append_that_failed(log, intake, monkeypatch):
    add(intake, draft())

    def fail(*arguments):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("events.logs.orm.OrmLogWriter.append", fail)
        with pytest.raises(RuntimeError):
            add(intake, draft(20), draft(visitor="bob"), draft(visitor="cat", id="c"))
    add(intake, draft(visitor="cat", id="c"), draft(40))
    assert stamped(log) == [(1, 1, 1), (2, 2, 1), (1, 3, 2)]


def test_it_sees_what_another_process_appended(log, intake):
    add(intake, draft(0))
    add(Intake(log), draft(25), draft(0, visitor="bob"))
    add(intake, draft(50), draft(0, visitor="cat"), draft(0, visitor="bob"))
    assert stamped(log) == [(1, 1, 1), (1, 1, 1), (2, 2, 1), (1, 1, 1), (3, 3, 1), (2, 2, 1)]


def test_it_forgets_the_oldest_visitors_when_there_are_many(log, intake):
    intake._stamper._capacity = 2
    for name in "abcdabcd":
        add(intake, draft(visitor=name))
    assert [visitor for visitor, _, _ in stamped(log)] == [1, 2, 3, 4, 1, 2, 3, 4]


@pytest.fixture
def visited(log) -> OrmEventLog:
    """A log in which ann has been 20,000 times, under names and all at once."""
    key = visitor_key("acme", "ann")
    with log.writer() as writer:
        visits = [named_visit_key(key, str(n)) for n in range(1, 20_001)]
        spans = [VisitSpan(n, n, START, START) for n in range(1, 20_001)]
        writer.save_numbering([("acme", key, 1)], [("acme", 1, *visit) for visit in zip(visits, spans, strict=True)])
    return log


def test_it_stamps_a_visitor_of_many_visits_as_fast_as_any(visited, intake):
    drafts = [draft(n / 1000, visit=None if n % 2 else str(n)) for n in range(2_000)]
    began = time.process_time()
    add(intake, *drafts[:1_000])
    add(intake, *drafts[1_000:])
    seconds = time.process_time() - began
    assert (stamped(visited)[1], stamped(visited)[-2:], seconds < 2) == ((1, 1, 1), [(1, 1998, 1998), (1, 1, 1)], True)


def test_it_remembers_of_a_visitor_of_many_visits_what_an_append_needs(visited, intake):
    add(intake, draft(500), draft(0), draft(0, visit="7"), draft(505))
    assert stamped(visited) == [(1, 20_001, 20_001), (1, 1, 1), (1, 7, 7), (1, 20_001, 20_001)]
    assert intake._stamper._visits == 3


def test_it_counts_visits_and_not_visitors_in_its_cache(log, intake):
    intake._stamper._capacity = 50
    for n in range(120):
        add(intake, draft(n * 100), draft(n * 100, visitor="bob"))
    assert stamped(log)[-2:] == [(1, 239, 120), (2, 240, 120)]
    assert intake._stamper._visits <= 52


def test_it_tells_who_listens_and_survives_their_faults(intake):
    told = []

    def listen(position, **rest):
        told.append(position)
        raise RuntimeError

    appended.connect(listen)
    try:
        add(intake, draft(id="a"))
        add(intake, draft(id="a"))
        add(intake, draft())
    finally:
        appended.disconnect(listen)
    assert told == [{"main": 1}, {"main": 2}]


def slow(monkeypatch, *outcomes: Exception | None) -> list[int]:
    """Let writes fail as told, one after the other; returns the list of how many events each was of."""
    left, sizes = list(outcomes), []
    write = Intake._write

    def told(intake: Intake, batches) -> int:
        sizes.append(sum(len(batch.drafts) for batch in batches))
        if left and (error := left.pop(0)):
            raise error
        return write(intake, batches)

    monkeypatch.setattr(Intake, "_write", told)
    monkeypatch.setattr("events.intake.SLOW_FROM", 4)
    return sizes


def test_what_is_too_slow_at_once_is_written_in_halves(log, intake, monkeypatch):
    sizes = slow(monkeypatch, AppendTooSlow("It took too long."))
    assert add(intake, *map(draft, range(8))) == Outcome(8, 0)
    assert (sizes, [len(chunk.events) for chunk in log.read({})]) == ([8, 4, 4], [4, 4])


def test_a_log_that_is_slow_with_few_events_is_busy(log, intake, monkeypatch):
    """Else a log that stands still would be tried again until nobody waits for the answer any more."""
    sizes = slow(monkeypatch, *[AppendTooSlow("It took too long.")] * 4)
    with pytest.raises(LogBusy) as raised:
        add(intake, *map(draft, range(8)))
    assert (sizes, isinstance(raised.value, LogUnsure), list(log.read({}))) == ([8, 4, 2], False, [])


def test_that_nothing_was_written_is_not_said_once_a_half_is(log, intake, monkeypatch):
    slow(monkeypatch, AppendTooSlow("It took too long."), None, LogBusy("It is busy."))
    drafts = [draft(number, id=f"e{number}") for number in range(8)]
    with pytest.raises(LogUnsure, match="Some of the events were written"):
        add(intake, *drafts)
    assert add(intake, *drafts) == Outcome(4, 4)
    assert [len(chunk.events) for chunk in log.read({})] == [4, 4]
