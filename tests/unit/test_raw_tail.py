"""The log's tail in memory: each hub's own events, of the hubs that are asked for, within a bound."""

import threading

import pytest
from django.db import connections

from aggregations.event import Event
from events.log import LogCorrupt, event_log
from events.logs.orm import OrmEventLog
from views_layer.raw import Tail

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def append(**counts: int) -> dict[str, int]:
    """One chunk with so many events of each hub; returns the position after it."""
    with event_log().writer() as writer:
        writer.append(
            [
                Event(hub, f"{hub}-{number}", "view", 1_000, 1_000, 1, 1, 1, media="m" * 100)
                for hub, count in counts.items()
                for number in range(count)
            ],
            received_at=1,
        )
    return event_log().head()


def seen(tail: Tail, hub: str, cut: dict[str, int], mark: dict[str, int]) -> list[str]:
    table = tail.table(hub, cut, mark)
    return [] if table is None else table["id"].to_pylist()


@pytest.fixture
def chunks_read(monkeypatch) -> list[int]:
    """The sequences of the chunks that were read from the log."""
    sequences: list[int] = []
    read = OrmEventLog.read

    def counted(self, after, until=None):
        for chunk in read(self, after, until):
            sequences.append(chunk.sequence)
            yield chunk

    monkeypatch.setattr(OrmEventLog, "read", counted)
    return sequences


def test_a_question_of_a_hub_holds_no_event_of_another():
    tail = Tail()
    mark = append(busy=20_000, quiet=1)
    assert seen(tail, "quiet", {}, mark) == ["quiet-0"]
    assert tail.size() < 10_000


def test_it_reads_on_for_each_hub_from_where_it_was(chunks_read):
    tail = Tail()
    first = append(a=1, b=1)
    found = [seen(tail, "a", {}, first), seen(tail, "b", {}, first)]
    second = append(a=2, b=1)
    found += [seen(tail, "a", {}, second), seen(tail, "b", {}, second), seen(tail, "c", {}, second)]
    assert (found, chunks_read) == (
        [["a-0"], ["b-0"], ["a-0", "a-0", "a-1"], ["b-0", "b-0"], []],
        [1, 1, 2, 2, 1, 2],
    )


def test_the_slow_question_of_a_hub_stops_no_other_hub(monkeypatch):
    tail, mark, found = Tail(), append(slow=1, quick=1), []
    reading, may_read, read = threading.Event(), threading.Event(), OrmEventLog.read

    def slowly(self, after, until=None):
        if not reading.is_set():
            reading.set()
            may_read.wait(20)
        yield from read(self, after, until)

    def ask(hub: str) -> None:
        found.extend(seen(tail, hub, {}, mark))
        connections.close_all()

    monkeypatch.setattr(OrmEventLog, "read", slowly)
    slow, quick = (threading.Thread(target=ask, args=(hub,)) for hub in ("slow", "quick"))
    slow.start()
    reading.wait(20)
    quick.start()
    quick.join(5)
    before = list(found)
    may_read.set()
    for thread in (slow, quick):
        thread.join()
    assert (before, found) == (["quick-0"], ["quick-0", "slow-0"])


def test_what_could_not_be_read_to_its_end_is_read_again_from_the_cut(monkeypatch):
    tail, mark, read = Tail(), append(a=25_000), OrmEventLog.read
    append(a=1)

    def broken(self, after, until=None):
        yield from read(self, after, mark)
        raise LogCorrupt("damaged")

    monkeypatch.setattr(OrmEventLog, "read", broken)
    with pytest.raises(LogCorrupt):
        seen(tail, "a", {}, event_log().head())
    monkeypatch.undo()
    assert len(seen(tail, "a", {}, event_log().head())) == 25_001


def test_a_mark_before_what_was_read_is_answered_as_of_that_mark():
    tail = Tail()
    first, second = append(a=1), append(a=2)
    assert [len(seen(tail, "a", {}, mark)) for mark in (second, first, second)] == [3, 1, 3]


def test_a_later_cut_starts_anew():
    tail = Tail()
    first, second = append(a=1), append(a=2)
    assert [len(seen(tail, "a", cut, second)) for cut in ({}, first, second)] == [3, 2, 0]


def test_the_hub_that_was_asked_for_longest_ago_is_let_go_and_read_again(chunks_read):
    tail = Tail(bytes_at_most=300_000)
    mark = append(a=1_000, b=1_000)
    found = [len(seen(tail, hub, {}, mark)) for hub in ("a", "b", "b", "a")]
    assert (found, chunks_read, tail.size() < 300_000) == ([1_000] * 4, [1, 1, 1], True)


def test_a_hub_that_exceeds_the_bound_is_not_kept():
    tail = Tail(bytes_at_most=100_000)
    first = append(busy=2_000, quiet=1)
    found = [len(seen(tail, hub, {}, first)) for hub in ("quiet", "busy", "busy")]
    second = append(busy=1, quiet=1)
    found += [len(seen(tail, hub, {}, second)) for hub in ("quiet", "busy")]
    assert (found, tail.size() < 100_000) == ([1, 2_000, 2_000, 2, 2_001], True)


def test_many_small_chunks_are_joined():
    tail = Tail()
    counts = [len(seen(tail, "a", {}, append(a=1))) for _ in range(140)]
    assert (counts, len(tail._kept["a"].tables) < 70) == (list(range(1, 141)), True)
