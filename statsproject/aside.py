"""Work beside a worker's own: in a thread, so that a channel that hangs holds up neither events nor runs."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from django.db import connections

logger = logging.getLogger(__name__)


class Aside:
    """A piece of work that a tick asks for, done once at a time in this process. What fails is left to the next tick."""

    def __init__(self, name: str, work: Callable[[datetime], object]) -> None:
        self.name, self._work = name, work
        self._is_free = threading.Lock()

    @property
    def is_busy(self) -> bool:
        return self._is_free.locked()

    def start(self, now: datetime) -> threading.Thread | None:
        """Begin the work and return at once; None while the last one goes on."""
        if not self._is_free.acquire(blocking=False):
            return None
        thread = threading.Thread(target=self._run, args=(now,), name=self.name, daemon=True)
        thread.start()
        return thread

    def _run(self, now: datetime) -> None:
        try:
            self._work(now)
        except Exception:
            logger.exception("The work of %s failed; the next tick tries again.", self.name)
        finally:
            connections.close_all()
            self._is_free.release()
