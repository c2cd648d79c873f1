"""Merged view rows, kept for the next time. Rows are immutable, so what was merged from some stays right for ever."""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

import numpy as np

from aggregations.cells import Cells
from aggregations.histograms import Histograms
from aggregations.sets import Sets

BYTES_AT_MOST = 128 * 1024 * 1024
ENTRY_BYTES = 1_000
"""What an entry takes beside its columns: the digest, the objects, the places in the tables."""


class MergedRows:
    """A cache of cells, bounded by the bytes of its entries; the least recently used go first.

    A key names hundreds of rows and may be longer than the cells: only its digest is kept.
    """

    def __init__(self, bytes_at_most: int = BYTES_AT_MOST) -> None:
        self._bytes_at_most = bytes_at_most
        self._kept: OrderedDict[bytes, tuple[Cells, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str, merge: Callable[[], Cells]) -> Cells:
        """The cells of `key`, merged if they are not kept."""
        digest = blake2b(key.encode(), digest_size=32).digest()
        with self._lock:
            if digest in self._kept:
                self._kept.move_to_end(digest)
                return self._kept[digest][0]
        cells = merge()
        size = size_of(cells)
        with self._lock:
            if digest not in self._kept and size <= self._bytes_at_most:
                self._kept[digest] = (cells, size)
                self._bytes += size
            while self._bytes > self._bytes_at_most:
                self._bytes -= self._kept.popitem(last=False)[1][1]
        return cells


def size_of(cells: Cells) -> int:
    """The bytes that cells take in memory, with those of arrays of which they hold a part."""
    total = ENTRY_BYTES
    for key in cells.keys.values():
        total += _held(key.codes) + sys.getsizeof(key.vocabulary) + sum(map(sys.getsizeof, key.vocabulary))
    for column in cells.columns.values():
        if isinstance(column, np.ndarray):
            total += _held(column)
        elif isinstance(column, Sets):
            # The numbers where sets begin are as many as the counts, and made when they are first needed.
            total += 2 * _held(column.counts) + _held(column.ids) + sum(map(sys.getsizeof, column.large.values()))
        elif isinstance(column, Histograms):
            total += _held(column.lengths) + _held(column.values) + _held(column.counts)
    return total


def _held(array: np.ndarray) -> int:
    whole = array.base if isinstance(array.base, np.ndarray) else array
    return max(array.nbytes, whole.nbytes)
