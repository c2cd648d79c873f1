"""The nudge: any number of appends, few messages."""

import threading

import pytest
from kombu.exceptions import OperationalError

from speed import buffers, nudge, tasks

pytestmark = pytest.mark.usefixtures("redis_url")


@pytest.fixture
def sent(monkeypatch) -> list[dict]:
    found: list[dict] = []
    monkeypatch.setattr(nudge.apply_log, "apply_async", lambda **options: found.append(options))
    return found


def test_one_message_is_on_its_way_at_most(sent: list[dict]) -> None:
    assert [nudge.send() for _ in range(3)] == [True, False, False]
    assert sent == [{"retry": False}]


def test_a_consumer_that_begins_may_be_woken_again(sent: list[dict], monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(tasks, "apply_new", lambda: seen.append(nudge.send()))
    nudge.send()
    tasks.apply_log()
    assert (seen, len(sent)) == ([True], 2)


def test_a_message_that_was_lost_delays_no_longer_than_it_counts(sent: list[dict]) -> None:
    nudge.send()
    left = buffers.client().pttl(f"{buffers.PREFIX}nudged")
    assert 0 < left <= nudge.WAITING_MS


@pytest.mark.parametrize("error", [OperationalError("away"), ValueError("a fault")])
def test_the_thread_outlives_what_goes_wrong(monkeypatch, error: Exception) -> None:
    tried, twice = [], threading.Event()

    def away() -> None:
        tried.append(1)
        if len(tried) == 2:
            twice.set()
        raise error

    monkeypatch.setattr(nudge, "send", away)
    nudger = nudge.Nudger()
    nudger.nudge()
    while not twice.wait(0.02):
        nudger.nudge()
    assert nudger._thread
    assert nudger._thread.is_alive()
