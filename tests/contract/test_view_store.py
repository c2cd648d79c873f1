"""What every backend of the view store promises."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connections
from django.test.utils import CaptureQueriesContext
from elasticsearch import Elasticsearch

from aggregations.buckets import DAY, HOUR, MONTH
from batch.view_store import RowsGone, StoreAway, ViewRow, ViewStore
from tests.rows import drop_indexes
from tests.waiting import free_port
from views_layer import models
from views_layer.stores.elastic import deletions
from views_layer.stores.elastic.meta import BIRTH
from views_layer.stores.elastic.server import Server
from views_layer.stores.elastic.store import ElasticViewStore
from views_layer.stores.orm import OrmViewStore

SQLITE = "django.db.backends.sqlite3"


def row(start: int, payload: bytes, grain: str = HOUR, hub: str = "acme", rollup: str = "media") -> ViewRow:
    return ViewRow(hub, rollup, grain, start, start + {HOUR: 1, DAY: 24, MONTH: 744}[grain], payload)


class ViewStoreContract:
    """Inherited by a test class for each backend, which provides the hooks below."""

    def make_store(self) -> ViewStore:
        raise NotImplementedError

    def empty(self) -> None:
        """Delete everything in the store, as an operator would."""
        raise NotImplementedError

    @pytest.fixture
    def store(self) -> ViewStore:
        return self.make_store()

    def found(self, store: ViewStore, version: int, grain: str = HOUR, start: int = 0, end: int = 100) -> list[tuple]:
        """Start, version and payload of what readers of a version find."""
        addresses = store.addresses("acme", "media", [(grain, start, end)], version)
        return [(a.start, a.version, p) for a, p in zip(addresses, store.fetch(addresses), strict=True)]

    def test_it_begins_empty(self, store):
        assert (self.found(store, 5), store.first_start("acme", "media", 5), store.fetch([])) == ([], None, [])

    def test_it_gives_back_what_was_written_by_start(self, store):
        assert store.write(1, iter([row(3, b"c"), row(1, bytes(range(256))), row(2, b"")])) == 3
        assert self.found(store, 1) == [(1, 1, bytes(range(256))), (2, 1, b""), (3, 1, b"c")]

    def test_it_says_how_much_it_holds(self, store):
        store.write(1, [row(1, b"a"), row(2, b"b")])
        store.write(2, [row(1, b"c")])
        size = store.size()
        assert size is None or (size.rows, size.bytes > 0) == (3, True)

    def test_it_keeps_what_is_there_when_it_is_written_again(self, store):
        store.write(1, [row(1, b"first")])
        store.write(1, [row(1, b"second"), row(2, b"new")])
        assert self.found(store, 1) == [(1, 1, b"first"), (2, 1, b"new")]

    def test_the_newest_version_of_each_bucket_counts(self, store):
        store.write(2, [row(1, b"b")])
        store.write(1, [row(1, b"a"), row(2, b"a")])
        store.write(4, [row(2, b"d")])
        assert self.found(store, 4) == [(1, 2, b"b"), (2, 4, b"d")]

    def test_a_version_is_invisible_to_earlier_readers(self, store):
        store.write(1, [row(1, b"a")])
        store.write(2, [row(1, b"b"), row(2, b"b")])
        assert self.found(store, 1) == [(1, 1, b"a")]
        assert (store.first_start("acme", "media", 0), store.first_start("acme", "media", 1)) == (None, 1)

    def test_a_row_is_found_with_its_bucket(self, store):
        store.write(1, [row(1, b"h"), row(1, b"d", DAY)])
        found = store.addresses("acme", "media", [(HOUR, 0, 9), (DAY, 0, 9)], 1)
        assert [(address.start, address.end, address.version) for address in found] == [(1, 2, 1), (1, 25, 1)]

    def test_days_of_two_zones_that_start_together_are_two_buckets(self, store):
        days = [ViewRow("acme", "media", DAY, 1, end, str(end).encode()) for end in (24, 25)]
        store.write(1, days)
        store.write(2, days[:1])
        assert self.found(store, 2, DAY) == [(1, 2, b"24"), (1, 1, b"25")]
        assert (store.clean_up(2), self.found(store, 2, DAY)) == (1, [(1, 2, b"24"), (1, 1, b"25")])

    def test_ranges_are_half_open(self, store):
        store.write(1, [row(start, b"x") for start in range(5)])
        assert [start for start, _, _ in self.found(store, 1, start=1, end=4)] == [1, 2, 3]

    def test_hubs_rollups_and_grains_are_apart(self, store):
        store.write(
            1, [row(1, b"day", DAY), row(1, b"month", MONTH), row(1, b"h", hub="other"), row(1, b"r", rollup="hub")]
        )
        assert (self.found(store, 1), self.found(store, 1, DAY)) == ([], [(1, 1, b"day")])
        assert store.first_start("acme", "media", 1) is None

    def test_it_tells_which_buckets_a_version_wrote(self, store):
        store.write(1, [row(3, b"a"), row(9, b"a", hub="other")])
        store.write(
            2, [row(3, b"b"), row(1, b"b"), row(5, b"d", DAY), row(7, b"r", rollup="hub"), row(8, b"o", hub="other")]
        )
        assert store.written(2, "media", HOUR) == {"acme": [1, 3], "other": [8]}
        assert store.written(3, "media", HOUR) == {}

    def test_payloads_come_in_the_order_asked_for(self, store):
        store.write(1, [row(start, str(start).encode()) for start in range(1_200)])
        addresses = store.addresses("acme", "media", [(HOUR, 0, 1_200)], 1)[::-1]
        assert store.fetch([*addresses, addresses[0]]) == [str(n).encode() for n in [*range(1_199, -1, -1), 1_199]]

    def test_a_row_that_is_gone_is_told(self, store):
        store.write(1, [row(1, b"a")])
        addresses = store.addresses("acme", "media", [(HOUR, 0, 9)], 1)
        self.empty()
        with pytest.raises(RowsGone):
            store.fetch(addresses)

    def test_a_version_is_sealed_for_ever_and_alone(self, store):
        assert [store.seal(2, store.birth()) for _ in range(2)] == [True, True]
        assert [store.is_sealed(version) for version in (0, 1, 2, 3)] == [True, False, True, False]

    def test_addresses_that_must_be_sealed_are_refused_where_the_version_is_not(self, store):
        ranges = [(HOUR, 0, 9), (DAY, 0, 9)]
        assert store.addresses("acme", "media", ranges, 0, must_be_sealed=True) == []
        store.write(1, [row(1, b"a")])
        with pytest.raises(RowsGone, match="all rows of epoch 1"):
            store.addresses("acme", "media", ranges, 1, must_be_sealed=True)
        store.seal(1, store.birth())
        assert [a.start for a in store.addresses("acme", "media", ranges, 1, must_be_sealed=True)] == [1]

    def test_what_seems_sealed_to_a_reader_of_an_emptied_store_is_not_read(self, store):
        """What a reader was told before, it may believe for as long as it does not ask for rows."""
        store.write(1, [row(1, b"a")])
        store.seal(1, store.birth())
        assert (store.seems_sealed(1), store.seems_sealed(2)) == (True, False)
        assert store.seems_sealed(1)
        self.empty()
        store.seems_sealed(1)
        with pytest.raises(RowsGone):
            store.addresses("acme", "media", [(HOUR, 0, 9)], 1, must_be_sealed=True)
        assert not store.seems_sealed(1)

    def test_an_emptied_store_is_not_sealed(self, store):
        store.seal(2, store.birth())
        self.empty()
        assert self.make_store().is_sealed(2) is False

    def test_a_version_is_not_sealed_in_a_store_that_was_emptied_meanwhile(self, store):
        birth = store.birth()
        self.empty()
        assert (store.seal(2, birth), store.is_sealed(2)) == (False, False)

    def test_cleaning_up_keeps_what_readers_of_the_version_and_later_need(self, store):
        for version in (1, 2, 3, 4):
            store.write(version, [row(1, bytes([version]))])
        store.write(1, [row(2, b"only")])
        store.write(4, [row(3, b"new")])
        before = self.found(store, 3), self.found(store, 4)
        assert (store.clean_up(3), store.clean_up(3)) == (2, 0)
        assert (self.found(store, 3), self.found(store, 4)) == before
        assert before[0] == [(1, 3, b"\3"), (2, 1, b"only")]

    def test_cleaning_up_makes_good_for_what_was_left_out(self, store):
        for version in (1, 2):
            store.write(version, [row(1, bytes([version])), row(2, bytes([version]))])
        assert (store.clean_up(2), self.found(store, 1)) == (2, [])
        for version in (3, 4, 5, 6):
            store.write(version, [row(version % 2, bytes([version]))])
        assert (store.clean_up(6), store.clean_up(4), self.make_store().clean_up(6)) == (3, 0, 0)
        assert self.found(store, 6) == [(0, 6, b"\6"), (1, 5, b"\5"), (2, 2, b"\2")]

    def test_cleaning_up_tells_no_row_of_another_bucket_for_older(self, store):
        store.write(1, [row(1, b"h"), row(1, b"d", DAY), row(1, b"o", hub="other"), row(1, b"r", rollup="hub")])
        store.write(2, [row(2, b"h")])
        assert store.clean_up(2) == 0

    def test_it_finds_the_first_hour_from_one_on(self, store):
        store.write(1, [row(3, b"a"), row(7, b"a")])
        store.write(2, [row(5, b"b")])
        assert [store.first_start("acme", "media", 1, start) for start in (0, 3, 4, 8)] == [3, 3, 7, None]

    def test_rows_that_start_before_an_hour_are_removed_of_all_versions_and_grains(self, store):
        for version in (1, 2):
            store.write(version, [row(1, b"h"), row(5, b"h"), row(1, b"m", MONTH), row(2, b"h", rollup="hub")])
            store.write(version, [row(version, b"o", hub="other")])
            store.seal(version, store.birth())
        assert store.remove_before("acme", 5) == 6
        assert (self.found(store, 2), self.found(store, 2, MONTH)) == ([(5, 2, b"h")], [])
        assert (store.first_start("acme", "hub", 2), len(store.addresses("other", "media", [(HOUR, 0, 9)], 2))) == (
            None,
            2,
        )

    def test_days_and_months_are_forgotten_and_hours_stay(self, store):
        store.write(1, [row(1, b"h"), row(1, b"d", DAY), row(1, b"m", MONTH), row(1, b"o", DAY, hub="other")])
        assert store.seal(1, store.birth())
        store.forget_days("acme")
        assert [self.found(store, 1, grain) for grain in (HOUR, DAY, MONTH)] == [[(1, 1, b"h")], [], []]
        assert len(store.addresses("other", "media", [(DAY, 0, 9)], 1)) == 1


@pytest.mark.services
class TestElasticViewStore(ViewStoreContract):
    """Beside the contract: the server may lose or refuse anything."""

    @pytest.fixture(autouse=True)
    def _emptied(self, elasticsearch: dict) -> Iterator[None]:
        self.options = elasticsearch
        with Elasticsearch(elasticsearch["hosts"]) as self.client:
            self.empty()
            yield
            self.empty()

    def make_store(self) -> ElasticViewStore:
        return ElasticViewStore(**self.options)

    def empty(self) -> None:
        drop_indexes(self.options["hosts"], self.options["prefix"])

    def lose(self, *names: str) -> None:
        for name in names:
            self.client.indices.delete(index=name)

    def indexes(self) -> list[str]:
        return sorted(self.client.indices.get_alias(index=f"{self.options['prefix']}-rows-*"))

    def block(self, is_blocked: bool, how: str) -> None:
        """Let the server refuse writes, as it does for itself where its disk is full (`read_only_allow_delete`)."""
        for name in self.indexes():
            self.client.indices.put_settings(index=name, settings={f"index.blocks.{how}": is_blocked or None})

    def state(self, birth: str) -> tuple[bool, bool, list[tuple]]:
        """Whether version 1 is sealed, whether it is the store of that birth, and what readers of version 1 find."""
        store = self.make_store()
        return store.is_sealed(1), store.birth() == birth, self.found(store, 1, end=1_500)

    @pytest.fixture
    def sealed(self, store) -> str:
        """The birth of a store that holds rows of two months."""
        store.write(1, [row(1, b"january"), row(1_400, b"february")])
        assert store.seal(1, store.birth())
        return store.birth()

    def test_rows_lie_in_an_index_for_each_month(self, store, sealed):
        generation = f"{self.options['prefix']}-rows-{sealed}"
        assert self.indexes() == [f"{generation}-1970-01", f"{generation}-1970-02"]
        assert self.state(sealed) == (True, True, [(1, 1, b"january"), (1_400, 1, b"february")])

    def test_a_store_that_lost_one_of_its_indexes_is_another(self, store, sealed):
        self.lose(self.indexes()[0])
        assert (store.is_sealed(1), self.state(sealed)) == (False, (False, False, []))
        assert self.indexes() == []

    def test_a_store_that_lost_its_meta_index_is_another(self, store, sealed):
        self.lose(f"{self.options['prefix']}-meta")
        assert (store.is_sealed(1), self.state(sealed)) == (False, (False, False, []))
        assert self.indexes() == []

    def test_a_store_that_lost_a_row_is_another(self, store, sealed):
        self.client.delete(index=self.indexes()[0], id="acme:media:hour:1:2:1", refresh=True)
        assert (store.is_sealed(1), self.state(sealed)) == (False, (False, False, []))

    def test_what_was_lost_before_the_seal_is_told_by_it(self, store):
        store.write(1, [row(1, b"a"), row(2, b"b"), row(1_400, b"c")])
        birth = store.birth()
        self.client.indices.refresh(index=self.indexes())
        self.client.delete(index=self.indexes()[0], id="acme:media:hour:1:2:1", refresh=True)
        assert (store.seal(1, birth), store.birth() == birth, store.is_sealed(1)) == (False, False, False)

    def test_an_index_lost_before_the_seal_is_told_by_another_process(self, store):
        store.write(1, [row(1, b"a"), row(1_400, b"c")])
        birth = store.birth()
        self.lose(self.indexes()[0])
        assert self.make_store().seal(1, birth) is False

    def test_an_index_that_was_lost_is_not_made_by_a_write(self, store, sealed):
        self.lose(self.indexes()[0])
        with pytest.raises(StoreAway, match="index_not_found_exception"):
            store.write(2, [row(1, b"a")])
        assert len(self.indexes()) == 1

    def test_what_is_deleted_on_purpose_is_not_missed(self, store, sealed):
        store.write(2, [row(1, b"again"), row(2, b"d", DAY)])
        store.seal(2, sealed)
        store.write(3, [row(2, b"not published")])
        assert store.clean_up(2) == 1
        store.forget_days("acme")
        store.discard(3)
        assert (store.is_sealed(2), store.birth()) == (True, sealed)
        assert self.found(store, 3, end=1_500) == [(1, 2, b"again"), (1_400, 1, b"february")]

    def test_days_that_a_run_writes_meanwhile_stay(self, store, sealed):
        store.write(2, [row(1, b"d", DAY)])
        self.make_store().forget_days("acme")
        assert (store.seal(2, sealed), self.found(store, 2, DAY)) == (True, [(1, 2, b"d")])

    def test_a_seal_made_while_rows_were_deleted_misses_none_of_them(self, store, sealed, monkeypatch):
        store.write(2, [row(1, b"again")])
        store.seal(2, sealed)
        other, send = self.make_store(), deletions.send

        def seal_and_delete(*arguments):
            monkeypatch.undo()  # between the seals that ask for fewer rows, and the deletion
            assert other.seal(3, sealed)
            return send(*arguments)

        monkeypatch.setattr(deletions, "send", seal_and_delete)
        assert (store.clean_up(2), store.is_sealed(3), store.birth()) == (1, True, sealed)

    def test_a_discarded_version_is_sealed_no_more(self, store, sealed):
        store.discard(1)
        assert (store.is_sealed(1), store.birth(), self.found(store, 1)) == (False, sealed, [])

    def test_a_write_waits_for_a_disk_that_is_full(self, store, sealed, monkeypatch):
        self.block(True, "read_only_allow_delete")
        monkeypatch.setattr(
            "views_layer.stores.elastic.bulk.time.sleep", lambda _: self.block(False, "read_only_allow_delete")
        )
        assert (store.write(2, [row(1, b"x")]), self.found(store, 2)) == (1, [(1, 2, b"x")])

    def test_a_reader_who_knows_the_seal_asks_once_for_addresses_and_proof(self, store, sealed, monkeypatch):
        assert store.seems_sealed(1)
        asked = []
        monkeypatch.setattr(
            Server, "answers", lambda *of, answers=Server.answers, **how: asked.append(how) or answers(*of, **how)
        )
        assert store.seems_sealed(1)
        assert len(store.addresses("acme", "media", [(HOUR, 0, 9), (DAY, 0, 9)], 1, must_be_sealed=True)) == 1
        assert asked == [{"in_order": True}]

    def test_the_proof_is_asked_for_after_the_last_page(self, store, monkeypatch):
        monkeypatch.setattr("views_layer.stores.elastic.server.PAGE", 3)
        store.write(1, [row(start, b"a") for start in range(8)])
        store.seal(1, store.birth())
        assert store.seems_sealed(1)
        further = Server.hits

        def lost_before_the_second_page(server, *of):
            self.lose(self.indexes()[0])
            return further(server, *of)

        monkeypatch.setattr(Server, "hits", lost_before_the_second_page)
        with pytest.raises(RowsGone):
            store.addresses("acme", "media", [(HOUR, 0, 9)], 1, must_be_sealed=True)

    def test_a_server_that_refuses_is_not_believed_to_hold_what_it_held(self, store, sealed):
        assert store.seems_sealed(1)
        self.block(True, "read")
        for ask in (
            lambda: store.addresses("acme", "media", [(HOUR, 0, 9)], 1, must_be_sealed=True),
            lambda: store.seems_sealed(1),
        ):
            with pytest.raises(StoreAway):
                ask()
        self.block(False, "read")
        assert store.seems_sealed(1)

    def test_an_answer_that_comes_late_brings_no_generation_back(self, store, sealed):
        generation = store._generation
        late = store._server.answers(store._proof(1, generation))
        self.lose(self.indexes()[0])
        birth = store.birth()
        assert (store._is_proved(1, generation, late), store._generation.birth) == (True, birth)
        assert (birth != sealed, store.seems_sealed(1)) == (True, False)

    def test_what_a_process_wrote_is_counted_whoever_asked_meanwhile(self, store):
        birth = store.birth()
        store.write(1, [row(1, b"a"), row(2, b"b")])
        store._generation = None  # as of a thread that found the store without a birth for a moment
        assert store.is_sealed(1) is False
        self.client.indices.refresh(index=self.indexes())
        self.client.delete(index=self.indexes()[0], id="acme:media:hour:1:2:1", refresh=True)
        assert store.seal(1, birth) is False

    def test_a_write_waits_not_for_ever(self, store, sealed, monkeypatch):
        monkeypatch.setattr("views_layer.stores.elastic.bulk.TRIES_FOR_S", 0)
        self.block(True, "read_only_allow_delete")
        with pytest.raises(StoreAway, match="1 of 1 rows not: cluster_block_exception"):
            store.write(2, [row(1, b"x")])

    def test_a_refusal_is_told_at_once(self, store, sealed):
        self.block(True, "write")
        with pytest.raises(StoreAway, match="refused a row with 403: cluster_block_exception"):
            store.write(2, [row(1, b"x")])

    def test_a_store_whose_rows_are_of_an_older_form_is_begun_anew(self, store, sealed):
        meta = f"{self.options['prefix']}-meta"
        document = self.client.get(index=meta, id=BIRTH)["_source"]
        self.client.delete(index=meta, id=BIRTH)
        self.client.index(index=meta, id="birth", document=document, refresh=True)
        assert (self.make_store().is_sealed(1), self.state(sealed)) == (False, (False, False, []))
        assert (self.indexes(), self.client.exists(index=meta, id="birth").body) == ([], False)

    def test_of_two_that_begin_a_store_one_wins(self, store):
        births = {one.birth() for one in (store, self.make_store(), store)}
        assert len(births) == 1

    def test_more_rows_than_a_search_gives_are_found_in_pages(self, store, monkeypatch):
        monkeypatch.setattr("views_layer.stores.elastic.server.PAGE", 3)
        monkeypatch.setattr("views_layer.stores.elastic.deletions.BUCKETS_AT_ONCE", 2)
        store.write(1, [row(start, b"a") for start in range(8)])
        store.write(2, [row(start, b"b") for start in range(0, 8, 2)])
        assert [start for start, _, _ in self.found(store, 1)] == list(range(8))
        assert store.written(1, "media", HOUR) == {"acme": list(range(8))}
        assert (store.clean_up(2), [start for start, _, _ in self.found(store, 1)]) == (4, [1, 3, 5, 7])

    def test_it_serves(self, store, sealed):
        assert store.trouble() is None


class TestAwayElasticViewStore:
    """A server that is not there."""

    @pytest.fixture
    def away(self) -> ElasticViewStore:
        return ElasticViewStore([f"http://127.0.0.1:{free_port()}"])

    def test_it_says_so_at_once(self, away, monkeypatch):
        monkeypatch.setattr("views_layer.stores.elastic.bulk.TRIES_FOR_S", 0)
        for ask in (
            away.birth,
            lambda: away.is_sealed(1),
            lambda: away.write(1, [row(1, b"x")]),
            lambda: away.clean_up(1),
        ):
            with pytest.raises(StoreAway, match=r"d(oes|id) not answer"):
                ask()
        assert "does not answer" in (away.trouble() or "")


@pytest.mark.django_db(databases="__all__")
class TestOrmViewStore(ViewStoreContract):
    def make_store(self) -> ViewStore:
        return OrmViewStore()

    def empty(self) -> None:
        models.ViewRow.objects.all().delete()
        models.Seal.objects.all().delete()


@pytest.mark.django_db(databases="__all__")
@pytest.mark.skipif(settings.DATABASES["views"]["ENGINE"] != SQLITE, reason="They read plans as SQLite tells them.")
class TestPlansOfSqlite:
    @pytest.fixture
    def store(self) -> OrmViewStore:
        return OrmViewStore()

    def test_cleaning_up_begins_at_the_new_rows(self, store):
        store.write(1, [row(1, b"a")])
        with CaptureQueriesContext(connections["views"]) as queries:
            store.clean_up(1)
        (statement,) = [query["sql"] for query in queries if query["sql"].startswith("DELETE")]
        with connections["views"].cursor() as cursor:
            plan = [step[3] for step in cursor.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()]
        assert [step for step in plan if step.startswith("SCAN")] == []
        assert [step.split(" USING")[0] for step in plan if step.startswith("SEARCH")] == [
            "SEARCH views_layer_viewrow",
            "SEARCH fresh",
            "SEARCH stale",
        ]

    def test_addresses_are_read_from_the_index_alone(self, store):
        with CaptureQueriesContext(connections["views"]) as queries:
            store.addresses("acme", "media", [(HOUR, 0, 9)], 1)
        with connections["views"].cursor() as cursor:
            plan = [step[3] for step in cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}").fetchall()]
        assert ["USING COVERING INDEX" in step for step in plan] == [True]
