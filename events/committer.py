"""The committer: one thread that writes what all requests have, in groups."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable

from events.intake import Batch, Intake, Outcome
from events.log import LogBusy, LogUnsure

logger = logging.getLogger(__name__)

MAX_WAITING_REQUESTS = 256
MAX_WAITING_EVENTS = 50_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
GROUP_EVENTS = 5_000
GROUP_BYTES = 8 * 1024 * 1024
PATIENCE_S = 10.0
WRITE_S = 60.0
"""How long a write may take: more than the log itself waits for a lock before it says that it is busy."""
RETRY_S = 1.0


Load = tuple[int, int, int]
"""Requests, events, bytes."""
NOTHING: Load = (0, 0, 0)


class Room:
    """What may wait. A hub may have as much waiting as is left free.

    So one hub takes half of the room, two take a third each, and a hub that floods it always leaves a place for the
    others. A request of several hubs counts for each of them, with the events of its own. A load that finds the room
    empty always fits.
    """

    def __init__(self, size: Load) -> None:
        self._free = size
        self._used: dict[str, Load] = {}

    def take(self, load: Load, parts: dict[str, Load]) -> bool:
        """Take room for a load, and for each hub's part of it; False, and nothing taken, where it does not fit."""
        used = {hub: _sum(self._used.get(hub, NOTHING), part) for hub, part in parts.items()}
        if self._used and not all(_fits(one, self._free) for one in (load, *used.values())):
            return False
        self._used |= used
        self._free = _sum(self._free, load, -1)
        return True

    def leave(self, load: Load, parts: dict[str, Load]) -> None:
        """Give back what was taken for a load."""
        for hub, part in parts.items():
            self._used[hub] = _sum(self._used[hub], part, -1)
            if self._used[hub] == NOTHING:
                del self._used[hub]
        self._free = _sum(self._free, load)


def _sum(first: Load, second: Load, sign: int = 1) -> Load:
    return first[0] + sign * second[0], first[1] + sign * second[1], first[2] + sign * second[2]


def _fits(load: Load, free: Load) -> bool:
    return all(part <= of for part, of in zip(load, free, strict=True))


class Busy(Exception):
    """The batch was not written, and will not be; the client may try again."""


class Unsure(Exception):
    """The batch is being written, and nobody knows yet whether it will be; the same ids may be sent again."""


class _Waiting:
    """A batch on the queue. It is abandoned by its request, or taken by the committer, never both."""

    __slots__ = ("batch", "done", "error", "load", "outcome", "parts")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.load = (1, _size(batch), batch.size)
        self.parts = _parts(batch)
        self.done = threading.Event()
        self.outcome: Outcome | None = None
        self.error: Exception | None = None


class Committer:
    """Group commit: a bounded queue of batches, and the one thread of this process that appends them."""

    def __init__(
        self,
        make_intake: Callable[[], Intake] = Intake,
        patience_s: float = PATIENCE_S,
        write_s: float = WRITE_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._make_intake = make_intake
        self._patience_s = patience_s
        self._write_s = write_s
        self._retry_s = retry_s
        self._start_anew()

    def _start_anew(self) -> None:
        self._process = 0
        self._queue: deque[_Waiting] = deque()
        self._room = Room((MAX_WAITING_REQUESTS, MAX_WAITING_EVENTS, MAX_WAITING_BYTES))
        self._changed = threading.Condition()

    def commit(self, batch: Batch) -> Outcome:
        """Returns when the batch is on disk. Raises Busy where it is not, and never will be, written; Unsure."""
        if not batch.drafts and not batch.rejections:
            return Outcome()
        waiting = _Waiting(batch)
        self._put(waiting)
        if not waiting.done.wait(self._patience_s) and self._abandon(waiting):
            raise Busy(f"The events could not be written within {self._patience_s:g} seconds; send them again later.")
        if not waiting.done.wait(self._write_s):
            raise Unsure(
                f"The write has taken more than {self._write_s:g} seconds, and whether the events are stored is unknown;"
                " send them again later: an event with the same id counts once."
            )
        if waiting.outcome is not None:
            return waiting.outcome
        if isinstance(waiting.error, LogUnsure):
            raise Unsure(str(waiting.error)) from waiting.error
        if isinstance(waiting.error, LogBusy):
            raise Busy(str(waiting.error)) from waiting.error
        raise RuntimeError("The batch could not be written.") from waiting.error

    def _put(self, waiting: _Waiting) -> None:
        if self._process != os.getpid():
            self._start_thread()
        with self._changed:
            if not self._room.take(waiting.load, waiting.parts):
                raise Busy("Too many events are waiting to be written; send these again later.")
            self._queue.append(waiting)
            self._changed.notify()

    _starting = threading.Lock()

    def _start_thread(self) -> None:
        """Start the thread in this process; a forked process has none and starts with an empty queue."""
        with self._starting:
            if self._process != os.getpid():
                self._start_anew()
                self._process = os.getpid()
                threading.Thread(target=self._run, name="committer", daemon=True).start()

    def _abandon(self, waiting: _Waiting) -> bool:
        """True where the batch had not been taken yet, and now never will be."""
        with self._changed:
            if waiting not in self._queue:
                return False
            self._queue.remove(waiting)
            self._room.leave(waiting.load, waiting.parts)
            return True

    def _take(self) -> list[_Waiting]:
        """Wait for batches; take as many as fit in a group, at least one."""
        with self._changed:
            while not self._queue:
                self._changed.wait()
            group: list[_Waiting] = []
            events = size = 0
            while self._queue:
                batch = self._queue[0].batch
                events += _size(batch)
                size += batch.size
                if group and (events > GROUP_EVENTS or size > GROUP_BYTES):
                    break
                group.append(self._queue.popleft())
            return group

    def _run(self) -> None:
        intake = self._intake()
        while True:
            group = self._take()
            self._write(intake, group)
            try:
                intake.announce()
            except Exception:
                logger.exception("Nobody could be told of the new events.")

    def _intake(self) -> Intake:
        """The intake of this thread, tried until it can be made; meanwhile batches wait as long as they have patience."""
        while True:
            try:
                return self._make_intake()
            except Exception:
                logger.exception("The log cannot be opened; trying again in %g seconds.", self._retry_s)
                time.sleep(self._retry_s)

    def _write(self, intake: Intake, group: list[_Waiting]) -> None:
        """Commit a group and wake its requests. Where that fails for a bug, each batch is tried alone."""
        try:
            for waiting, outcome in zip(group, intake.commit([waiting.batch for waiting in group]), strict=True):
                waiting.outcome = outcome
        except Exception as error:
            if len(group) > 1 and not isinstance(error, LogBusy):
                for waiting in group:
                    self._write(intake, [waiting])
                return
            logger.log(logging.WARNING if isinstance(error, LogBusy) else logging.ERROR, "Not written: %r", error)
            for waiting in group:
                waiting.error = error
        with self._changed:
            for waiting in group:
                self._room.leave(waiting.load, waiting.parts)
        for waiting in group:
            waiting.done.set()


def _parts(batch: Batch) -> dict[str, Load]:
    """For each hub of a batch its part of the load: the request, its events, and as many of the bytes as of the events."""
    size, events = _size(batch), batch.by_hub()
    return {hub: (1, count, batch.size * count // size) for hub, count in events.items()}


def _size(batch: Batch) -> int:
    return len(batch.drafts) + len(batch.rejections)
