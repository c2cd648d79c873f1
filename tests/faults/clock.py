"""The clock of a process: the real one, moved by the world's offset and by the part's own.

`world` moves in all parts together, which lets an hour pass in a moment; a part's own offset is a wrong clock.
"""

import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import time_machine

EVERY_S = 0.05
WORLD = "world"


def offset_of(directory: Path, name: str) -> float:
    """The seconds that a clock is ahead; 0 where nothing is written."""
    with suppress(FileNotFoundError, ValueError):
        return float((directory / "clocks" / name).read_text())
    return 0.0


def set_offset(directory: Path, name: str, seconds: float) -> None:
    """Move a clock; the processes follow within EVERY_S."""
    path = directory / "clocks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(repr(seconds))
    beside.replace(path)


def follow(directory: Path, part: str) -> None:
    """Make this process's wall clock follow the files, from now on. Monotonic clocks stay as they are."""
    shown = offset_of(directory, WORLD) + offset_of(directory, part)
    traveller = time_machine.travel(timedelta(seconds=shown)).start()
    traveller.time_ns()

    def run() -> None:
        nonlocal shown
        while True:
            wanted = offset_of(directory, WORLD) + offset_of(directory, part)
            if wanted != shown:
                traveller.shift(wanted - shown)
                shown = wanted
            threading.Event().wait(EVERY_S)

    threading.Thread(target=run, name="clock", daemon=True).start()
