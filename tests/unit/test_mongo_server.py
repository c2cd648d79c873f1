"""What the log asks of a MongoDB server, and what it does where an answer is lost."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, WriteConcernError

from aggregations.event import Event
from events.intake import Batch, Intake, Outcome
from events.log import Account, AppendTooSlow, ChunkTooLarge, LogAway, LogBusy, LogUnfit, LogUnsure, Rejection
from events.logs.mongo import MongoEventLog
from events.logs.mongo.turn import Turn
from events.models import RejectedEvent
from statsproject import checks
from tests import mongo
from tests.unit.test_copy_log import draft
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SHOW = "from statsproject import settings; print(settings.EVENT_LOG, settings.EVENT_LOG_PARTITION)"
EVENT = Event("acme", "e1", "view", 1, 1, 1, 1, 1)


def shown(tmp_path, **environment: str) -> str:
    environ = os.environ | {"DATA_DIR": str(tmp_path)} | environment
    done = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    return (done.stdout or done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("url", "partition", "said"),
    [
        (
            "mongodb://ann:secret@db1,db2/stats?replicaSet=rs0",
            "web-2",
            "{'BACKEND': 'events.logs.mongo.MongoEventLog', 'OPTIONS':"
            " {'url': 'mongodb://ann:secret@db1,db2/stats?replicaSet=rs0'}} web-2",
        ),
        ("", "", "{'BACKEND': 'events.logs.orm.OrmEventLog', 'OPTIONS': {}} main"),
        ("mongodb://ann:secret@db1/stats?w=1", "", "EVENT_LOG_URL sets w, which is not to be chosen"),
        ("mongodb://ann:secret@db1/My.Stats", "", "EVENT_LOG_URL names the database 'My.Stats'"),
        ("", "Web 2", "EVENT_LOG_PARTITION='Web 2' names no partition"),
    ],
)
def test_settings_name_a_log_and_a_partition_or_say_what_is_wrong(tmp_path, url, partition, said):
    assert said in shown(tmp_path, EVENT_LOG_URL=url, EVENT_LOG_PARTITION=partition)


def test_a_server_that_is_away_is_said():
    trouble = MongoEventLog("mongodb://ann:secret@127.0.0.1:9/stats").trouble()
    assert trouble is not None
    assert ("does not serve" in trouble, "secret" in trouble) == (True, False)


@pytest.mark.services
@pytest.mark.django_db(databases="__all__", transaction=True)
class TestServer:
    @pytest.fixture
    def log(self) -> Iterator[MongoEventLog]:
        with mongo.fresh_log() as log:
            yield log

    def append(self, log: MongoEventLog) -> None:
        with log.writer() as writer:
            writer.claim_ids([("acme", "e1")])
            writer.append([EVENT], 1)
            writer.reject([Rejection("acme", "too_old", "why", b"{}", 1)])
            writer.account("acme", 0, Account(received=2, accepted=1, rejected=1))

    def stored(self, log: MongoEventLog) -> list[str]:
        return [event.id for chunk in log.read({}) for event in chunk.events]

    def test_a_log_without_its_indexes_is_refused(self):
        with (
            mongo.fresh_url() as url,
            pytest.raises(LogUnfit, match=r"lacks the indexes .*one_visit_per_number.*run manage.py"),
        ):
            MongoEventLog(url).head()

    def test_a_server_that_does_not_acknowledge_is_refused(self, log, monkeypatch):
        def refuse(*args, **kwargs):
            raise WriteConcernError("no journal", 100)

        monkeypatch.setattr(Collection, "update_one", refuse)
        with pytest.raises(LogUnfit, match="does not acknowledge a write by the journals of a majority"):
            MongoEventLog(log._server._url).head()

    def test_a_server_alone_is_warned_of(self, log, monkeypatch):
        monkeypatch.setattr(checks, "event_log", lambda: log)
        assert [(said.id, said.msg) for said in checks.check_event_log()] == [
            (
                "affluence.W002",
                "The event log's MongoDB is one server alone: what its disk loses is lost. Make it a replica set.",
            )
        ]

    def test_an_append_whose_answer_is_lost_is_one(self, log, monkeypatch):
        insert = Collection.insert_one

        def lose_the_answer(collection, one, **rest):
            insert(collection, one, **rest)
            if collection.name == "chunks":
                raise AutoReconnect("connection closed")

        with monkeypatch.context() as patch:
            patch.setattr(Collection, "insert_one", lose_the_answer)
            self.append(log)
        with log.writer() as writer:
            assert writer.claim_ids([("acme", "e1")]) == {("acme", "e1")}
        assert self.stored(log) == ["e1"]

    def test_an_append_that_got_lost_is_none_for_ever(self, log, monkeypatch):
        insert, lost = Collection.insert_one, []

        def lose(collection, one, **rest):
            if collection.name == "chunks" and not lost:
                lost.append((collection, dict(one)))
                raise AutoReconnect("connection closed")
            return insert(collection, one, **rest)

        monkeypatch.setattr(Collection, "insert_one", lose)
        with pytest.raises(LogBusy, match="nothing was written"):
            self.append(log)
        with pytest.raises(Exception, match="duplicate"):  # it arrives after all
            insert(*lost[0])
        self.append(log)
        assert (self.stored(log), log.head()) == (["e1"], {"main": 2})

    def test_it_is_said_when_nobody_knows_and_the_retry_counts_once(self, log, monkeypatch):
        insert, find = Collection.insert_one, Collection.find_one

        def lose_the_answer(collection, one, **rest):
            insert(collection, one, **rest)
            if collection.name != "chunks":
                return
            monkeypatch.setattr(Collection, "find_one", away)
            raise AutoReconnect("connection closed")

        def away(*args, **rest):
            raise AutoReconnect("connection closed")

        with log.writer() as writer:
            writer.claim_ids([("acme", "e0")])
        for name in ("SETTLE_S", "SETTLE_PAUSE_S"):
            monkeypatch.setattr(f"events.logs.mongo.writer.{name}", 0.01)
        monkeypatch.setattr(Collection, "insert_one", lose_the_answer)
        with pytest.raises(LogUnsure, match="one with the same id counts once"):
            self.append(log)
        monkeypatch.setattr(Collection, "insert_one", insert)
        monkeypatch.setattr(Collection, "find_one", find)
        with log.writer() as writer:
            assert writer.claim_ids([("acme", "e1")]) == {("acme", "e1")}
        assert self.stored(log) == ["e1"]

    def test_what_sql_missed_of_a_chunk_is_taken_over_once(self, log, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(
                "events.logs.mongo.projection.Projection.follow", lambda *rest: None
            )  # the process dies there
            self.append(log)
        before = RejectedEvent.objects.count()
        found = [MongoEventLog(log._server._url).accounts(0, 1) for _ in range(2)]
        account = Account(received=2, accepted=1, rejected=1, stored=1)
        (chunk,) = log._server["chunks"].find({})
        assert (before, found, RejectedEvent.objects.count()) == (0, [{0: account}] * 2, 1)
        assert "rejections" not in chunk

    def test_removed_events_that_sql_missed_are_counted_once(self, log, monkeypatch):
        self.append(log)
        with monkeypatch.context() as patch:
            patch.setattr("events.logs.mongo.projection.Projection.take_removed", lambda *rest: None)
            log.remove({"main": 1}, lambda event: True)
        between = log.accounts(0, 1)
        log.remove({"main": 1}, lambda event: True)
        log.remove({"main": 1}, lambda event: True)
        account = Account(received=2, accepted=1, rejected=1, stored=1)
        done = Account(received=2, accepted=1, rejected=1, removed=1, stored=0)
        assert (between, log.accounts(0, 1)) == ({0: account}, {0: done})

    def test_the_turn_of_a_writer_that_died_is_taken(self, log, monkeypatch):
        monkeypatch.setattr("events.logs.mongo.turn.Turn.give_back", lambda *rest: None)
        with log.writer() as writer:
            writer.claim_ids([("acme", "e0")])
        monkeypatch.setattr("events.logs.mongo.turn.LEASE_S", 0.3)
        self.append(log)
        assert self.stored(log) == ["e1"]

    def test_who_waits_for_the_turn_is_next_also_beside_a_writer_that_never_rests(self, log):
        over, turns = threading.Event(), []

        def is_waited_for() -> bool:
            return over.is_set() or log._server["turns"].find_one({"_id": "numbering"}).get("next") is not None

        def write_without_rest() -> None:
            while not over.is_set():
                turn = Turn(log._server)
                turn.take()
                until(is_waited_for, 20)
                turn.give_back(True)
                turns.append(turn)

        restless = threading.Thread(target=write_without_rest)
        restless.start()
        try:
            for _ in range(10):
                turn, before = Turn(log._server), len(turns)
                turn.take()
                assert len(turns) - before <= 1
                turn.give_back(True)
        finally:
            over.set()
            restless.join()

    def test_a_turn_is_not_left_free_for_a_writer_that_died_while_it_waited(self, log, monkeypatch):
        monkeypatch.setattr("events.logs.mongo.turn.NEXT_S", 0.1)
        self.append(log)
        log._server["turns"].update_one({"_id": "numbering"}, {"$set": {"next": "dead"}})
        turn = Turn(log._server)
        turn.take()
        turn.give_back(False)
        state = log._server["turns"].find_one({"_id": "numbering"})
        assert (state["holder"], state["next"]) == (None, None)

    def test_who_gives_up_waiting_is_not_the_next_any_more(self, log, monkeypatch):
        monkeypatch.setattr("events.logs.mongo.turn.WAIT_S", 0.1)
        holding, waiting = Turn(log._server), Turn(log._server)
        holding.take()
        with pytest.raises(LogBusy, match="nothing was written"):
            waiting.take()
        assert log._server["turns"].find_one({"_id": "numbering"})["next"] is None

    def test_an_emptied_log_gets_another_birth(self, log):
        first = log.birth()
        again = MongoEventLog(log._server._url).birth()
        log._server["births"].delete_many({})
        assert (first == again, first == MongoEventLog(log._server._url).birth()) == (True, False)

    def test_a_visitor_is_forgotten_also_by_a_process_that_has_long_not_written(self, log):
        with log.writer() as writer:
            writer.save_numbering([("acme", b"k" * 16, 1)], [])
            writer.append([EVENT], 1)
        self.append(MongoEventLog(log._server._url))
        with log.writer() as writer:
            writer.forget("acme", [1])
            writer.append([], 1)
        with log.writer() as writer:
            assert (log.head(), writer.visitors([("acme", b"k" * 16)])) == ({"main": 3}, {})

    def test_what_is_too_large_for_a_chunk_becomes_several(self, log, monkeypatch):
        monkeypatch.setattr("events.logs.mongo.writer.LARGEST", 2_500)
        drafts = [draft(number) for number in range(3)]
        rejections = [Rejection("acme", "too_old", "why", b"x" * 200, number) for number in range(3)]
        outcomes = Intake(log).append([Batch(drafts, rejections, received=Counter(acme=6)), Batch([draft(0)])])
        assert outcomes == [Outcome(3, 0), Outcome(0, 1)]
        assert sorted(self.stored(log)) == ["e0", "e1", "e2"]
        now = int(time.time()) // 3_600
        (account,) = log.accounts(now - 1, now + 1).values()
        assert (account, RejectedEvent.objects.count()) == (Account(7, 3, 1, 3, stored=3), 3)

    def test_what_takes_longer_than_a_turn_becomes_several(self, log, monkeypatch):
        slow = iter([AppendTooSlow("It took more than 10 seconds.")])

        def refuse_lost(turn: Turn) -> None:
            if error := next(slow, None):
                raise error

        monkeypatch.setattr(Turn, "refuse_lost", refuse_lost)
        monkeypatch.setattr("events.intake.SLOW_FROM", 4)
        assert Intake(log).append([Batch([draft(number) for number in range(4)])]) == [Outcome(4, 0)]
        assert [len(chunk.events) for chunk in log.read({})] == [2, 2]

    def test_an_event_that_fits_into_no_chunk_is_an_error(self, log, monkeypatch):
        monkeypatch.setattr("events.logs.mongo.writer.LARGEST", 10)
        with pytest.raises(ChunkTooLarge, match="do not fit into one chunk, which holds 10"):
            Intake(log).append([Batch([draft(0)])])

    def test_a_log_that_is_away_is_told_to_readers_and_writers(self, log, monkeypatch):
        def away(*args, **rest):
            raise AutoReconnect("connection closed")

        for name in ("find_one", "insert_one", "aggregate", "find"):
            monkeypatch.setattr(Collection, name, away)
        with pytest.raises(LogBusy, match="nothing was written"):
            self.append(log)
        for read in (log.head, log.birth, lambda: list(log.read({}, {"main": 1})), lambda: log.received_at("main", 1)):
            with pytest.raises(LogAway, match="MongoDB does not serve"):
                read()
