"""A publisher to the queue of the AMQP intake, as a customer's would be: what is not confirmed is published again."""

from contextlib import suppress

import amqp
from kombu import Connection
from kombu.exceptions import OperationalError

QUEUE = "affluence.events"
CONFIRMED_WITHIN_S = 10.0


class Publisher:
    """For one thread. It connects when it first publishes, and again after each failure."""

    def __init__(self, url: str) -> None:
        self._broker = Connection(url, connect_timeout=5)
        self._connection: amqp.Connection | None = None

    def publish(self, content: bytes) -> bool:
        """Whether the broker has confirmed a message; one that it has not may be in the queue nevertheless."""
        try:
            message = amqp.Message(content, delivery_mode=2)
            self._channel().basic_publish_confirm(message, routing_key=QUEUE, confirm_timeout=CONFIRMED_WITHIN_S)
        except (OSError, OperationalError, amqp.AMQPError):
            self._close()
            return False
        return True

    def _channel(self) -> amqp.Channel:
        """The channel; where it is new, of a queue that is there. Raises OSError, OperationalError, AMQPError."""
        from events.queued import declare

        if self._connection is None:
            self._connection = self._broker.transport.establish_connection()
            declare(self._connection.channel(1), QUEUE)
        return self._connection.channel(1)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.collect()
