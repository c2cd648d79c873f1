"""Exact sets of visit and visitor numbers, one per cell, in columns.

A small set is a run of sorted numbers in one array for all cells; a large one is a Roaring bitmap. Which of the two
is decided by size alone, so that equal sets have equal bytes.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from pyroaring import BitMap

from aggregations.packing import ZEROS, Reader, pack_slices

WITH_RUNS, WITH_OFFSETS, ARRAY_AT_MOST, BITSET_BYTES = 12_347, 4, 4_096, 8_192
"""Of Roaring's portable form: the cookie of bitmaps with runs, from how many containers on offsets follow, the sizes of containers."""

LARGE = 256
"""Sets with more numbers than this are bitmaps. Measured on a day of 2,000 media: at 256 a row is smallest."""


class Sets:
    """A column of sets: `counts[i]` numbers in cell i; those of small cells in `ids`, in order of cell and number."""

    __slots__ = ("_offsets", "counts", "ids", "large")

    def __init__(self, counts: np.ndarray, ids: np.ndarray, large: dict[int, BitMap]) -> None:
        self.counts, self.ids, self.large = counts, ids, large
        self._offsets: np.ndarray | None = None

    @classmethod
    def of_pairs(cls, cells: np.ndarray, numbers: np.ndarray, size: int) -> Sets:
        """The sets of (cell, number) pairs in any order, with repeats, for `size` cells."""
        return cls._of_sorted(_distinct_sorted(_pairs(cells, numbers)), {}, size)

    @classmethod
    def merge(cls, parts: Sequence[tuple[Sets, np.ndarray]], size: int) -> Sets:
        """The union of columns; each comes with the new cell of each of its cells (-1: left out)."""
        pairs: list[np.ndarray] = []
        large: dict[int, list[BitMap]] = {}
        for sets, targets in parts:
            for cell, bitmap in sets.large.items():
                if (target := int(targets[cell])) >= 0:
                    large.setdefault(target, []).append(bitmap)
            cells = np.repeat(targets, sets.small_counts())
            kept = cells >= 0
            if kept.all():
                pairs.append(_pairs(cells, sets.ids))
            else:
                pairs.append(_pairs(cells[kept], sets.ids[kept]))
        joined = np.concatenate(pairs) if pairs else np.zeros(0, dtype=np.int64)
        unions = {
            cell: bitmaps[0].copy() if len(bitmaps) == 1 else BitMap.union(*bitmaps) for cell, bitmaps in large.items()
        }
        return cls._of_sorted(_distinct_sorted(joined), unions, size)

    @classmethod
    def _of_sorted(cls, pairs: np.ndarray, large: dict[int, BitMap], size: int) -> Sets:
        cells = pairs >> 32
        numbers = (pairs & 0xFFFFFFFF).astype(np.uint32)
        counts = np.bincount(cells, minlength=size).astype(np.int64)
        moving = set(np.flatnonzero(counts > LARGE).tolist()) | large.keys()
        if moving:
            ends = np.cumsum(counts)
            keep = np.ones(len(numbers), dtype=bool)
            for cell in moving:
                run = slice(int(ends[cell] - counts[cell]), int(ends[cell]))
                bitmap = large.setdefault(cell, BitMap())
                if run.start != run.stop:
                    bitmap |= BitMap(array("I", numbers[run].tobytes()))
                    large[cell] = bitmap
                    keep[run] = False
            for cell, bitmap in large.items():
                counts[cell] = len(bitmap)
            numbers = numbers[keep]
        return cls(counts, numbers, dict(sorted(large.items())))

    def small_counts(self) -> np.ndarray:
        """`counts` with 0 for the cells that are bitmaps."""
        if not self.large:
            return self.counts
        counts = self.counts.copy()
        counts[list(self.large)] = 0
        return counts

    def offset(self, cell: int) -> int:
        """Where the numbers of a cell begin in `ids`."""
        if self._offsets is None:
            self._offsets = np.concatenate([[0], np.cumsum(self.small_counts())])
        return int(self._offsets[cell])

    def slice(self, start: int, stop: int) -> Sets:
        """The sets of cells [start, stop)."""
        large = {cell - start: bitmap for cell, bitmap in self.large.items() if start <= cell < stop}
        return Sets(self.counts[start:stop], self.ids[self.offset(start) : self.offset(stop)], large)

    def at(self, cell: int) -> BitMap:
        """The set of one cell."""
        if cell in self.large:
            return self.large[cell]
        return BitMap(self.ids[self.offset(cell) : self.offset(cell + 1)])

    def pack_slices(self, edges: np.ndarray) -> list[bytes]:
        """The bytes of each run of cells: counts, small numbers, then each bitmap with its length; b"" for empty sets."""
        if self._offsets is None:
            self.offset(0)
        assert self._offsets is not None
        packed = [
            counts + ids if counts != ZEROS else b""
            for counts, ids in zip(
                pack_slices(self.counts, edges), pack_slices(self.ids, self._offsets[edges]), strict=True
            )
        ]
        for cell, bitmap in self.large.items():
            data = _canonical(bitmap)
            packed[int(np.searchsorted(edges, cell, side="right")) - 1] += struct.pack("<I", len(data)) + data
        return packed

    @classmethod
    def unpack(cls, reader: Reader, size: int) -> Sets:
        """A run of `pack_slices`, whose bytes must have been checked: a damaged bitmap is not noticed here."""
        counts = reader.integers(size)
        cells = np.flatnonzero(counts > LARGE).tolist()
        small = int(counts.sum() - counts[cells].sum())
        ids = reader.integers(small).astype(np.uint32)
        large = {}
        for cell in cells:
            (length,) = struct.unpack("<I", reader.take(4))
            large[cell] = BitMap.deserialize(bytes(reader.take(length)))
        return cls(counts, ids, large)

    @classmethod
    def empty(cls, size: int) -> Sets:
        """`size` empty sets."""
        return cls(np.zeros(size, dtype=np.int64), np.zeros(0, dtype=np.uint32), {})

    @classmethod
    def of_states(cls, states: Iterable[Iterable[int]]) -> Sets:
        """The column of given sets."""
        states = list(states)
        cells = np.repeat(np.arange(len(states)), [len(list(s)) for s in states])
        return cls.of_pairs(cells, np.array([n for s in states for n in s], dtype=np.int64), len(states))


def _canonical(bitmap: BitMap) -> bytes:
    """The one byte form of a set, whatever it was merged from.

    Optimizing leaves a container as it came where runs and an array are equally long; a new bitmap has arrays there.
    """
    bitmap.run_optimize()
    data = bitmap.serialize()
    if _has_tie(data):
        anew = BitMap(bitmap.to_array())
        anew.run_optimize()
        data = anew.serialize()
    return data


def _has_tie(data: bytes) -> bool:
    """True where a container of a serialized bitmap has runs that an array would be no longer than.

    Roaring's portable form: a cookie with the number of containers, a bit for each that has runs, key and size for each,
    from four containers on their offsets, then the containers.
    """
    cookie, last = struct.unpack_from("<HH", data)
    if cookie != WITH_RUNS:
        return False
    count = last + 1
    flags = data[4 : 4 + (count + 7) // 8]
    sizes = struct.unpack_from(f"<{2 * count}H", data, 4 + len(flags))[1::2]
    place = 4 + len(flags) + 4 * count + (4 * count if count >= WITH_OFFSETS else 0)
    for number, size in enumerate(sizes):
        values = size + 1
        if flags[number // 8] >> number % 8 & 1:
            (runs,) = struct.unpack_from("<H", data, place)
            if 2 + 4 * runs == 2 * values:
                return True
            place += 2 + 4 * runs
        else:
            place += 2 * values if values <= ARRAY_AT_MOST else BITSET_BYTES
    return False


def _pairs(cells: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return (cells.astype(np.int64, copy=False) << 32) | numbers


def _distinct_sorted(pairs: np.ndarray) -> np.ndarray:
    """Sorted and without repeats. A sort beats numpy's hash-based unique 30 times on 360,000 pairs."""
    if len(pairs) < 2:
        return pairs
    pairs = np.sort(pairs)
    first = np.empty(len(pairs), dtype=bool)
    first[0] = True
    np.not_equal(pairs[1:], pairs[:-1], out=first[1:])
    return pairs[first]
