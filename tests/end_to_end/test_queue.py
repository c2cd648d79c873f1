"""The AMQP intake against a real RabbitMQ: everything once, whatever dies in between."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import amqp
import pytest
from django.db import OperationalError as DatabaseAway
from kombu import Connection

from events.directory import counted_since
from events.log import LogBusy, event_log
from events.models import Account, Hub, RejectedEvent
from events.queued import QueueIntake, Unusable, declare
from tests.services.rabbitmq import RabbitMQ
from tests.services.server import Missing

pytestmark = [pytest.mark.services, pytest.mark.django_db(databases="__all__", transaction=True)]
QUEUE = "affluence.events"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[RabbitMQ]:
    try:
        with RabbitMQ() as server:
            yield server
    except Missing as missing:
        pytest.skip(f"No RabbitMQ: {missing}")


@pytest.fixture
def channel(rabbitmq: RabbitMQ) -> Iterator[amqp.Channel]:
    """A channel that confirms, to an empty queue."""
    with Connection(rabbitmq.url) as connection:
        channel = connection.connect().channel()
        for name in (QUEUE, f"{QUEUE}.parked"):
            channel.queue_delete(name)
        declare(channel, QUEUE)
        yield channel


def publish(channel: amqp.Channel, *bodies: object, **properties: str) -> None:
    for body in bodies:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        channel.basic_publish_confirm(amqp.Message(content, delivery_mode=2, **properties), routing_key=QUEUE)


def view(number: int, **fields: object) -> dict:
    return {"hub": "acme", "action": "view", "media": "cat-1", "visitor": f"v{number % 7}", "id": f"e{number}"} | fields


def in_log() -> Counter:
    return Counter(event.id for chunk in event_log().read({}) for event in chunk.events)


def until(is_so: Callable[[], bool], within_s: float = 30) -> bool:
    """Whether it has come to be so within some seconds; it may be otherwise a moment later."""
    deadline = time.monotonic() + within_s
    while not (has_come := is_so()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return has_come


def consume(url: str, is_done: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    QueueIntake(url, QUEUE).run(lambda: not is_done() and time.monotonic() < deadline)


def waiting(channel: amqp.Channel) -> int:
    return channel.queue_declare(QUEUE, passive=True).message_count


def test_events_are_written_and_then_acknowledged(rabbitmq, channel) -> None:
    Hub.objects.create(slug="acme")
    publish(channel, view(1), {"events": [view(2), view(3), view(2)]}, view(4, page=0), view(5, hub="nobody"))
    publish(channel, {"hub": "acme", "action": "view"}, message_id="m1")
    publish(channel, {"hub": "acme", "action": "view"}, message_id="m1")
    consume(rabbitmq.url, lambda: RejectedEvent.objects.count() == 2)
    counted = in_log()
    assert {name: counted.pop(name) for name in ("e1", "e2", "e3")} == {"e1": 1, "e2": 1, "e3": 1}
    assert (list(counted.values()), waiting(channel)) == ([1], 0)
    assert sorted(RejectedEvent.objects.values_list("hub", "code")) == [("", "unknown_hub"), ("acme", "invalid_page")]
    (account,) = Account.objects.filter(hub="acme")
    assert (account.received, account.accepted, account.duplicates, account.rejected) == (7, 4, 2, 1)


def test_what_is_no_event_is_parked_with_its_reason_and_holds_up_nothing(rabbitmq, channel) -> None:
    Hub.objects.create(slug="acme")
    publish(
        channel, b"no json", b"[" * 5_000, b'{"events": 7}', b"x" * (1024 * 1024 + 1), {"events": [view(1)] * 1_001}
    )
    publish(channel, view(1))
    consume(rabbitmq.url, lambda: bool(in_log()))
    codes = Counter(RejectedEvent.objects.values_list("code", flat=True))
    assert (in_log(), codes, waiting(channel)) == ({"e1": 1}, {"invalid_json": 4, "too_many_events": 1}, 0)


def test_while_the_log_is_busy_nothing_is_acknowledged(rabbitmq, channel, monkeypatch) -> None:
    Hub.objects.create(slug="acme")
    publish(channel, *(view(number) for number in range(50)))
    monkeypatch.setattr("events.queued.RETRY_S", (0.1,))
    append, tries = event_log().writer, []

    def busy(*args):
        tries.append(1)
        if len(tries) < 4:
            raise LogBusy("It is busy.")
        return append(*args)

    monkeypatch.setattr(event_log(), "writer", busy)
    consume(rabbitmq.url, lambda: len(tries) == 3)
    unwritten = in_log()
    consume(rabbitmq.url, lambda: len(in_log()) == 50)
    assert (unwritten, set(in_log().values()), waiting(channel)) == ({}, {1}, 0)


def test_while_hubs_cannot_be_looked_up_nothing_is_acknowledged(rabbitmq, channel, monkeypatch) -> None:
    """An intake that ended each time would have its messages parked after some deliveries."""
    Hub.objects.create(slug="acme")
    publish(channel, *(view(number) for number in range(50)))
    monkeypatch.setattr("events.queued.RETRY_S", (0.1,))
    tries = []

    def away_at_first(slug: str) -> int | None:
        tries.append(slug)
        if len(tries) < 4:
            raise DatabaseAway("The server closed the connection unexpectedly.")
        return counted_since(slug)

    monkeypatch.setattr("events.queued.counted_since", away_at_first)
    consume(rabbitmq.url, lambda: len(in_log()) == 50)
    assert (set(in_log().values()), waiting(channel), len(tries) >= 4) == ({1}, 0, True)


def test_a_write_holds_no_more_bytes_than_its_bound_and_one_message(rabbitmq, channel, monkeypatch) -> None:
    Hub.objects.create(slug="acme")
    monkeypatch.setattr("events.queued.GROUP_BYTES", 1_000)
    monkeypatch.setattr("events.queued.LINGER_S", 10)
    bodies = [
        json.dumps({"events": [view(first + place) for place in range(10)]}).encode() for first in range(0, 40, 10)
    ]
    assert all(500 < len(body) < 1_000 for body in bodies)
    publish(channel, *bodies)
    consume(rabbitmq.url, lambda: len(in_log()) == 40)
    assert [len(chunk.events) for chunk in event_log().read({})] == [20, 20]


def test_a_write_takes_no_more_events_than_its_bound_and_one_message(rabbitmq, channel, monkeypatch) -> None:
    """So that those who send by HTTP come in between, also where the log is slow."""
    Hub.objects.create(slug="acme")
    monkeypatch.setattr("events.queued.GROUP_EVENTS", 25)
    monkeypatch.setattr("events.queued.LINGER_S", 10)
    monkeypatch.setattr("events.queued.MESSAGES_AT_ONCE", 4)
    sizes, first = (10, 10, 30, 10), 0
    for size in sizes:
        publish(channel, {"events": [view(first + place) for place in range(size)]})
        first += size
    consume(rabbitmq.url, lambda: len(in_log()) == sum(sizes))
    assert [len(chunk.events) for chunk in event_log().read({})] == [20, 30, 10]
    assert waiting(channel) == 0


def test_a_queue_that_was_declared_otherwise_is_refused(rabbitmq, channel) -> None:
    channel.queue_delete(QUEUE)
    channel.queue_declare(QUEUE, durable=False, auto_delete=False)
    with pytest.raises(
        Unusable, match=r"'affluence.events' or 'affluence.events.parked' is there and was declared otherwise"
    ):
        consume(rabbitmq.url, lambda: False)
    with Connection(rabbitmq.url) as connection:
        connection.connect().channel().queue_delete(QUEUE)


def test_a_broker_that_goes_away_is_waited_for(rabbitmq, channel, monkeypatch) -> None:
    Hub.objects.create(slug="acme")
    monkeypatch.setattr("events.queued.RETRY_S", (0.2,))
    publish(channel, *(view(number) for number in range(20)))
    rabbitmq.stop()
    began = time.monotonic()

    def is_done() -> bool:
        if rabbitmq.process.poll() is not None and time.monotonic() - began > 1:
            rabbitmq.start()
        return len(in_log()) == 20

    consume(rabbitmq.url, is_done, rabbitmq.starts_within_s + 30)
    assert in_log() == {f"e{number}": 1 for number in range(20)}


def test_whatever_is_killed_in_between_every_event_counts_once(rabbitmq, channel, tmp_path) -> None:
    environment = os.environ | {"DATA_DIR": str(tmp_path), "DEMO": "0", "AMQP_URL": rabbitmq.url}

    def manage(*words: str) -> list[str]:
        return [sys.executable, str(ROOT / "manage.py"), *words]

    for words in (("prepare",), ("create_hub", "acme")):
        subprocess.run(manage(*words), env=environment, check=True, capture_output=True)
    log, chance = sqlite3.connect(tmp_path / "log.sqlite3"), random.Random(1)

    def written() -> int:
        return log.execute("SELECT COALESCE(SUM(event_count), 0) FROM events_chunk").fetchone()[0]

    sent = 0
    for _ in range(4):
        before = written()
        consumer = subprocess.Popen(manage("consume_events"), env=environment, stderr=subprocess.DEVNULL)
        assert until(lambda: bool(channel.queue_declare(QUEUE, passive=True).consumer_count), 90)
        while written() == before or chance.random() < 0.98:  # killed while it writes and acknowledges
            publish(channel, {"events": [view(sent * 10 + number) for number in range(10)]})
            sent += 1
        consumer.kill()
        consumer.wait()
        # The broker counts it until it notices; the next one is to be told from it.
        assert until(lambda: not channel.queue_declare(QUEUE, passive=True).consumer_count, 90)
    consumer = subprocess.Popen(manage("consume_events"), env=environment, stderr=subprocess.DEVNULL)
    until(lambda: written() == sent * 10, 90)
    consumer.terminate()
    assert consumer.wait(30) == 0
    script = (
        "import collections, json; from events.log import event_log;"
        "found = collections.Counter(e.id for c in event_log().read({}) for e in c.events);"
        "print(json.dumps([len(found), max(found.values())]))"
    )
    told = subprocess.run(manage("shell", "-v", "0", "-c", script), env=environment, check=True, capture_output=True)
    assert json.loads(told.stdout) == [sent * 10, 1]
