"""Cells: the states of a rollup, in columns. The one shape of a buffer's entry, a view row and an audit.

Cells are sorted by key, and each key is there once; so equal cells have equal bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from aggregations.columns import EventColumns, Key
from aggregations.measures import Groups, Measure
from aggregations.packing import Reader, pack_integers
from aggregations.rollups import Rollup

FORM = b"AFC1"
"""The form of the bytes. Another form gets another mark, and readers refuse marks that they do not know."""

_encode, _decode = msgspec.msgpack.encode, msgspec.msgpack.decode


class DamagedCells(ValueError):
    """Bytes that are not, or no longer, those of cells."""


@dataclass(slots=True)
class Cells:
    """`size` cells: the value of each key column, and of each measure a column of states."""

    keys: dict[str, Key]
    columns: dict[str, Any]
    size: int

    def slice(self, start: int, stop: int, measures: Sequence[Measure]) -> Cells:
        """The cells [start, stop)."""
        keys = {name: key.take(slice(start, stop)) for name, key in self.keys.items()}
        columns = {m.name: m.slice(self.columns[m.name], start, stop) for m in measures}
        return Cells(keys, columns, stop - start)

    def rows(self) -> list[tuple]:
        """The keys of each cell."""
        if not self.keys:
            return [()] * self.size
        return list(zip(*(key.values() for key in self.keys.values()), strict=True))

    def states(self, measures: Sequence[Measure]) -> dict[tuple, dict[str, Any]]:
        """The states by key, as the reference fold gives them: for tests and for the audit's record."""
        return {
            row: {m.name: m.at(self.columns[m.name], cell) for m in measures} for cell, row in enumerate(self.rows())
        }


def group(keys: Sequence[Key], size: int) -> Groups:
    """Put rows with equal keys into one cell; cells are numbered in the order of their keys."""
    combined = np.zeros(size, dtype=np.int64)
    span = 1
    for key in keys:
        width = max(len(key.vocabulary), 1)
        if span * width >= 2**62:
            combined = np.unique(combined, return_inverse=True)[1].astype(np.int64)
            span = size + 1
        combined = combined * width + key.codes
        span *= width
    order = np.argsort(combined, kind="stable")
    ordered = combined[order]
    first = np.ones(size, dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    cells = np.empty(size, dtype=np.int64)
    cells[order] = np.cumsum(first) - 1
    return Groups(cells, order, np.flatnonzero(first))


def assemble(
    keys: dict[str, Key],
    measures: Sequence[Measure],
    contributions: dict[str, np.ndarray],
    collected: dict[str, np.ndarray],
) -> Cells:
    """Fold rows into cells: `contributions` by measure, `collected` by the fields that sets and histograms hold."""
    size = len(next(iter(keys.values())).codes) if keys else len(next(iter(contributions.values())))
    groups = group(list(keys.values()), size)
    firsts = groups.order[groups.starts]
    return Cells(
        {name: key.take(firsts) for name, key in keys.items()},
        {m.name: m.fold(contributions[m.name], collected.get(m.field or ""), groups) for m in measures},
        groups.size,
    )


def fold(columns: EventColumns, rollup: Rollup) -> dict[str, Cells]:
    """Fold events into the cells of a rollup, by hub. The key columns are `rollup.keys`."""
    measures = rollup.measures
    keys = {name: columns.key(name) for name in ("hub", *rollup.keys)}
    contributions = {m.name: columns.contribution(m) for m in measures}
    collected = {m.field: columns.integers(m.field) for m in measures if m.collects and m.field}
    return split_by_hub(assemble(keys, measures, contributions, collected), measures)


def split_by_hub(cells: Cells, measures: Sequence[Measure]) -> dict[str, Cells]:
    """Cells with the first key `hub`, apart by hub and without that key."""
    hubs = cells.keys["hub"]
    rest = Cells({name: key for name, key in cells.keys.items() if name != "hub"}, cells.columns, cells.size)
    if len(hubs.vocabulary) == 1:
        return {hubs.vocabulary[0]: rest}  # type: ignore[dict-item]
    edges = np.searchsorted(hubs.codes, np.arange(len(hubs.vocabulary) + 1)).tolist()
    return {
        hub: rest.slice(edges[code], edges[code + 1], measures)  # type: ignore[misc]
        for code, hub in enumerate(hubs.vocabulary)
    }


def merge(parts: Sequence[Cells], measures: Sequence[Measure]) -> Cells:
    """Merge cells with the same key columns. Associative and commutative, to the byte."""
    if len(parts) == 1:
        return parts[0]
    return regroup([(cells, cells.keys, None) for cells in parts], measures)


def regroup(
    parts: Sequence[tuple[Cells, dict[str, Key], np.ndarray | None]], measures: Sequence[Measure]
) -> Cells:
    """Merge cells under new keys: for each part its cells, the new key columns, and a mask of those to keep."""
    kept = [np.arange(cells.size) if mask is None else np.flatnonzero(mask) for cells, _, mask in parts]
    names = list(parts[0][1]) if parts else []
    joined = {
        name: Key.joined([keys[name].take(rows) for (_, keys, _), rows in zip(parts, kept, strict=True)])
        for name in names
    }
    size = sum(len(rows) for rows in kept)
    groups = group(list(joined.values()), size)
    targets, offset = [], 0
    for (cells, _, _), rows in zip(parts, kept, strict=True):
        target = np.full(cells.size, -1, dtype=np.int64)
        target[rows] = groups.cells[offset : offset + len(rows)]
        targets.append(target)
        offset += len(rows)
    columns = {
        m.name: m.merge_columns(
            [(cells.columns[m.name], target) for (cells, _, _), target in zip(parts, targets, strict=True)],
            groups.size,
        )
        for m in measures
    }
    firsts = groups.order[groups.starts]
    return Cells({name: key.take(firsts) for name, key in joined.items()}, columns, groups.size)


def encode(cells: Cells, measures: Sequence[Measure]) -> bytes:
    """The bytes of cells: the form's mark, a checked header, then a checked section for each key and measure.

    Columns of zeros have no section.
    """
    sections: list[tuple[str, bytes]] = [
        (f"key {name}", _pack_key(key)) for name, key in cells.keys.items()
    ]
    for measure in measures:
        packed = measure.pack(cells.columns[measure.name])
        if packed.strip(b"\x00"):
            sections.append((measure.name, packed))
    header = _encode([cells.size, [[name, len(data), zlib.crc32(data)] for name, data in sections]])
    return b"".join(
        [FORM, struct.pack("<II", len(header), zlib.crc32(header)), header, *(data for _, data in sections)]
    )


def decode(data: bytes, rollup_keys: Sequence[str], measures: Sequence[Measure]) -> Cells:
    """The cells of `encode`, with only the measures asked for. Raises DamagedCells where a checksum does not hold."""
    size, sections = _sections(memoryview(data))
    keys = {name: _unpack_key(_checked(sections, f"key {name}"), size) for name in rollup_keys}
    columns = {}
    for measure in measures:
        if measure.name in sections:
            columns[measure.name] = measure.unpack(Reader(_checked(sections, measure.name)), size)
        else:
            columns[measure.name] = measure.empty(size)
    return Cells(keys, columns, size)


def _sections(data: memoryview) -> tuple[int, dict[str, tuple[memoryview, int]]]:
    if bytes(data[:4]) != FORM:
        raise DamagedCells(f"These bytes begin with {bytes(data[:4])!r}, not with {FORM!r}; rebuild them from the log.")
    length, checksum = struct.unpack_from("<II", data, 4)
    header = data[12 : 12 + length]
    if zlib.crc32(header) != checksum:
        raise DamagedCells("The header of these cells is damaged; rebuild them from the log.")
    size, entries = _decode(header)
    sections, offset = {}, 12 + length
    for name, section_length, section_checksum in entries:
        sections[name] = (data[offset : offset + section_length], section_checksum)
        offset += section_length
    return size, sections


def _checked(sections: dict[str, tuple[memoryview, int]], name: str) -> memoryview:
    if name not in sections:
        raise DamagedCells(f"These cells have no section {name!r}; rebuild them from the log.")
    section, checksum = sections[name]
    if zlib.crc32(section) != checksum:
        raise DamagedCells(f"The section {name!r} of these cells is damaged; rebuild them from the log.")
    return section


def _pack_key(key: Key) -> bytes:
    vocabulary = _encode(key.vocabulary)
    return struct.pack("<I", len(vocabulary)) + vocabulary + pack_integers(key.codes)


def _unpack_key(data: memoryview, size: int) -> Key:
    reader = Reader(data)
    (length,) = struct.unpack("<I", reader.take(4))
    return Key(_decode(reader.take(length)), reader.integers(size))
