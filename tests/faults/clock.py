"""The clock of a process: the real one, moved by the world's offset and by the part's own.

`world` moves in all parts in the same instant, which lets an hour pass at once; a part's own offset is a wrong clock.
The offsets are 8-byte floats in one file that every process maps, read whenever the time is.
"""

import mmap
import struct
from pathlib import Path

import time_machine

WORLD = "world"
CLOCKS = (WORLD, "web", "worker-speed", "worker-batch", "beat", "intake")
OFFSET = struct.Struct("<d")


class Offsets:
    """The seconds by which clocks are ahead. Made by the first who opens the file."""

    def __init__(self, directory: Path) -> None:
        path = directory / "clocks"
        if not path.exists():
            path.write_bytes(bytes(OFFSET.size * len(CLOCKS)))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def __getitem__(self, clock: str) -> float:
        return OFFSET.unpack_from(self._map, CLOCKS.index(clock) * OFFSET.size)[0] if clock in CLOCKS else 0.0

    def __setitem__(self, clock: str, seconds: float) -> None:
        OFFSET.pack_into(self._map, CLOCKS.index(clock) * OFFSET.size, seconds)


class Clock(time_machine.Traveller):
    """The time of a part of the stack."""

    def __init__(self, directory: Path, part: str) -> None:
        super().__init__(time_machine.escape_hatch.time.time_ns(), None, tick=True)
        self._offsets, self._part = Offsets(directory), part

    def time_ns(self) -> int:
        return super().time_ns() + int((self._offsets[WORLD] + self._offsets[self._part]) * 1e9)


def follow(directory: Path, part: str) -> None:
    """Make this process's wall clock that of a part, from now on. Monotonic clocks stay as they are."""
    time_machine.travel(0).start()
    time_machine.traveller_stack[-1] = Clock(directory, part)
