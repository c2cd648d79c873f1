"""What is learnt of a hub: by whom, from which events, and until when it is used."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from django.utils import timezone

from aggregations.event import Event
from batch import lessons
from batch.models import Learnt, Run
from events.models import Hub
from insights.lesson import Lesson
from speed import consumer
from tests import caches, log
from tests.simulation.world import ROLLUPS, empty
from views_layer import learnt, seam
from views_layer.ask import steady

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

HUB = "acme"
AT = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)


def _media(events: pa.Table, until: int) -> bytes:
    return " ".join(sorted(events["media"].to_pylist())).encode()


MEDIA = Lesson("media", 1, {"media": "media"}, "media IS NOT NULL AND NOT is_bot", _media)


@pytest.fixture(autouse=True)
def world(redis_url: str, monkeypatch) -> None:
    empty(redis_url)
    for module in ("batch.run", "speed.folding"):
        monkeypatch.setattr(f"{module}.ROLLUPS", ROLLUPS)
    monkeypatch.setattr("batch.lessons.LESSONS", (MEDIA,))
    caches.renew(monkeypatch)


def append(*names: str, is_bot: bool = False) -> None:
    log.append([Event(HUB, name, "view", AT, AT, 1, 1, 1, media=name, is_bot=is_bot) for name in names])


def known(lesson: Lesson = MEDIA) -> learnt.Learnt:
    """What a question finds."""
    return steady(lambda: learnt.learnt(Hub.objects.get(slug=HUB), lesson, seam.moment(HUB, [], timezone.now())))


def kept() -> list[tuple[int, bytes]]:
    return [(row.epoch, bytes(row.payload)) for row in Learnt.objects.order_by("epoch")]


@pytest.mark.parametrize("kind", [Run.DAILY, Run.REBUILD])
def test_a_run_from_the_raw_events_learns_from_what_it_publishes(kind) -> None:
    append("a", "b")
    append("robot", is_bot=True)
    run = seam.run_now(kind)
    assert kept() == [(run.epoch, b"a b")]
    found = known()
    assert (found.payload, found.epoch, found.cut) == (b"a b", run.epoch, seam.status(timezone.now())["cut"])


def test_an_hourly_run_learns_nothing_and_what_was_learnt_stays_in_use() -> None:
    append(*map(str, range(20)))
    daily = seam.run_now(Run.DAILY)
    append("late")
    seam.run_now(Run.HOURLY)
    assert (known().epoch, b"late" in known().payload, len(kept())) == (daily.epoch, False, 1)


def test_a_hub_that_has_grown_by_more_than_a_tenth_is_learnt_anew_by_who_asks() -> None:
    append("a", "b")
    seam.run_now(Run.DAILY)
    append("c")
    hourly = seam.run_now(Run.HOURLY)
    assert (known().payload, known().epoch) == (b"a b c", hourly.epoch)


def test_what_no_daily_run_has_learnt_yet_is_learnt_by_who_asks_and_kept() -> None:
    append("a")
    hourly = seam.run_now(Run.HOURLY)
    assert kept() == []
    assert known().payload == b"a"
    assert kept() == [(hourly.epoch, b"a")]


def test_the_worker_learns_what_is_missing_once_for_each_epoch() -> None:
    append("a")
    hourly = seam.run_now(Run.HOURLY)
    lessons.learn_missing()
    assert kept() == [(hourly.epoch, b"a")]
    Learnt.objects.all().delete()
    lessons.learn_missing()
    assert kept() == []
    grown = [str(number) for number in range(9)]
    append(*grown)
    second = seam.run_now(Run.HOURLY)
    lessons.learn_missing()
    assert [epoch for epoch, _ in kept()] == [second.epoch]


def test_before_the_first_publication_it_is_learnt_from_the_log_each_time() -> None:
    append("a")
    consumer.apply_new(log.event_log())
    found = known()
    assert (found.payload, found.epoch, found.cut, kept()) == (b"a", 0, {}, [])


def test_another_version_is_learnt_anew() -> None:
    append("a")
    seam.run_now(Run.DAILY)
    shouted = Lesson("media", 2, MEDIA.columns, MEDIA.where, lambda events, until: _media(events, until).upper())
    assert (known().payload, known(shouted).payload) == (b"a", b"A")


def test_the_next_daily_run_makes_it_stale_and_the_one_after_deletes_it() -> None:
    append("a")
    first = seam.run_now(Run.DAILY)
    second = seam.run_now(Run.DAILY)
    assert (known().epoch, [epoch for epoch, _ in kept()]) == (second.epoch, [first.epoch, second.epoch])
    third = seam.run_now(Run.HOURLY)
    assert (known().epoch, [epoch for epoch, _ in kept()]) == (second.epoch, [second.epoch])
    assert third.epoch > second.epoch


def test_a_lesson_that_fails_keeps_no_number_back(monkeypatch, caplog) -> None:
    def fail(events: pa.Table, until: int) -> bytes:
        raise ZeroDivisionError

    broken = Lesson("broken", 1, MEDIA.columns, MEDIA.where, fail)
    monkeypatch.setattr("batch.lessons.LESSONS", (broken, MEDIA))
    append("a")
    run = seam.run_now(Run.DAILY)
    assert (run.published_at is not None, kept()) == (True, [(run.epoch, b"a")])
    assert "broken of acme could not be learnt" in caplog.text
    with pytest.raises(ZeroDivisionError):
        known(broken)


def test_it_is_the_same_whatever_was_deleted() -> None:
    append("a", "b")
    run = seam.run_now(Run.DAILY)
    before = kept()
    Learnt.objects.all().delete()
    assert lessons.kept(HUB, MEDIA, run.epoch) is None
    assert known().payload == b"a b"
    assert kept() == before
