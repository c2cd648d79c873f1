"""The event log's contract, on MongoDB."""

from collections.abc import Iterator

import pytest

from events.log import EventLog
from events.logs.mongo.chunks import chunk_id
from tests import mongo
from tests.contract import test_event_log as contract


@pytest.mark.services
@pytest.mark.django_db(databases="__all__", transaction=True)
class TestMongoEventLog(contract.EventLogContract):
    rejected = contract.TestOrmEventLog.rejected
    counted = contract.TestOrmEventLog.counted

    @pytest.fixture
    def log(self) -> Iterator[EventLog]:
        with mongo.fresh_log() as self.made:
            yield self.made

    @property
    def chunks(self):
        return self.made._server.database["chunks"]

    def take_sequence(self, sequence: int) -> None:
        self.made._chunks.make_unusable("main", sequence, "another")

    def lose(self, sequence: int) -> None:
        self.chunks.delete_one({"_id": chunk_id("main", sequence)})

    def damage(self, sequence: int) -> None:
        payload = self.chunks.find_one({"_id": chunk_id("main", sequence)})["payload"]
        broken = payload[:-1] + bytes([payload[-1] ^ 1])
        self.chunks.update_one({"_id": chunk_id("main", sequence)}, {"$set": {"payload": broken}})

    def test_it_reads_in_pages_of_bounded_size(self, log, monkeypatch):
        self.fill(log, 7)
        for name, value in (("BYTES_PER_PAGE", 250), ("CHUNKS_PER_PAGE", 3)):
            monkeypatch.setattr(f"events.logs.mongo.chunks.{name}", value)
        assert [chunk.sequence for chunk in log.read({})] == list(range(1, 8))
