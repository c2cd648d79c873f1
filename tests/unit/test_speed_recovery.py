"""Redis emptied, put back from an old dump, or left by a process that died: the buffers follow ledger and log again."""

import pytest
from django.utils import timezone

from aggregations.cells import decode
from aggregations.event import Event
from aggregations.rollups import ROLLUPS
from events.cuts import mark_published, record_cut
from events.log import LogGap, event_log
from events.models import Cut
from speed import buffers, consumer, folding, recovery
from tests import log
from tests.simulation.world import empty

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

HUB = "acme"


@pytest.fixture(autouse=True)
def world(redis_url: str) -> None:
    empty(redis_url)


def append(count: int = 1) -> None:
    for _ in range(count):
        with event_log().writer() as writer:
            writer.append([Event(HUB, "e", "view", 1, 1, 1, 1, 1)], received_at=1)


def record(epoch: int, sequence: int, published: bool = False) -> None:
    record_cut(epoch, {"main": sequence}, timezone.now())
    if published:
        mark_published(epoch, timezone.now())


def dump() -> dict[bytes, bytes]:
    return {key: buffers.client().dump(key) for key in buffers.client().scan_iter()}


def put_back(dumped: dict[bytes, bytes]) -> None:
    buffers.client().flushall()
    for key, value in dumped.items():
        buffers.client().restore(key, 0, value)


def events_in(epoch: int) -> int:
    """The number of events that a buffer holds."""
    (entries,) = buffers.entries_of(epoch, [(HUB, "hub")])
    if not entries:
        return 0
    hub = ROLLUPS[0]
    cells = decode(folding.merged("hub", entries), hub.keys, hub.measures)
    return int(cells.columns["events"].sum())


def state(published: int, mark: int, frozen: int | None = None, cut: int | None = None) -> buffers.Pipeline:
    active = published + (1 if frozen is None else 2)
    at = {"main": mark} if mark else {}
    return buffers.Pipeline(published, active, at, frozen, None if cut is None else {"main": cut}, event_log().birth())


def test_a_new_redis_begins_before_the_first_chunk() -> None:
    append(3)
    assert recovery.ensure(event_log()) == state(0, 0)
    assert (consumer.apply_new(), buffers.pipeline(), events_in(1)) == (3, state(0, 3), 3)


def test_an_emptied_redis_holds_each_buffer_again() -> None:
    append(5)
    record(1, 2, published=True)
    record(2, 4)
    assert recovery.ensure(event_log()) == state(1, 4, frozen=2, cut=4)
    consumer.apply_new()
    assert (events_in(2), events_in(3), buffers.frozen_names(2)[0][0]) == (2, 1, HUB)


def test_a_dump_from_before_the_swap_is_replaced() -> None:
    append(2)
    consumer.apply_new()
    old = dump()
    append()
    consumer.apply_new()
    buffers.swap(event_log().birth())
    record(1, 3)
    put_back(old)
    assert recovery.ensure(event_log()) == state(0, 3, frozen=1, cut=3)
    assert (events_in(1), events_in(2)) == (3, 0)


def test_a_dump_from_after_the_swap_is_replaced_once_the_epoch_is_published() -> None:
    append(2)
    consumer.apply_new()
    buffers.swap(event_log().birth())
    record(1, 2)
    old = dump()
    append()
    consumer.apply_new()
    mark_published(1, timezone.now())
    buffers.retire(1, {"main": 2})
    buffers.swap(event_log().birth())
    record(2, 3, published=True)
    put_back(old)
    assert recovery.ensure(event_log()) == state(2, 3)


def test_an_old_dump_of_the_same_epoch_catches_up() -> None:
    append(2)
    consumer.apply_new()
    old = dump()
    append(2)
    consumer.apply_new()
    put_back(old)
    assert (consumer.apply_new(), buffers.pipeline(), events_in(1)) == (2, state(0, 4), 4)


def test_a_crash_between_swap_and_record_changes_nothing() -> None:
    append(2)
    consumer.apply_new()
    buffers.swap(event_log().birth())
    append()
    consumer.apply_new()
    assert recovery.ensure(event_log()) == state(0, 3, frozen=1, cut=2)
    assert buffers.swap(event_log().birth()) == (1, {"main": 2})


def test_a_crash_between_publication_and_retirement_is_made_good() -> None:
    append(2)
    consumer.apply_new()
    buffers.swap(event_log().birth())
    record(1, 2, published=True)
    assert recovery.ensure(event_log()) == state(1, 2)
    assert buffers.entries_of(1, [(HUB, "hub")]) == [[]]


def test_a_frozen_buffer_that_ends_elsewhere_than_the_recorded_cut_is_not_retired() -> None:
    append(3)
    consumer.apply_new(until={"main": 2})
    buffers.swap(event_log().birth())
    record(1, 3, published=True)
    assert buffers.retire(1, {"main": 3}) is False
    assert recovery.ensure(event_log()) == state(1, 3)
    assert consumer.apply_new() == 0


def test_a_publication_while_it_looks_does_not_empty_the_active_buffer(monkeypatch) -> None:
    append(2)
    consumer.apply_new()
    buffers.swap(event_log().birth())
    record(1, 2)
    append()
    consumer.apply_new()
    waiting_cut = recovery.waiting_cut

    def published_meanwhile():
        found = waiting_cut()
        mark_published(1, timezone.now())
        buffers.retire(1, {"main": 2})
        return found

    monkeypatch.setattr(recovery, "waiting_cut", published_meanwhile)
    recovery.ensure(event_log())
    assert (buffers.pipeline(), events_in(2)) == (state(1, 3), 1)


def test_a_swap_while_it_looks_is_not_undone(monkeypatch) -> None:
    append(2)
    consumer.apply_new()
    waiting_cut = recovery.waiting_cut

    def swapped_meanwhile():
        monkeypatch.setattr(recovery, "waiting_cut", waiting_cut)
        buffers.swap(event_log().birth())
        record(1, 2)
        return waiting_cut()

    monkeypatch.setattr(recovery, "waiting_cut", swapped_meanwhile)
    assert recovery.ensure(event_log()) == state(0, 2, frozen=1, cut=2)
    assert events_in(1) == 2


def test_the_buffers_of_a_log_that_was_replaced_give_way_to_those_of_this_one() -> None:
    append(3)
    consumer.apply_new()
    log.lose()
    append(1)
    with event_log().writer() as writer:
        writer.append([Event(HUB, f"e{n}", "view", 1, 1, 1, 1, 1) for n in range(5)], received_at=1)
    append(1)
    assert (recovery.settled(event_log()), consumer.apply_new()) == (None, 7)
    assert (buffers.pipeline(), events_in(1)) == (state(0, 3), 7)


def test_a_frozen_buffer_of_another_log_is_not_retired_but_replaced() -> None:
    append(2)
    consumer.apply_new()
    buffers.swap(event_log().birth())
    log.lose_birth()
    record(1, 2, published=True)
    assert (recovery.settled(event_log()), recovery.ensure(event_log())) == (None, state(1, 2))


def test_a_log_has_one_birth_until_it_is_emptied() -> None:
    first = [event_log().birth(), event_log().birth()]
    log.lose_birth()
    assert (first[0] == first[1], event_log().birth() in first, len(first[0])) == (True, False, 16)


def test_a_log_that_lost_its_end_is_told_and_not_guessed_at() -> None:
    append(3)
    record(1, 3, published=True)
    log.lose_chunk(3)
    with pytest.raises(LogGap, match="before the recorded cut"):
        recovery.ensure(event_log())


def test_a_damaged_active_buffer_is_built_again_when_it_is_merged() -> None:
    append(3)
    consumer.apply_new()
    buffers.client().rpush(f"{buffers.PREFIX}buffer:1:{HUB}:hub", *[b"damaged"] * buffers.COMPACT_AT)
    append()
    consumer.apply_new()
    assert (buffers.pipeline(), events_in(1)) == (state(0, 4), 4)


def test_a_list_that_is_gone_before_it_is_merged_stays_gone(monkeypatch) -> None:
    append(1)
    monkeypatch.setattr(buffers, "COMPACT_AT", 1)
    monkeypatch.setattr(buffers, "entries_of", lambda _, names: [[] for _ in names])
    consumer.apply_new()
    monkeypatch.undo()
    assert events_in(1) == 1


def test_a_ledger_that_never_agrees_is_told_and_not_waited_for(monkeypatch) -> None:
    monkeypatch.setattr(recovery, "PAUSE_S", 0)
    Cut.objects.create(epoch=7, position={"main": 1}, cut_at=timezone.now())
    with pytest.raises(recovery.Unsettled, match="20 attempts"):
        recovery.ensure(event_log())


def test_buffers_of_another_declaration_are_dropped_when_new_ones_begin() -> None:
    for before in ("affluence:before", "{affluence}:before"):
        buffers.client().rpush(f"{before}:buffer:1:acme:hub", b"old")
    recovery.ensure(event_log())
    assert [key.decode() for key in buffers.client().keys("*affluence*")] == [f"{buffers.PREFIX}pipeline"]
