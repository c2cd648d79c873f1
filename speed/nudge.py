"""Wakes the consumer when something was appended: soon, and with at most one message waiting."""

import logging
import threading

import redis
from kombu.exceptions import OperationalError

from speed import buffers
from speed.tasks import apply_log

logger = logging.getLogger(__name__)

WAITING_MS = 1_000
"""How long one message counts as on its way. A lost one delays the consumer by no more; beat wakes it each second too."""
PAUSE_S = 0.05


class Nudger:
    """A thread that turns any number of appends into few messages. `nudge` never blocks and never raises."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._started = threading.Lock()
        self._thread: threading.Thread | None = None

    def nudge(self, **_: object) -> None:
        """Something was appended (a receiver of events.signals.appended)."""
        self._wanted.set()
        if self._thread is None:
            with self._started:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="nudger", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                send()
            except (redis.RedisError, OperationalError) as error:
                logger.warning("The consumer could not be woken (%s); beat wakes it when Redis is back.", error)
            except Exception:
                # Whatever it is, the next append must find this thread alive.
                logger.exception("The consumer could not be woken; beat wakes it.")
            threading.Event().wait(PAUSE_S)


def send() -> bool:
    """Send one message unless one is on its way; True where it was sent."""
    if not buffers.client().set(f"{buffers.PREFIX}nudged", 1, nx=True, px=WAITING_MS):
        return False
    apply_log.apply_async(retry=False)
    return True
