"""What the AMQP intake takes from a queue, beside a bare consumer that only acknowledges the same messages.

Needs a RabbitMQ: TEST_AMQP_URL names one that runs, or one is started as `make test-services` does.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import amqp
from kombu import Connection

from bench import house, mix
from bench.figures import Figure, Figures, Options, at_least, say, seconds_of
from events.log import event_log
from events.queued import HEARTBEAT_S, MESSAGES_AT_ONCE, QueueIntake, declare

SERVER, QUEUE = "TEST_AMQP_URL", "affluence.bench"
MESSAGES = {1: 20_000, 100: 1_000}
"""How many messages wait in the queue, by the number of events of each."""
ROUNDS = 3
TARGETS = {1: None, 100: 10_000}
"""Messages of one event are bounded by what a client and its broker do for each message."""


def measure(options: Options) -> Figures:
    """A queue that was filled before is emptied, of messages of one and of 100 events."""
    house.migrate()
    house.new_hub()
    with server() as url, Connection(url) as connection:
        channel = connection.connect().channel()
        _delete(channel)
        try:
            declare(channel, QUEUE)
            return dict(_figure(url, channel, size, options) for size in MESSAGES)
        finally:
            _delete(channel)


@contextmanager
def server() -> Iterator[str]:
    """The URL of a RabbitMQ."""
    if url := os.environ.get(SERVER):
        yield url
        return
    from tests.services.rabbitmq import RabbitMQ

    with RabbitMQ() as started:
        yield started.url


def _figure(url: str, channel: amqp.Channel, size: int, options: Options) -> tuple[str, Figure]:
    """Both in turns, each on the same messages; the first turn, in which caches are filled, does not count."""
    count, rounds = options.scaled(MESSAGES[size], 20), options.scaled(ROUNDS, 1)
    start, bare, taking = int(time.time() * 1000) - 3_600_000, 0.0, 0.0
    for number in range(rounds + 1):
        bodies = list(mix.bodies("acme", count, size, start, seed=number * 1_000 + size))
        _fill(channel, bodies)
        bare_s = seconds_of(lambda: _acknowledge(url, count))
        _fill(channel, bodies)
        taking_s = seconds_of(lambda: _take(url, count * size))
        say(f"{size} a message: {count * size / taking_s:,.0f} events/s, bare {count * size / bare_s:,.0f}")
        if number:
            bare, taking = bare + bare_s, taking + taking_s
    events = rounds * count * size
    limit_of = "a consumer that only acknowledges the same messages"
    figure = at_least(TARGETS[size], events / taking, "events/s", events / bare, limit_of)
    return f"amqp_intake_{size}_a_message", figure


def _fill(channel: amqp.Channel, bodies: list[bytes]) -> None:
    for body in bodies:
        channel.basic_publish(amqp.Message(body, delivery_mode=2), routing_key=QUEUE)
    house.until(lambda: channel.queue_declare(QUEUE, passive=True).message_count == len(bodies), 60)


def _acknowledge(url: str, count: int) -> None:
    """Take messages as the intake does, and forget them."""
    with Connection(url, heartbeat=HEARTBEAT_S) as connection:
        channel = connection.connect().channel()
        channel.basic_qos(0, MESSAGES_AT_ONCE, False)
        taken: list[amqp.Message] = []
        channel.basic_consume(QUEUE, callback=taken.append)
        while count:
            connection.drain_events(timeout=30)
            if len(taken) == min(count, MESSAGES_AT_ONCE):
                channel.basic_ack(taken[-1].delivery_tag, multiple=True)
                count -= len(taken)
                taken.clear()


def _take(url: str, count: int) -> None:
    """Take `count` events into the log. Raises AssertionError where others were stored."""
    before, deadline = _stored(), time.monotonic() + 300

    def is_going_on() -> bool:
        return _stored() - before < count and time.monotonic() < deadline

    QueueIntake(url, QUEUE).run(is_going_on)
    if (stored := _stored() - before) != count:
        raise AssertionError(f"{count} events were sent and {stored} are in the log.")


def _stored() -> int:
    log = event_log()
    return log.count_between({}, log.head())


def _delete(channel: amqp.Channel) -> None:
    for name in (QUEUE, f"{QUEUE}.parked"):
        channel.queue_delete(name)
