"""Merged view rows, kept for the next time. Rows are immutable, so what was merged from some stays right for ever."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np

from aggregations.cells import Cells
from aggregations.histograms import Histograms
from aggregations.sets import Sets

BYTES_AT_MOST = 128 * 1024 * 1024


class MergedRows:
    """A cache of cells, bounded by their bytes; the least recently used go first."""

    def __init__(self, bytes_at_most: int = BYTES_AT_MOST) -> None:
        self._bytes_at_most = bytes_at_most
        self._kept: OrderedDict[Hashable, tuple[Cells, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, merge: Callable[[], Cells]) -> Cells:
        """The cells of `key`, merged if they are not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        cells = merge()
        size = size_of(cells)
        with self._lock:
            if key not in self._kept and size <= self._bytes_at_most:
                self._kept[key] = (cells, size)
                self._bytes += size
            while self._bytes > self._bytes_at_most:
                self._bytes -= self._kept.popitem(last=False)[1][1]
        return cells


def size_of(cells: Cells) -> int:
    """The bytes of cells in memory, about."""
    total = 1_000 + sum(key.codes.nbytes + 64 * len(key.vocabulary) for key in cells.keys.values())
    for column in cells.columns.values():
        if isinstance(column, np.ndarray):
            total += column.nbytes
        elif isinstance(column, Sets):
            bitmaps = sum(min(2 * len(bitmap), bitmap.max() // 8) for bitmap in column.large.values())
            total += column.counts.nbytes + column.ids.nbytes + bitmaps
        elif isinstance(column, Histograms):
            total += column.lengths.nbytes + column.values.nbytes + column.counts.nbytes
    return total
