"""Exact histograms, one per cell, in columns: how often each value occurs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aggregations.packing import ZEROS, Reader, pack_slices


class Histograms:
    """A column: `lengths[i]` entries for cell i; `values` and `counts` of all, in order of cell and value."""

    __slots__ = ("counts", "lengths", "values")

    def __init__(self, lengths: np.ndarray, values: np.ndarray, counts: np.ndarray) -> None:
        self.lengths, self.values, self.counts = lengths, values, counts

    @classmethod
    def of_triples(cls, cells: np.ndarray, values: np.ndarray, counts: np.ndarray, size: int) -> Histograms:
        """The histograms of (cell, value, count) triples in any order, for `size` cells; counts of 0 are left out."""
        kept = counts > 0
        cells, values, counts = cells[kept], values[kept], counts[kept]
        order = np.lexsort((values, cells))
        cells, values, counts = cells[order], values[order], counts[order]
        first = np.ones(len(cells), dtype=bool)
        first[1:] = (cells[1:] != cells[:-1]) | (values[1:] != values[:-1])
        starts = np.flatnonzero(first)
        summed = np.add.reduceat(counts, starts) if len(starts) else np.zeros(0, dtype=np.int64)
        return cls(np.bincount(cells[starts], minlength=size).astype(np.int64), values[starts], summed)

    @classmethod
    def merge(cls, parts: Sequence[tuple[Histograms, np.ndarray]], size: int) -> Histograms:
        """The sum of columns; each comes with the new cell of each of its cells (-1: left out)."""
        cells = [np.repeat(targets, histograms.lengths) for histograms, targets in parts]
        joined = np.concatenate([*cells, np.zeros(0, dtype=np.int64)]).astype(np.int64)
        values = np.concatenate([*(h.values for h, _ in parts), np.zeros(0, dtype=np.int64)])
        counts = np.concatenate([*(h.counts for h, _ in parts), np.zeros(0, dtype=np.int64)])
        kept = joined >= 0
        return cls.of_triples(joined[kept], values[kept], counts[kept], size)

    @classmethod
    def of_states(cls, states: Sequence[dict[int, int]]) -> Histograms:
        """The column of given histograms."""
        cells = np.repeat(np.arange(len(states)), [len(state) for state in states])
        values = np.array([value for state in states for value in state], dtype=np.int64)
        counts = np.array([count for state in states for count in state.values()], dtype=np.int64)
        return cls.of_triples(cells, values, counts, len(states))

    def slice(self, start: int, stop: int) -> Histograms:
        """The histograms of cells [start, stop)."""
        before, after = int(self.lengths[:start].sum()), int(self.lengths[:stop].sum())
        return Histograms(self.lengths[start:stop], self.values[before:after], self.counts[before:after])

    def at(self, cell: int) -> dict[int, int]:
        """The histogram of one cell, in order of value."""
        one = self.slice(cell, cell + 1)
        return dict(zip(one.values.tolist(), one.counts.tolist(), strict=True))

    def pack_slices(self, edges: np.ndarray) -> list[bytes]:
        """The bytes of each run of cells: lengths, values, counts; b"" for empty histograms."""
        entries = np.concatenate([[0], np.cumsum(self.lengths)])[edges]
        return [
            lengths + values + counts if lengths != ZEROS else b""
            for lengths, values, counts in zip(
                pack_slices(self.lengths, edges),
                pack_slices(self.values, entries),
                pack_slices(self.counts, entries),
                strict=True,
            )
        ]

    @classmethod
    def unpack(cls, reader: Reader, size: int) -> Histograms:
        """A run of `pack_slices`."""
        lengths = reader.integers(size)
        entries = int(lengths.sum())
        return cls(lengths, reader.integers(entries), reader.integers(entries))
