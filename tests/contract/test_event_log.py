"""What every backend of the event log promises."""

import threading

import pytest
from django.db import OperationalError, connections
from django.test.utils import CaptureQueriesContext

from aggregations.event import Event
from events.log import (
    FREQUENT,
    SAMPLES,
    Account,
    Chunk,
    EventLog,
    LogBusy,
    LogCorrupt,
    LogGap,
    LogUnsure,
    Rejection,
    VisitSpan,
    WriterFenced,
)
from events.logs.orm import OrmEventLog
from events.models import Chunk as ChunkRow
from events.models import RejectedCount, RejectedEvent

HOLDING = {
    "sqlite": ["BEGIN IMMEDIATE"],
    "postgresql": ["BEGIN", "SELECT pg_advisory_xact_lock(hashtextextended('affluence log', 0))"],
}
IMPATIENT = {"sqlite": "PRAGMA busy_timeout = 1", "postgresql": "SET lock_timeout = 10"}

AT_COMMIT = (
    "CREATE CONSTRAINT TRIGGER {name} AFTER INSERT ON events_chunk DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION {name}()"
)
END_AT_COMMIT = (
    "CREATE FUNCTION end_backend() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
    AT_COMMIT.format(name="end_backend"),
)
REFUSED_AT_COMMIT = (
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$",
    AT_COMMIT.format(name="refuse"),
)


class Boom(Exception):
    pass


def event(number: int, **fields) -> Event:
    return Event(fields.pop("hub", "acme"), f"e{number}", "view", number, number, 1, 1, 1, **fields)


class EventLogContract:
    """Inherited by a test class for each backend, which provides the hooks below."""

    def make_log(self) -> EventLog:
        raise NotImplementedError

    def take_sequence(self, sequence: int) -> None:
        """Append chunk `sequence` behind the back of an open writer."""
        raise NotImplementedError

    def lose(self, sequence: int) -> None:
        raise NotImplementedError

    def damage(self, sequence: int) -> None:
        raise NotImplementedError

    def rejected(self) -> list[tuple]:
        raise NotImplementedError

    def counted(self) -> list[tuple]:
        """Hub, code, day, count and count of public callers of all rejections, in this order."""
        raise NotImplementedError

    @pytest.fixture
    def log(self) -> EventLog:
        return self.make_log()

    def fill(self, log: EventLog, count: int) -> None:
        for number in range(1, count + 1):
            with log.writer() as writer:
                writer.append([event(number)], received_at=number)

    def test_it_begins_empty(self, log):
        assert (log.head(), list(log.read({})), log.count_between({}, {})) == ({}, [], 0)

    def test_it_gives_back_what_was_appended(self, log):
        rich = event(1, title="É 目", properties={"a": 1, "b": 1.5, "c": True, "d": "x"}, visitor_key=b"\0" * 16)
        with log.writer() as writer:
            assert writer.append([rich, event(2)], received_at=5) == 1
        assert list(log.read({})) == [Chunk("main", 1, 5, [rich, event(2)])]

    def test_it_numbers_chunks_without_gap(self, log):
        self.fill(log, 3)
        with pytest.raises(Boom), log.writer() as writer:
            writer.append([event(9)], received_at=9)
            raise Boom
        self.fill(log, 1)
        assert [chunk.sequence for chunk in log.read({})] == [1, 2, 3, 4]
        assert log.head() == {"main": 4}

    def test_it_appends_twice_in_one_write(self, log):
        with log.writer() as writer:
            assert [writer.append([event(n)], received_at=n) for n in (1, 2)] == [1, 2]
        assert log.head() == {"main": 2}

    def test_it_reads_ranges(self, log):
        self.fill(log, 5)
        found = [chunk.sequence for chunk in log.read({"main": 1}, {"main": 4})]
        assert (found, log.count_between({"main": 1}, {"main": 4})) == ([2, 3, 4], 3)

    def test_it_keeps_partitions_apart(self, log):
        for partition in ("a", "b", "a"):
            with log.writer(partition) as writer:
                writer.append([event(1)], received_at=1)
        assert log.head() == {"a": 2, "b": 1}
        assert [(chunk.partition, chunk.sequence) for chunk in log.read({"a": 1})] == [("a", 2), ("b", 1)]

    def test_it_writes_all_or_nothing(self, log):
        with pytest.raises(Boom), log.writer() as writer:
            writer.claim_ids([("acme", "e1")])
            writer.save_numbering([("acme", b"k" * 16, 1)], [("acme", 1, b"v" * 16, VisitSpan(1, 1, 0, 0))])
            writer.append([event(1)], received_at=1)
            writer.reject([Rejection("acme", "too_old", "why", b"{}", 1)])
            raise Boom
        assert (log.head(), self.rejected()) == ({}, [])
        with log.writer() as writer:
            seen = (
                writer.claim_ids([("acme", "e1")]),
                writer.visitors([("acme", b"k" * 16)]),
                writer.last_numbers(["acme"]),
                writer.visits([("acme", 1)]),
            )
        assert seen == (set(), {}, {"acme": (0, 0)}, {("acme", 1): {}})

    def test_it_fences_a_zombie(self, log):
        self.fill(log, 1)
        with pytest.raises(WriterFenced), log.writer() as writer:
            self.take_sequence(2)
            writer.append([event(2)], received_at=2)

    def test_it_fences_a_number_that_is_given_twice(self, log):
        with log.writer() as writer:
            writer.save_numbering([("acme", b"a" * 16, 1)], [])
        with pytest.raises(WriterFenced), log.writer() as writer:
            writer.save_numbering([("acme", b"b" * 16, 1)], [])

    def test_it_stops_at_a_gap(self, log):
        self.fill(log, 4)
        self.lose(3)
        found = []
        with pytest.raises(LogGap, match="Chunk 3 of partition 'main'"):
            found.extend(log.read({"main": 1}))
        with pytest.raises(LogGap):
            list(log.read({"main": 2}))
        reading = log.read({})
        assert [next(reading).sequence for _ in range(2)] == [1, 2]

    def test_it_stops_at_a_lost_end(self, log):
        self.fill(log, 2)
        with pytest.raises(LogGap):
            list(log.read({}, {"main": 3}))

    def test_it_does_not_give_a_damaged_chunk(self, log):
        self.fill(log, 2)
        self.damage(2)
        reading = log.read({})
        assert next(reading).sequence == 1
        with pytest.raises(LogCorrupt, match="Chunk 2"):
            next(reading)

    def test_a_writer_is_not_current_where_another_partition_has_numbered(self, log):
        def number(partition: str, key: bytes, visitor: int) -> bool:
            with log.writer(partition) as writer:
                was_current = writer.is_current(1)
                writer.save_numbering([("acme", key * 16, visitor)], [])
                writer.append([event(visitor)], received_at=1)
            return was_current

        assert [number("a", b"k", 1), number("a", b"l", 2)] == [False, True]
        assert [number("b", b"m", 3), number("b", b"n", 4)] == [False, True]
        with log.writer("a") as writer:
            assert not writer.is_current(2)

    def test_it_has_one_birth(self, log):
        assert (log.birth() == log.birth(), len(log.birth())) == (True, 16)

    def test_it_knows_whether_a_writer_is_current(self, log):
        self.fill(log, 2)
        with log.writer() as writer:
            assert [writer.is_current(sequence) for sequence in (1, 2, 3)] == [False, True, False]

    def test_it_claims_an_id_once_for_ever(self, log):
        with log.writer() as writer:
            assert writer.claim_ids([("acme", "a"), ("acme", "b"), ("other", "a")]) == set()
        with log.writer() as writer:
            assert writer.claim_ids([("acme", "a"), ("acme", "c"), ("other", "b")]) == {("acme", "a")}
        with log.writer() as writer:
            assert writer.claim_ids([("acme", "c"), ("other", "b")]) == {("acme", "c"), ("other", "b")}
            assert writer.claim_ids([]) == set()

    def test_it_claims_many_ids(self, log):
        ids = [("acme", f"e{n}") for n in range(2500)]
        with log.writer() as writer:
            writer.claim_ids(ids[::2])
        with log.writer() as writer:
            assert writer.claim_ids(ids) == set(ids[::2])

    def test_it_keeps_the_numbering(self, log):
        with log.writer() as writer:
            writer.save_numbering(
                [("acme", b"a" * 16, 1), ("acme", b"b" * 16, 2), ("other", b"a" * 16, 1)],
                [("acme", 1, b"v" * 16, VisitSpan(1, 1, 10, 20)), ("acme", 1, b"w" * 16, VisitSpan(2, 2, 90, 90))],
            )
        with log.writer() as writer:
            writer.save_numbering([], [("acme", 1, b"v" * 16, VisitSpan(1, 1, 5, 30))])
        with log.writer() as writer:
            assert writer.visitors([("acme", b"b" * 16), ("acme", b"x" * 16), ("other", b"a" * 16)]) == {
                ("acme", b"b" * 16): 2,
                ("other", b"a" * 16): 1,
            }
            assert writer.last_numbers(["acme", "other", "none"]) == {"acme": (2, 2), "other": (1, 0), "none": (0, 0)}
            assert [log.visitor_number("acme", key * 16) for key in (b"b", b"x")] == [2, None]
            assert writer.visits([("acme", 1), ("acme", 2)]) == {
                ("acme", 1): {b"v" * 16: VisitSpan(1, 1, 5, 30), b"w" * 16: VisitSpan(2, 2, 90, 90)},
                ("acme", 2): {},
            }

    def save_visits(self, log: EventLog, *spans: VisitSpan) -> None:
        with log.writer() as writer:
            writer.save_numbering([], [("acme", 1, b"%016d" % span.number, span) for span in spans])

    def seen(self, log: EventLog, *windows: tuple[int, int]) -> list[int]:
        """The numbers of the first visits of the windows."""
        with log.writer() as writer:
            return sorted(span.number for span in writer.first_visits("acme", 1, windows).values())

    def test_it_tells_who_is_frequent(self, log):
        spans = [VisitSpan(n, n, n, n) for n in range(1, FREQUENT + 3)]
        self.save_visits(log, *spans[:FREQUENT])
        found = []
        for span in spans[FREQUENT:]:
            self.save_visits(log, span)
            self.save_visits(log, spans[0])
            with log.writer() as writer:
                found.append(writer.frequent([("acme", 1), ("acme", 2), ("other", 1)]))
        assert found == [{("acme", 1): FREQUENT + 1}, {("acme", 1): FREQUENT + 2}]

    def test_it_finds_visits_of_a_frequent_visitor_by_key(self, log):
        spans = [VisitSpan(n, n, n, n + 1) for n in range(1, 1502)]
        self.save_visits(log, *spans)
        keys = [b"%016d" % span.number for span in spans[:1400]]
        with log.writer() as writer:
            assert writer.named_visits("acme", 1, [*keys, b"x" * 16]) == dict(zip(keys, spans, strict=False))

    def test_it_finds_the_first_visit_of_a_window(self, log):
        spans = [VisitSpan(n, n, n * 10, n * 10 + 5) for n in range(1, FREQUENT + 2)]
        self.save_visits(log, *spans)
        before = self.seen(log, (0, 9), (16, 19), (15, 16), (35, 60), (FREQUENT * 10 + 16, 10**6))
        number = FREQUENT + 2
        self.save_visits(log, VisitSpan(number, number, 18, 47), VisitSpan(3, 3, 30, 52))
        after = [self.seen(log, window) for window in ((16, 17), (18, 19), (35, 60), (48, 49), (53, 54), (54, 60))]
        self.save_visits(log, VisitSpan(number, number, 18, 10**6), VisitSpan(1, 1, 3, 15))
        at_last = [self.seen(log, window) for window in ((0, 2), (3, 3), (20, 20), (10**6, 10**6), (10**6 + 1, 10**7))]
        assert (before, after, at_last) == (
            [1, 3],
            [[], [number], [number], [3], [5], [5]],
            [[], [1], [number], [number], []],
        )

    def test_a_forgotten_visitor_comes_back_as_another_and_its_number_stays_taken(self, log):
        with log.writer() as writer:
            writer.save_numbering([("acme", b"v" * 16, 1)], [("acme", 1, b"a" * 16, VisitSpan(1, 1, 5, 9))])
        with log.writer() as writer:
            writer.forget("acme", [1, 7])
        with log.writer() as writer:
            known = writer.visitors([("acme", b"v" * 16)]), writer.named_visits("acme", 1, [b"a" * 16])
            assert (known, writer.last_numbers(["acme"])) == (({}, {}), {"acme": (1, 1)})

    def test_removed_events_leave_their_chunks_and_positions(self, log):
        for number in (1, 2, 3):
            with log.writer() as writer:
                writer.append([event(number), event(number + 10)], received_at=number)
        removed = log.remove({"main": 2}, lambda found: found.id in ("e1", "e11", "e12", "e3"))
        left = [(chunk.sequence, chunk.received_at, [e.id for e in chunk.events]) for chunk in log.read({})]
        assert (removed, left) == (3, [(1, 1, []), (2, 2, ["e2"]), (3, 3, ["e3", "e13"])])
        assert (log.count_between({}, log.head()), log.remove({"main": 2}, lambda found: found.id == "e1")) == (3, 0)

    def test_events_that_are_removed_side_by_side_are_counted_once(self, log):
        with log.writer() as writer:
            writer.append([event(1), event(2)], received_at=1)
            writer.account("acme", 0, Account(received=2, accepted=2))
        inside = []

        def is_removed(found) -> bool:
            if not inside:  # another process removes it between the reading of the chunk and its writing
                inside.append(True)
                log.remove({"main": 1}, lambda other: other.id == "e1")
            return found.id == "e1"

        log.remove({"main": 1}, is_removed)
        assert log.accounts(0, 1)[0] == Account(received=2, accepted=2, removed=1, stored=1)

    def test_it_keeps_what_became_of_the_events_of_an_hour(self, log):
        hour = 3_600_000
        for hub, at in (("acme", 5), ("acme", 6), ("other", hour + 7)):
            with log.writer() as writer:
                writer.append([event(at, hub=hub)], received_at=at)
                writer.account(hub, at // hour, Account(received=3, accepted=1, duplicates=1, rejected=1))
        log.remove({"main": 1}, lambda found: True)
        found = log.accounts(0, 2)
        assert found == {0: Account(6, 2, 2, 2, removed=1, stored=1), 1: Account(3, 1, 1, 1, stored=1)}
        assert (all(account.is_balanced for account in found.values()), log.accounts(1, 1)) == (True, {})

    @pytest.mark.parametrize("account", [Account(received=1), Account(1, accepted=1), Account(stored=1)])
    def test_an_account_that_does_not_add_up_is_known(self, account):
        assert not account.is_balanced

    def test_it_keeps_rejections(self, log):
        with log.writer() as writer:
            writer.reject([Rejection("acme", "too_old", "why", b'{"a":1}', 1_500)])
        assert self.rejected() == [("acme", "too_old", "why", b'{"a":1}', 1.5)]

    def test_it_keeps_a_rejection_with_a_key_once(self, log):
        first, other = b"a" * 16, b"b" * 16
        for keys in ([first, None, first], [first, None, other]):
            with log.writer() as writer:
                writer.reject([Rejection("acme", "too_old", "why", b"", 0, key=key) for key in keys])
        assert (len(self.rejected()), self.counted()) == (4, [("acme", "too_old", "1970-01-01", 4, 0)])

    def test_it_keeps_so_many_rejections_of_public_callers_and_counts_all(self, log):
        def reject(number: int, code: str = "too_old", received_at: int = 0, is_public: bool = True) -> None:
            with log.writer() as writer:
                writer.reject([Rejection("acme", code, "", b"", received_at, is_public=is_public)] * number)

        reject(SAMPLES - 1)
        reject(3, is_public=False)
        reject(5)
        reject(7)
        reject(2, code="unknown_hub")
        reject(1, received_at=86_400_000)
        assert (len(self.rejected()), self.counted()) == (
            SAMPLES + 3 + 2 + 1,
            [
                ("acme", "too_old", "1970-01-01", SAMPLES + 14, SAMPLES + 11),
                ("acme", "too_old", "1970-01-02", 1, 1),
                ("acme", "unknown_hub", "1970-01-01", 2, 2),
            ],
        )

    def test_it_lets_two_writers_take_turns(self, log):
        failed: list[Exception] = []

        def write(name: str) -> None:
            try:
                for number in range(15):
                    while True:
                        try:
                            with log.writer() as writer:
                                assert writer.claim_ids([("acme", f"{name}{number}")]) == set()
                                last = writer.last_numbers(["acme"])["acme"][0]
                                key = f"{name}{number}".encode().rjust(16)
                                if not writer.visitors([("acme", key)]):
                                    writer.save_numbering([("acme", key, last + 1)], [])
                                writer.append([event(number)], received_at=number)
                            break
                        except LogBusy:
                            continue
            except Exception as error:
                failed.append(error)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with log.writer() as writer:
            last = writer.last_numbers(["acme"])
        sequences = [chunk.sequence for chunk in log.read({})]
        assert (failed, last, sequences) == ([], {"acme": (30, 0)}, list(range(1, 31)))


@pytest.mark.django_db(databases="__all__", transaction=True)
class TestOrmEventLog(EventLogContract):
    def make_log(self) -> EventLog:
        return OrmEventLog()

    def take_sequence(self, sequence: int) -> None:
        ChunkRow.objects.create(partition="main", sequence=sequence, received_at=1, event_count=0, payload=b"")

    def lose(self, sequence: int) -> None:
        ChunkRow.objects.filter(sequence=sequence).delete()

    def damage(self, sequence: int) -> None:
        row = ChunkRow.objects.get(sequence=sequence)
        row.payload = bytes(row.payload)[:-1] + bytes([bytes(row.payload)[-1] ^ 1])
        row.save()

    def rejected(self) -> list[tuple]:
        return [
            (row.hub, row.code, row.detail, bytes(row.payload), row.received_at.timestamp())
            for row in RejectedEvent.objects.all()
        ]

    def counted(self) -> list[tuple]:
        rows = RejectedCount.objects.order_by("hub", "code", "day")
        return [(row.hub, row.code, row.day.isoformat(), row.count, row.public) for row in rows]

    @pytest.mark.skipif(connections["log"].vendor != "sqlite", reason="It reads plans as SQLite tells them.")
    def test_accounts_are_read_from_an_index_and_no_payload(self, log):
        with CaptureQueriesContext(connections["log"]) as said:
            log.accounts(0, 1)
        with connections["log"].cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {said[0]['sql']}")
            steps = [step for *_, step in cursor.fetchall() if "events_chunk" in step]
        assert [step.partition(" (")[0] for step in steps] == [
            "SEARCH events_chunk USING COVERING INDEX chunk_sizes_by_time"
        ]

    def test_it_is_busy_while_another_process_writes(self, log):
        other = connections["log"].copy()
        try:
            with other.cursor() as cursor:
                for statement in HOLDING[other.vendor]:
                    cursor.execute(statement)
                with connections["log"].cursor() as impatient:
                    impatient.execute(IMPATIENT[other.vendor])
                with pytest.raises(LogBusy, match="nothing was written"), log.writer():
                    pass
        finally:
            other.close()
            connections["log"].close()
        assert log.head() == {}

    def test_it_goes_on_after_the_server_broke_its_connection(self, log):
        if connections["log"].vendor != "postgresql":
            pytest.skip("SQLite is no server.")
        self.fill(log, 1)
        with connections["views"].cursor() as other, connections["log"].cursor() as own:
            own.execute("SELECT pg_backend_pid()")
            other.execute("SELECT pg_terminate_backend(%s)", own.fetchone())
        with pytest.raises(LogBusy):
            self.fill(log, 1)
        self.fill(log, 1)
        assert log.head() == {"main": 2}

    def test_nobody_knows_what_became_of_a_commit_whose_server_ended(self, log):
        if connections["log"].vendor != "postgresql":
            pytest.skip("SQLite is no server.")
        with connections["log"].cursor() as cursor:
            for statement in END_AT_COMMIT:
                cursor.execute(statement)
        with pytest.raises(LogUnsure, match="whether it was is unknown"):
            self.fill(log, 1)
        with connections["log"].cursor() as cursor:
            cursor.execute("DROP FUNCTION end_backend CASCADE")
        self.fill(log, 1)
        assert log.head() == {"main": 1}

    def test_a_commit_that_the_server_refuses_is_none(self, log):
        if connections["log"].vendor != "postgresql":
            pytest.skip("SQLite checks nothing as late.")
        with connections["log"].cursor() as cursor:
            for statement in REFUSED_AT_COMMIT:
                cursor.execute(statement)
        with pytest.raises(LogBusy, match="nothing was written"):
            self.fill(log, 1)
        with connections["log"].cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse CASCADE")
        assert log.head() == {}

    def test_it_is_busy_when_the_disk_is_full(self, log):
        with pytest.raises(LogBusy), log.writer() as writer:
            writer.append([event(1)], received_at=1)
            raise OperationalError("database or disk is full")
        assert log.head() == {}

    def test_it_reads_in_pages_of_bounded_size(self, log, monkeypatch):
        self.fill(log, 7)
        for name, value in (("BYTES_PER_PAGE", 250), ("CHUNKS_PER_PAGE", 3)):
            monkeypatch.setattr(f"events.logs.orm.{name}", value)
        assert [chunk.sequence for chunk in log.read({})] == list(range(1, 8))
