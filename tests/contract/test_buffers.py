"""What every backend of the real-time buffers promises."""

import threading
from dataclasses import replace

import pytest
import redis

from aggregations.cells import DamagedCells, decode
from aggregations.event import Event
from aggregations.rollups import rollup_named
from events.log import Chunk
from speed import buffers, folding

HUB_ROLLUP = rollup_named("hub")


def entries(*visitors: int, hub: str = "acme") -> list[buffers.Entry]:
    """The entries of one event of each visitor."""
    events = [Event(hub, "e", "view", 1, 1, visitor, visitor, 1) for visitor in visitors]
    return [entry for entry in folding.entries([Chunk("main", 1, 1, events)]) if entry[1] == "hub"]


def counted(found: list[bytes]) -> tuple[int, set[int]]:
    """Events and visitors of entries."""
    if not found:
        return 0, set()
    cells = decode(folding.merged("hub", found), HUB_ROLLUP.keys, HUB_ROLLUP.measures)
    states = cells.states(HUB_ROLLUP.measures)
    return sum(s["events"] for s in states.values()), {v for s in states.values() for v in s["visitors"]}


def at(sequence: int) -> dict[str, int]:
    return {"main": sequence} if sequence else {}


def held(epoch: int) -> list[bytes]:
    """The entries of the hub's list."""
    (found,) = buffers.entries_of(epoch, [("acme", "hub")])
    return found


def compacted(entries: list[bytes], merged: bytes) -> bool:
    """Whether the entries at the front of the hub's list in epoch 1 gave way to `merged`."""
    (done,) = buffers.compact(1, [("acme", "hub", entries, merged)])
    return done


BIRTH = "this log"


def pipeline(published: int, active: int, mark: int, frozen: int | None = None, cut: int = 0) -> buffers.Pipeline:
    return buffers.Pipeline(published, active, at(mark), frozen, None if frozen is None else at(cut), BIRTH)


START = pipeline(0, 1, 0)


class BuffersContract:
    """Inherited by a test class for each backend."""

    @pytest.fixture(autouse=True)
    def started(self, redis_url: str) -> None:
        assert buffers.install(START, [], None)

    def seen(self) -> tuple[int, set[int]]:
        snapshot = buffers.snapshot("acme", ["hub"])
        assert snapshot is not None
        return counted(snapshot.entries["hub"])

    def apply(self, sequence: int, *visitors: int, epoch: int = 1) -> bool:
        return buffers.apply(pipeline(0, epoch, sequence - 1), at(sequence), entries(*visitors)) is not None

    def test_an_emptied_one_is_none(self):
        buffers.client().flushall()
        assert (buffers.pipeline(), buffers.snapshot("acme", ["hub"]), buffers.swap(BIRTH)) == (None, None, None)
        assert (self.apply(1, 1), buffers.retire(1, {}), buffers.frozen_names(1)) == (False, False, None)

    def test_applying_appends_and_moves_the_mark(self):
        assert (self.apply(1, 1, 2), self.apply(2, 2, 3)) == (True, True)
        assert (buffers.pipeline(), self.seen()) == (pipeline(0, 1, 2), (4, {1, 2, 3}))

    def test_it_tells_the_size_of_both(self):
        self.apply(1, 1, 2)
        buffers.swap(BIRTH)
        (active, (lists, size)) = (buffers.sizes()[name] for name in ("active", "frozen"))
        assert (active, lists, size > 0) == ((0, 0), 1, True)

    def test_a_chunk_counts_once(self):
        assert (self.apply(1, 1), self.apply(1, 1), self.seen()) == (True, False, (1, {1}))

    def test_a_chunk_after_a_gap_does_not_count(self):
        assert (self.apply(2, 1), self.seen(), buffers.pipeline()) == (False, (0, set()), START)

    def test_a_chunk_for_another_epoch_does_not_count(self):
        assert (self.apply(1, 1, epoch=2), self.seen()) == (False, (0, set()))

    def test_what_is_folded_from_another_log_neither_counts_nor_is_swapped(self):
        other = replace(START, birth="another log")
        assert (buffers.apply(other, at(1), entries(1)), buffers.swap(other.birth)) == (None, None)
        assert (buffers.install(pipeline(0, 1, 9), [], other), buffers.pipeline(), self.seen()) == (
            False,
            START,
            (0, set()),
        )

    def test_positions_are_compared_whatever_their_order(self):
        many, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
        assert buffers.apply(START, many, entries(1)) == []
        assert buffers.apply(replace(START, mark=other), {"a": 2, "b": 2}, entries(2)) == []

    def test_a_swap_freezes_what_was_applied_up_to_the_cut(self):
        self.apply(1, 1)
        assert buffers.swap(BIRTH) == (1, at(1))
        assert self.apply(2, 2, epoch=2)
        assert buffers.pipeline() == pipeline(0, 2, 2, 1, 1)
        assert (counted(held(1)), self.seen()) == ((1, {1}), (2, {1, 2}))
        assert (buffers.frozen_names(1), buffers.frozen_names(2)) == ([("acme", "hub")], None)

    def test_a_swap_is_refused_while_a_frozen_buffer_waits(self):
        self.apply(1, 1)
        buffers.swap(BIRTH)
        self.apply(2, 2, epoch=2)
        before = buffers.pipeline()
        assert (buffers.swap(BIRTH), buffers.pipeline()) == ((1, at(1)), before)

    def test_nothing_may_be_swapped_too(self):
        assert (buffers.swap(BIRTH), buffers.frozen_names(1), buffers.retire(1, {})) == ((1, {}), [], True)

    def test_retiring_flips_and_drops_once(self):
        self.apply(1, 1)
        buffers.swap(BIRTH)
        self.apply(2, 2, epoch=2)
        assert [buffers.retire(1, at(1)) for _ in range(2)] == [True, True]
        assert (buffers.pipeline(), self.seen()) == (pipeline(1, 2, 2), (1, {2}))
        assert held(1) == []

    @pytest.mark.parametrize(("epoch", "cut"), [(1, 2), (2, 1), (0, 1)])
    def test_retiring_what_is_not_frozen_so_changes_nothing(self, epoch: int, cut: int):
        self.apply(1, 1)
        buffers.swap(BIRTH)
        before = buffers.pipeline()
        assert buffers.retire(epoch, at(cut)) is (epoch == 0)
        assert (buffers.pipeline(), self.seen()) == (before, (1, {1}))

    def test_a_snapshot_holds_one_hub_and_what_was_asked_for(self):
        buffers.apply(START, at(1), [*entries(1), *entries(2, hub="other"), ("acme", "media", b"x")])
        snapshot = buffers.snapshot("acme", ["media", "hub", "page"])
        assert (snapshot.entries["media"], counted(snapshot.entries["hub"]), snapshot.entries["page"]) == (
            [b"x"],
            (1, {1}),
            [],
        )

    def test_compaction_changes_no_number(self):
        for sequence in range(1, buffers.COMPACT_AT):
            assert buffers.apply(pipeline(0, 1, sequence - 1), at(sequence), entries(sequence)) == []
        last = buffers.COMPACT_AT
        assert buffers.apply(pipeline(0, 1, last - 1), at(last), entries(last)) == [("acme", "hub")]
        before, found = self.seen(), held(1)
        self.apply(last + 1, 1)
        assert compacted(found, folding.merged("hub", found))
        assert len(held(1)) == 2
        assert (before, self.seen()) == ((last, set(range(1, last + 1))), (last + 1, set(range(1, last + 1))))
        assert buffers.swap(BIRTH)
        assert buffers.frozen_names(1) == [("acme", "hub")]

    def test_a_list_that_is_too_short_is_not_read_nor_compacted_and_condemns_all(self):
        self.apply(1, 1)
        self.apply(2, 2)
        buffers.client().lpop(f"{buffers.PREFIX}buffer:1:acme:hub")
        found = held(1)
        with pytest.raises(DamagedCells, match="not as long as they must be: 1:acme:hub"):
            buffers.snapshot("acme", ["hub"])
        compact = compacted(found, found[0])
        before = buffers.pipeline().is_damaged
        self.apply(3, 3)
        assert (compact, before, buffers.pipeline()) == (False, False, replace(pipeline(0, 1, 3), is_damaged=True))

    def test_condemned_buffers_serve_until_others_are_installed(self):
        self.apply(1, 1)
        buffers.condemn()
        damaged = replace(pipeline(0, 1, 1), is_damaged=True)
        assert (buffers.pipeline(), self.seen()) == (damaged, (1, {1}))
        assert (buffers.install(START, [], damaged), buffers.pipeline(), self.seen()) == (True, START, (0, set()))

    def test_nothing_is_condemned_where_nothing_is(self):
        buffers.client().flushall()
        buffers.condemn()
        assert buffers.pipeline() is None

    def test_a_list_is_compacted_once_and_only_as_it_was_read(self):
        self.apply(1, 1)
        self.apply(2, 2)
        found = held(1)
        merged = folding.merged("hub", found)
        assert [compacted(found, merged) for _ in range(2)] == [True, False]
        assert not compacted(found[:1], merged)
        assert not compacted([], merged)
        assert self.seen() == (2, {1, 2})

    def test_full_memory_stops_applying_but_not_what_frees_it(self):
        self.apply(1, 1)
        buffers.client().config_set("maxmemory", 1)
        try:
            with pytest.raises(redis.ResponseError, match="maxmemory"):
                self.apply(2, 2)
            assert (buffers.swap(BIRTH), self.seen(), buffers.retire(1, at(1)), self.seen()) == (
                (1, at(1)),
                (1, {1}),
                True,
                (0, set()),
            )
            assert buffers.install(pipeline(1, 2, 1), [], buffers.pipeline())
        finally:
            buffers.client().config_set("maxmemory", 0)

    def test_a_list_that_was_retired_is_not_brought_back_by_compaction(self):
        self.apply(1, 1)
        found = held(1)
        buffers.swap(BIRTH)
        buffers.retire(1, at(1))
        assert not compacted(found, found[0])
        assert not compacted([], found[0])
        assert buffers.client().keys(f"{buffers.PREFIX}buffer:*") == []

    def test_installing_replaces_everything(self):
        self.apply(1, 1)
        buffers.swap(BIRTH)
        self.apply(2, 2, epoch=2)
        state = pipeline(7, 9, 30, 8, 30)
        buffers.client().set("another's", "key")
        assert buffers.install(state, entries(5, 6), buffers.pipeline())
        assert (buffers.pipeline(), self.seen(), buffers.frozen_names(8)) == (state, (2, {5, 6}), [("acme", "hub")])
        keys = {key.decode() for key in buffers.client().scan_iter()}
        assert keys == {
            "another's",
            *(buffers.PREFIX + name for name in ("pipeline", "lengths:8", "buffer:8:acme:hub")),
        }

    @pytest.mark.parametrize("is_gone", [True, False])
    def test_installing_in_the_place_of_what_has_moved_on_changes_nothing(self, is_gone: bool):
        found = None if is_gone else buffers.pipeline()
        self.apply(1, 1)
        before = buffers.pipeline()
        assert not buffers.install(pipeline(7, 8, 30), [], found)
        assert (buffers.pipeline(), self.seen()) == (before, (1, {1}))

    def test_every_snapshot_is_of_one_moment(self):
        """One event a chunk: the number of events always equals the mark, less what was retired."""
        failed: list[str] = []
        done = threading.Event()

        def look() -> None:
            while not done.is_set():
                snapshot = buffers.snapshot("acme", ["hub"])
                mark = snapshot.pipeline.mark.get("main", 0)
                retired = 20 * snapshot.pipeline.published
                if counted(snapshot.entries["hub"])[0] != mark - retired:
                    failed.append(str(snapshot.pipeline))

        readers = [threading.Thread(target=look) for _ in range(2)]
        for reader in readers:
            reader.start()
        for sequence in range(1, 101):
            epoch = 1 + (sequence - 1) // 20
            long = buffers.apply(pipeline(0, epoch, sequence - 1), at(sequence), entries(sequence))
            for hub, rollup in long:
                (found,) = buffers.entries_of(epoch, [(hub, rollup)])
                buffers.compact(epoch, [(hub, rollup, found, folding.merged(rollup, found))])
            if sequence % 20 == 0:
                buffers.swap(BIRTH)
                buffers.retire(epoch, at(sequence))
        done.set()
        for reader in readers:
            reader.join()
        assert failed == []


class TestRedisBuffers(BuffersContract):
    pass
