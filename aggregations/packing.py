"""Columns of integers in the fewest bytes that hold them."""

import numpy as np

_TYPES = {1: np.dtype("<u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<i8")}


def pack_integers(values: np.ndarray) -> bytes:
    """One byte for the width (0, 1, 2, 4 or 8 bytes a value; 0: all are zero), then the values, little-endian.

    Negative values and those of 2^32 and more take 8 bytes, signed. Equal values give equal bytes.
    """
    if len(values) == 0 or not values.any():
        return b"\x00"
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > 0xFFFFFFFF:
        width = 8
    else:
        width = 1 if highest < 1 << 8 else 2 if highest < 1 << 16 else 4
    return bytes([width]) + values.astype(_TYPES[width]).tobytes()


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
        """The next `size` values of `pack_integers`, as int64."""
        width = self.take(1)[0]
        if width == 0:
            return np.zeros(size, dtype=np.int64)
        if width not in _TYPES:
            raise ValueError(f"{width} is no width of packed integers.")
        return np.frombuffer(self.take(size * width), dtype=_TYPES[width]).astype(np.int64)
