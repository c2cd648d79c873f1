"""The archive: every event once, in files of bounded length, whatever died in between."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.utils import timezone

from aggregations.event import Event
from batch import archive, ledger
from batch.models import ArchiveFile
from events.cuts import cut_position, record_cut
from events.log import event_log
from tests import log
from tests.simulation.world import empty

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

HUBS = ("acme", "zoo")
COUNT = 40


@pytest.fixture(autouse=True)
def world(redis_url: str, monkeypatch) -> None:
    """One epoch of 40 events in 10 chunks, by two hubs in turns, the latest first; small windows."""
    empty(redis_url)
    monkeypatch.setattr(archive, "EVENTS_AT_ONCE", 4)
    monkeypatch.setattr(archive, "EVENTS_HELD", 12)
    for first in range(0, COUNT, 4):
        log.append(
            [
                Event(HUBS[n % 2], f"e{n}", "view", 1_000 - n // 2, 1, 1, 1, 1, title="x")
                for n in range(first, first + 4)
            ]
        )
    record_cut(1, event_log().head(), timezone.now())


def add() -> list[ArchiveFile]:
    return archive.add_range(event_log(), 1, {}, cut_position(1))


def held() -> list[tuple[str, int]]:
    """Hub and occurrence of every event that readers of the epoch see."""
    tables = [pq.read_table(path).to_pydict() for path in archive.paths(archive.visible(1))]
    assert all(a <= b for table in tables for a, b in pairwise(zip(table["occurred_at"], table["id"], strict=True)))
    return sorted((hub, at) for table in tables for hub, at in zip(table["hub"], table["occurred_at"], strict=True))


EVERY_EVENT = sorted((HUBS[n % 2], 1_000 - n // 2) for n in range(COUNT))


def test_a_long_range_is_several_files_of_each_hub() -> None:
    files = [(file.path, file.event_count, file.last_at - file.first_at + 1) for file in add()]
    names = ["0000000001.parquet", "0000000001-0001.parquet", "0000000001-0002.parquet", "0000000001-0003.parquet"]
    sizes = [6, 6, 6, 2]
    expected = [(f"{hub}/{name}", n, n) for name, n in zip(names, sizes, strict=True) for hub in HUBS]
    assert (files, held()) == (expected, EVERY_EVENT)


def test_a_range_that_is_added_again_in_other_windows_holds_every_event_once(monkeypatch) -> None:
    add()
    add()
    monkeypatch.setattr(archive, "EVENTS_HELD", 20)
    add()
    assert (Counter(held()), ArchiveFile.objects.count()) == (Counter(EVERY_EVENT), 4)


def test_files_are_joined_up_to_a_bound(monkeypatch) -> None:
    monkeypatch.setattr(archive, "EVENTS_HELD", 4)
    add()
    monkeypatch.setattr(archive, "EVENTS_HELD", 8)
    before = archive.visible(1).count()
    assert (before, archive.compact(1), archive.compact(1)) == (20, 20, 0)
    assert (sorted(file.event_count for file in archive.visible(1)), held()) == ([4, 4, 8, 8, 8, 8], EVERY_EVENT)


def test_a_compaction_that_died_between_two_files_goes_on(monkeypatch) -> None:
    monkeypatch.setattr(archive, "EVENTS_HELD", 4)
    add()
    monkeypatch.setattr(archive, "EVENTS_HELD", 8)
    record, done = archive._record, []

    def dying(file: ArchiveFile) -> ArchiveFile:
        if len(done) == 1:
            raise InterruptedError
        done.append(file)
        return record(file)

    with monkeypatch.context() as patch:
        patch.setattr(archive, "_record", dying)
        with pytest.raises(InterruptedError):
            archive.compact(1)
    monkeypatch.setattr(archive, "EVENTS_HELD", 4)
    add()
    monkeypatch.setattr(archive, "EVENTS_HELD", 8)
    archive.compact(1)
    assert (sorted(file.event_count for file in archive.visible(1)), held()) == ([4, 4, 8, 8, 8, 8], EVERY_EVENT)


def test_a_lost_archive_is_written_again_in_windows() -> None:
    add()
    for path in archive.paths(archive.visible(1)):
        Path(path).unlink()
    assert (archive.restore(event_log(), 1, lambda: None), held()) == (8, EVERY_EVENT)


def test_a_restore_that_lost_its_claim_changes_no_record() -> None:
    add()
    for path in archive.paths(archive.visible(1)):
        Path(path).unlink()
    before = list(ArchiveFile.objects.order_by("pk").values())

    def fence() -> None:
        raise ledger.Fenced("A newer claim has it.")

    with pytest.raises(ledger.Fenced):
        archive.restore(event_log(), 1, fence)
    assert list(ArchiveFile.objects.order_by("pk").values()) == before
