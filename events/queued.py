"""The AMQP intake: takes events from a durable queue of RabbitMQ, writes them to the log, and only then acknowledges.

The same JSON as `POST /api/events`, from publishers that may do what the holder of an ingest key may, for any hub. A
message that is delivered again, since this process or the broker died between write and acknowledgement, has the same
ids, and so counts once; for that its events need an `id`, or the message a `message_id`, which gives them one.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TypeVar

import amqp
from kombu import Connection
from kombu.exceptions import OperationalError

from events.committer import GROUP_BYTES, GROUP_EVENTS
from events.directory import Memory, counted_since
from events.intake import Batch, Intake, batch_of
from events.log import AWAY, LogBusy, Rejection
from events.normaliser import Caller
from events.sent import MAX_BYTES, Body, Malformed, TooManyEvents, without_addresses

logger = logging.getLogger(__name__)
T = TypeVar("T")

MESSAGES_AT_ONCE = 2_000
"""Messages that the broker sends ahead."""
LINGER_S = 0.1
"""How long a write waits for more messages: a commit of few costs as much as one of many."""
WAIT_S = 1.0
RETRY_S = (1.0, 2.0, 5.0)
"""Pauses after a log that is busy, or a database or broker that is away; the last one is repeated."""
HEARTBEAT_S = 30
QUEUE_LENGTH = 1_000_000
DELIVERIES = 20
"""How often a message is delivered that ends this process each time, before it is parked."""


class Unusable(Exception):
    """The queue is there and is not one that keeps messages."""


def arguments(parked: str) -> dict[str, object]:
    """How the queue is declared: replicated, full queues refuse, and what kills its consumer is parked."""
    return {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-max-length": QUEUE_LENGTH,
        "x-delivery-limit": DELIVERIES,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": parked,
        "x-dead-letter-strategy": "at-least-once",
    }


def declare(channel: amqp.Channel, queue: str) -> None:
    """Declare the queue, and the one where messages are parked. Raises Unusable where one is there of another kind."""
    parked = f"{queue}.parked"
    try:
        channel.queue_declare(parked, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments(parked))
    except amqp.PreconditionFailed as error:
        raise Unusable(
            f"The queue {queue!r} or {parked!r} is there and was declared otherwise ({error.reply_text}); delete it when it is"
            " empty, or name another with AMQP_QUEUE."
        ) from error


class QueueIntake:
    """One consumer of one queue. Not for several threads."""

    def __init__(self, url: str, queue: str, intake: Intake | None = None) -> None:
        self._url, self._queue = url, queue
        self._intake = intake or Intake()
        self._caller = Caller(Memory(counted_since), is_trusted=True)
        self._messages: list[amqp.Message] = []
        self._bytes = 0

    def run(self, may_go_on: Callable[[], bool]) -> None:
        """Consume until `may_go_on` says no. A broker that is away is waited for. Raises Unusable."""
        for attempt in count():
            try:
                with Connection(self._url, heartbeat=HEARTBEAT_S, connect_timeout=5) as connection:
                    self._consume(connection, may_go_on)
                    return
            except (OperationalError, *Connection(self._url).connection_errors) as error:
                pause = _pause_after(attempt)
                logger.warning("The broker of %s is away (%s); again in %.0f s.", self._queue, error, pause)
                if not _paused(pause, may_go_on):
                    return

    def _consume(self, connection: Connection, may_go_on: Callable[[], bool]) -> None:
        self._channel = connection.connect().channel()
        declare(self._channel, self._queue)
        self._channel.basic_qos(0, MESSAGES_AT_ONCE, False)
        self._forget_messages()
        self._channel.basic_consume(self._queue, callback=self._keep_message)
        logger.info("Events are taken from the queue %s.", self._queue)
        while may_go_on():
            if self._gathered(connection):
                self._write(may_go_on, connection)
            connection.heartbeat_check()

    def _keep_message(self, message: amqp.Message) -> None:
        self._messages.append(message)
        self._bytes += len(message.body)

    def _forget_messages(self) -> None:
        self._messages, self._bytes = [], 0

    def _gathered(self, connection: Connection) -> bool:
        """Wait for messages, and a moment more for others; False where none came."""
        deadline = None
        while len(self._messages) < MESSAGES_AT_ONCE and self._bytes < GROUP_BYTES:
            left = WAIT_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                break
            try:
                connection.drain_events(timeout=left)
            except TimeoutError:
                break
            if self._messages and deadline is None:
                deadline = time.monotonic() + LINGER_S
        return bool(self._messages)

    def _write(self, may_go_on: Callable[[], bool], connection: Connection) -> None:
        """Write the messages to the log, some at a time, and acknowledge them: who sends by HTTP gets a turn in between."""
        messages = self._messages
        batches = self._done(lambda: [self._batch(message) for message in messages], may_go_on, connection)
        if batches is None:
            return
        for first, end in _groups(batches):
            if self._done(partial(self._intake.append, batches[first:end]), may_go_on, connection) is None:
                return
            self._channel.basic_ack(messages[end - 1].delivery_tag, multiple=True)
            connection.heartbeat_check()
        self._forget_messages()

    def _done(self, do: Callable[[], T], may_go_on: Callable[[], bool], connection: Connection) -> T | None:
        """What `do` returns, however long the log is busy or hubs cannot be looked up; None where it is over before."""
        for attempt in count():
            try:
                return do()
            except (LogBusy, *AWAY) as error:
                pause = _pause_after(attempt)
                logger.warning(
                    "Not written (%s); %d messages wait, again in %.0f s.", error, len(self._messages), pause
                )
                if not _paused(pause, may_go_on):
                    return None
                connection.heartbeat_check()
        raise AssertionError("Attempts have no end.")

    def _batch(self, message: amqp.Message) -> Batch:
        """A message's events and rejections; one that is no event at all is kept as a rejection, with its reason."""
        content, now = _content(message), int(time.time() * 1000)
        try:
            if len(content) > MAX_BYTES:
                raise Malformed(f"The message has {len(content)} bytes; at most {MAX_BYTES} are taken.")
            body = Body(content, self._caller.sends)
        except (Malformed, TooManyEvents) as error:
            code = "too_many_events" if isinstance(error, TooManyEvents) else "invalid_json"
            text = without_addresses(content[:MAX_BYTES].decode("utf-8", "replace"))
            rejection = Rejection("", code, str(error)[:500], text.encode(), now, key=_key(content))
            return Batch(rejections=[rejection], size=len(content))
        _name(body, message)
        batch, _ = batch_of(body, len(content), self._caller, now)
        batch.rejections = [
            replace(one, key=_key(content, number)) for number, one in enumerate(batch.rejections, start=1)
        ]
        return batch


def _groups(batches: Sequence[Batch]) -> Iterator[tuple[int, int]]:
    """Where groups of batches begin and end: each has GROUP_EVENTS events at most, or is one batch."""
    first = events = 0
    for number, batch in enumerate(batches):
        size = len(batch.drafts) + len(batch.rejections)
        if first < number and events + size > GROUP_EVENTS:
            yield first, number
            first, events = number, 0
        events += size
    if batches:
        yield first, len(batches)


def _content(message: amqp.Message) -> bytes:
    return message.body.encode() if isinstance(message.body, str) else bytes(message.body)


def _name(body: Body, message: amqp.Message) -> None:
    """Give each event without id one that follows from the message's, where it has one."""
    if not (name := message.properties.get("message_id")):
        return
    for number, sent in enumerate(body.events):
        if not isinstance(sent, Exception) and not sent.id:
            sent.id = hashlib.blake2b(f"{name}\0{number}".encode(), digest_size=16).hexdigest()


def _key(content: bytes, number: int = 0) -> bytes:
    """The key of a rejection: the same when its message is delivered again."""
    return hashlib.blake2b(content + b"\0%d" % number, digest_size=16).digest()


def _pause_after(attempt: int) -> float:
    return RETRY_S[min(attempt, len(RETRY_S) - 1)]


def _paused(seconds: float, may_go_on: Callable[[], bool]) -> bool:
    """Wait; False where it is over meanwhile."""
    deadline = time.monotonic() + seconds
    while may_go_on() and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))
    return may_go_on()
