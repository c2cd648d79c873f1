"""Columns of integers in the fewest bytes that hold them."""

from typing import Any

import numpy as np

_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<i8")}
ZEROS = b"\x00"
"""The bytes of values that are all zero, or none."""


def pack_slices(values: np.ndarray, edges: np.ndarray) -> list[bytes]:
    """The bytes of each run `values[edges[i]:edges[i + 1]]`, for runs that follow one another from 0 to the end.

    One byte for the width (0, 1, 2, 4 or 8 bytes a value; 0: all are zero), then the values, little-endian. Negative
    values and those of 2^32 and more take 8 bytes, signed. Equal values give equal bytes.
    """
    starts, ends = edges[:-1], edges[1:]
    widths = np.zeros(len(starts), dtype=np.int64)
    filled = ends > starts
    if filled.any():
        lowest = np.minimum.reduceat(values, starts[filled])
        highest = np.maximum.reduceat(values, starts[filled])
        needed = np.select([highest < 1 << 8, highest < 1 << 16, highest < 1 << 32], [1, 2, 4], 8)
        widths[filled] = np.where(lowest < 0, 8, np.where((lowest == 0) & (highest == 0), 0, needed))
    forms = {width: values.astype(_TYPES[width]).tobytes() for width in set(widths.tolist()) - {0}}
    marks = {width: bytes([width]) for width in forms}
    return [
        marks[width] + forms[width][start * width : end * width] if width else ZEROS
        for width, start, end in zip(widths.tolist(), starts.tolist(), ends.tolist(), strict=True)
    ]


class Reader:
    """Reads packed bytes from front to back. Raises ValueError where they end too early."""

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._offset = 0

    def take(self, length: int) -> memoryview:
        """The next `length` bytes."""
        end = self._offset + length
        if end > len(self._data):
            raise ValueError(f"{length} bytes wanted at {self._offset}, but there are only {len(self._data)} in all.")
        taken = self._data[self._offset : end]
        self._offset = end
        return taken

    def integers(self, size: int) -> np.ndarray:
        """The next `size` values of a run of `pack_slices`, as int64."""
        width = self.take(1)[0]
        if width == 0:
            return np.zeros(size, dtype=np.int64)
        if width not in _TYPES:
            raise ValueError(f"{width} is no width of packed integers.")
        return np.frombuffer(self.take(size * width), dtype=_TYPES[width]).astype(np.int64)
