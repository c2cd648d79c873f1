"""The scheduler of beat: django-celery-beat's, for clocks that may be set back."""

import time
from datetime import UTC, datetime
from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

STEP_S = 2.0
"""How far the clock may move by itself, against the one that only goes on, before it counts as set."""


class Entry(ModelEntry):
    """A tick that was sent in the future, by a clock that was ahead, counts as sent now: waiting could take hours."""

    last_run_at: datetime

    def is_due(self) -> Any:
        now = datetime.now(UTC)
        if self.last_run_at > now:
            self.last_run_at = self.model.last_run_at = now
        return super().is_due()


class Scheduler(DatabaseScheduler):
    """Puts the ticks in order anew when the clock was set: they wait in the order of times that are no more."""

    Entry = Entry

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._clock = _clock()
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        clock = _clock()
        if abs(clock - self._clock) > STEP_S:
            self._heap = None
        self._clock = clock
        return super().tick(*args, **kwargs)


def _clock() -> float:
    """The clock's reading against the one that only goes on: the same until somebody sets it."""
    return time.time() - time.monotonic()
