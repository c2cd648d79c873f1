"""The watchdog: ends a worker that has gone deaf, so that it is started again.

After its broker was away, Celery's loop may run on without a connection that it listens to: the process lives, and no
task ever begins (celery/celery issues 8091, 10302). Nothing in it notices, so a thread beside it does.
"""

import logging
import os
import threading
import time
from collections.abc import Callable

from celery import Celery
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

PATIENCE_S = 15.0
"""How long messages may wait for a worker that does nothing. It takes the next within milliseconds."""
EVERY_S = 2.0


class Watchdog:
    """Told of each task that begins and ends, it looks every few seconds whether messages wait for an idle worker."""

    def __init__(self) -> None:
        self._is_busy = False
        self._idle_since = time.monotonic()

    def begin(self) -> None:
        """A task has begun."""
        self._is_busy = True

    def end(self) -> None:
        """A task has ended."""
        self._is_busy, self._idle_since = False, time.monotonic()

    def watch(self, waiting: Callable[[], int], patience_s: float = PATIENCE_S) -> None:
        """Watch from a daemon thread, as long as this process runs; `waiting` counts the messages."""
        threading.Thread(target=self._watch, args=(waiting, patience_s), name="watchdog", daemon=True).start()

    def _watch(self, waiting: Callable[[], int], patience_s: float) -> None:
        while True:
            time.sleep(EVERY_S)
            if time.monotonic() - self._idle_since < EVERY_S:
                continue  # a task has just ended: the broker need not be asked
            if self._is_busy or not waiting():
                self._idle_since = time.monotonic()
            elif time.monotonic() - self._idle_since > patience_s:
                logger.critical(
                    "Messages wait and no task has begun for %.0f s: this worker has lost its broker and ends, to be"
                    " started again.",
                    patience_s,
                )
                os._exit(1)


def waiting_in(app: Celery, queue: str) -> Callable[[], int]:
    """Counts the messages that wait in a queue. A broker that does not answer has none to give."""

    def count() -> int:
        with app.connection_for_read() as connection:
            try:
                return connection.default_channel.queue_declare(queue, passive=True).message_count
            except connection.channel_errors:
                return 0  # an empty queue need not be there
            except (OperationalError, *connection.connection_errors) as error:
                logger.debug("The broker does not answer (%s); its queues are looked at again.", error)
                return 0

    return count
