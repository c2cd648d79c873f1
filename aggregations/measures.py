"""The kinds of measures: a closed list. Each is a commutative monoid with one byte form, and never holds a float.

A kind does the same thing in two shapes. For one event: `prepare`, `merge`, `present`; this is the definition. For
columns: `contribution` of many events, `fold` into cells, `merge_columns`, `pack`; this is what the layers run, and
the laws in tests/laws hold it to the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pyroaring import BitMap

from aggregations.event import Event
from aggregations.fields import INTEGER_FIELDS, Condition
from aggregations.histograms import Histograms
from aggregations.packing import ZEROS, Reader, pack_slices
from aggregations.sets import Sets

if TYPE_CHECKING:
    from aggregations.columns import EventColumns

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
MOMENTS = frozenset({"occurred_at", "received_at"})
"""The integer fields with more than 32 bits."""


class Groups:
    """Which cell each row belongs to: `cells[i]` for row i, `size` cells; `order` sorts rows by cell."""

    def __init__(self, cells: np.ndarray, order: np.ndarray, starts: np.ndarray) -> None:
        self.cells, self.order, self.starts = cells, order, starts
        self.size = len(starts)

    def reduce(self, operation: np.ufunc, values: np.ndarray) -> np.ndarray:
        """`operation` over the values of each cell, in int64."""
        return operation.reduceat(values[self.order], self.starts) if self.size else np.zeros(0, dtype=np.int64)


def _accumulated(operation: np.ufunc, into: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """`into` after each part's values were put in by `operation`, each at its target (-1: left out)."""
    for column, targets in parts:
        kept = targets >= 0
        operation.at(into, targets[kept], column[kept])
    return into


class Measure:
    """What is computed for each cell. `field` is the event's field that it reads, `where` the events it counts."""

    field: str | None = None

    def __init__(self, name: str, where: Condition | None = None) -> None:
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name for a measure; use letters, digits and _.")
        self.name, self.where = name, where

    def counts(self, event: Event) -> bool:
        """True where `event` passes `where`."""
        return self.where is None or self.where.holds(event)

    def zero(self) -> Any:
        raise NotImplementedError

    def prepare(self, event: Event) -> Any:
        """The state of one event."""
        raise NotImplementedError

    def merge(self, first: Any, second: Any) -> Any:
        """The state of both. Associative, commutative; `zero()` changes nothing."""
        raise NotImplementedError

    def present(self, state: Any) -> Any:
        """The number that a reader sees."""
        raise NotImplementedError

    def contribution(self, columns: EventColumns) -> np.ndarray:
        """What each event adds, in the form of the SQL of `partial_sql`."""
        raise NotImplementedError

    def partial_sql(self) -> str:
        """The same for a group of events with equal keys and equal `field`s of the sets, as an SQL aggregate."""
        raise NotImplementedError

    def fold(self, contribution: np.ndarray, values: np.ndarray | None, groups: Groups) -> Any:
        """A column of states; `values` are those of `field` where the measure collects them."""
        raise NotImplementedError

    def merge_columns(self, parts: Sequence[tuple[Any, np.ndarray]], size: int) -> Any:
        """Merge columns, each with the new cell of each of its cells (-1: left out)."""
        raise NotImplementedError

    def empty(self, size: int) -> Any:
        """A column of zeros."""
        raise NotImplementedError

    def slice(self, column: Any, start: int, stop: int) -> Any:
        return column[start:stop]

    def at(self, column: Any, cell: int) -> Any:
        """The state of one cell."""
        return int(column[cell])

    def pack_slices(self, column: Any, edges: np.ndarray) -> list[bytes]:
        """The bytes of each run of cells `edges[i]` to `edges[i + 1]`; b"" where `empty` would give the same column."""
        return [b"" if packed == ZEROS else packed for packed in pack_slices(column, edges)]

    def unpack(self, reader: Reader, size: int) -> Any:
        return reader.integers(size)

    def column_of(self, states: Sequence[Any]) -> Any:
        """The column of given states."""
        return np.array(states, dtype=np.int64)

    def presented(self, column: Any) -> list[Any]:
        """`present` of every cell."""
        return [self.present(state) for state in column.tolist()]

    @property
    def collects(self) -> bool:
        """True where the states hold the values of `field` themselves, and so SQL must group by it."""
        return False

    def _mask(self, columns: EventColumns) -> np.ndarray:
        return np.ones(columns.size, dtype=bool) if self.where is None else self.where.mask(columns)


class Count(Measure):
    """The number of events."""

    def zero(self) -> int:
        return 0

    def prepare(self, event: Event) -> int:
        return int(self.counts(event))

    def merge(self, first: int, second: int) -> int:
        return first + second

    def present(self, state: int) -> int:
        return state

    def contribution(self, columns: EventColumns) -> np.ndarray:
        return self._mask(columns).astype(np.int64)

    def partial_sql(self) -> str:
        return "count(*)" if self.where is None else f"count(CASE WHEN {self.where.sql()} THEN 1 END)"

    def fold(self, contribution: np.ndarray, values: np.ndarray | None, groups: Groups) -> np.ndarray:
        return groups.reduce(np.add, contribution)

    def merge_columns(self, parts: Sequence[tuple[np.ndarray, np.ndarray]], size: int) -> np.ndarray:
        return _accumulated(np.add, self.empty(size), parts)

    def empty(self, size: int) -> np.ndarray:
        return np.zeros(size, dtype=np.int64)

    def presented(self, column: np.ndarray) -> list[int]:
        return column.tolist()


class OfField(Measure):
    """A measure of one integer field; events without a value add nothing."""

    field: str

    def __init__(self, name: str, field: str, where: Condition | None = None) -> None:
        super().__init__(name, where)
        if field not in INTEGER_FIELDS:
            raise ValueError(f"{name}: {field!r} is no integer field of an event; use one of {sorted(INTEGER_FIELDS)}.")
        self.field = field

    def value(self, event: Event) -> int | None:
        return getattr(event, self.field) if self.counts(event) else None

    def _values(self, columns: EventColumns, absent: int) -> np.ndarray:
        kept = self._mask(columns) & columns.is_set(self.field)
        return np.where(kept, columns.integers(self.field), absent)

    def _case_sql(self) -> str:
        return self.field if self.where is None else f"CASE WHEN {self.where.sql()} THEN {self.field} END"


class Sum(OfField):
    """The sum of a field, in 64 bits."""

    zero, merge, present = Count.zero, Count.merge, Count.present
    fold, merge_columns, empty, presented = Count.fold, Count.merge_columns, Count.empty, Count.presented

    def prepare(self, event: Event) -> int:
        return self.value(event) or 0

    def contribution(self, columns: EventColumns) -> np.ndarray:
        return self._values(columns, 0)

    def partial_sql(self) -> str:
        return f"coalesce(CAST(sum({self._case_sql()}) AS BIGINT), 0)"


class Extreme(OfField):
    """The least or greatest value of a field; `absent` is the state of no value, presented as None."""

    absent: int
    operation: np.ufunc
    sql_name: str

    def zero(self) -> int:
        return self.absent

    def prepare(self, event: Event) -> int:
        value = self.value(event)
        return self.absent if value is None else value

    def merge(self, first: int, second: int) -> int:
        return int(self.operation(first, second))

    def present(self, state: int) -> int | None:
        return None if state == self.absent else state

    def contribution(self, columns: EventColumns) -> np.ndarray:
        return self._values(columns, self.absent)

    def partial_sql(self) -> str:
        return f"coalesce(CAST({self.sql_name}({self._case_sql()}) AS BIGINT), CAST('{self.absent}' AS BIGINT))"

    def fold(self, contribution: np.ndarray, values: np.ndarray | None, groups: Groups) -> np.ndarray:
        return groups.reduce(self.operation, contribution)

    def merge_columns(self, parts: Sequence[tuple[np.ndarray, np.ndarray]], size: int) -> np.ndarray:
        return _accumulated(self.operation, self.empty(size), parts)

    def empty(self, size: int) -> np.ndarray:
        return np.full(size, self.absent, dtype=np.int64)

    def pack_slices(self, column: np.ndarray, edges: np.ndarray) -> list[bytes]:
        return pack_slices(column, edges)


class Min(Extreme):
    """The least value of a field."""

    absent, operation, sql_name = INT64_MAX, np.minimum, "min"


class Max(Extreme):
    """The greatest value of a field."""

    absent, operation, sql_name = INT64_MIN, np.maximum, "max"


class Distinct(OfField):
    """The exact set of the values of a field, which are numbers of 1 to 2^32 - 1."""

    def __init__(self, name: str, field: str, where: Condition | None = None) -> None:
        super().__init__(name, field, where)
        if field in MOMENTS:
            raise ValueError(f"{name}: {field!r} does not fit in 32 bits; a Histogram holds its values exactly.")

    def zero(self) -> BitMap:
        return BitMap()

    def prepare(self, event: Event) -> BitMap:
        value = self.value(event)
        return BitMap() if value is None else BitMap([value])

    def merge(self, first: BitMap, second: BitMap) -> BitMap:
        return first | second

    def present(self, state: BitMap) -> int:
        return len(state)

    @property
    def collects(self) -> bool:
        return True

    def contribution(self, columns: EventColumns) -> np.ndarray:
        return self._mask(columns) & columns.is_set(self.field)

    def partial_sql(self) -> str:
        return "true" if self.where is None else f"bool_or({self.where.sql()})"

    def fold(self, contribution: np.ndarray, values: np.ndarray | None, groups: Groups) -> Sets:
        assert values is not None
        kept = contribution.astype(bool, copy=False)
        if kept.all():
            return Sets.of_pairs(groups.cells, values, groups.size)
        return Sets.of_pairs(groups.cells[kept], values[kept], groups.size)

    def merge_columns(self, parts: Sequence[tuple[Sets, np.ndarray]], size: int) -> Sets:
        return Sets.merge(parts, size)

    def empty(self, size: int) -> Sets:
        return Sets.empty(size)

    def slice(self, column: Sets, start: int, stop: int) -> Sets:
        return column.slice(start, stop)

    def at(self, column: Sets, cell: int) -> BitMap:
        return column.at(cell)

    def pack_slices(self, column: Sets, edges: np.ndarray) -> list[bytes]:
        return column.pack_slices(edges)

    def unpack(self, reader: Reader, size: int) -> Sets:
        return Sets.unpack(reader, size)

    def column_of(self, states: Sequence[BitMap]) -> Sets:
        return Sets.of_states(states)

    def presented(self, column: Sets) -> list[int]:
        return column.counts.tolist()


class Histogram(OfField):
    """How often each value of a field occurs: a map from value to count."""

    def zero(self) -> dict[int, int]:
        return {}

    def prepare(self, event: Event) -> dict[int, int]:
        value = self.value(event)
        return {} if value is None else {value: 1}

    def merge(self, first: dict[int, int], second: dict[int, int]) -> dict[int, int]:
        merged = dict(first)
        for value, count in second.items():
            merged[value] = merged.get(value, 0) + count
        return dict(sorted(merged.items()))

    def present(self, state: dict[int, int]) -> dict[int, int]:
        return state

    @property
    def collects(self) -> bool:
        return True

    def contribution(self, columns: EventColumns) -> np.ndarray:
        return (self._mask(columns) & columns.is_set(self.field)).astype(np.int64)

    def partial_sql(self) -> str:
        condition = f"{self.field} IS NOT NULL" + (f" AND {self.where.sql()}" if self.where else "")
        return f"count(CASE WHEN {condition} THEN 1 END)"

    def fold(self, contribution: np.ndarray, values: np.ndarray | None, groups: Groups) -> Histograms:
        assert values is not None
        return Histograms.of_triples(groups.cells, values, contribution, groups.size)

    def merge_columns(self, parts: Sequence[tuple[Histograms, np.ndarray]], size: int) -> Histograms:
        return Histograms.merge(parts, size)

    def empty(self, size: int) -> Histograms:
        return Histograms.of_states([{}] * size)

    def slice(self, column: Histograms, start: int, stop: int) -> Histograms:
        return column.slice(start, stop)

    def at(self, column: Histograms, cell: int) -> dict[int, int]:
        return column.at(cell)

    def pack_slices(self, column: Histograms, edges: np.ndarray) -> list[bytes]:
        return column.pack_slices(edges)

    def unpack(self, reader: Reader, size: int) -> Histograms:
        return Histograms.unpack(reader, size)

    def column_of(self, states: Sequence[dict[int, int]]) -> Histograms:
        return Histograms.of_states(states)

    def presented(self, column: Histograms) -> list[dict[int, int]]:
        return [column.at(cell) for cell in range(len(column.lengths))]


class Ratio:
    """A quotient of two measures of the same rollup (or 1 minus it). Both parts are kept; only `present` divides."""

    def __init__(self, name: str, numerator: str, denominator: str, complement: bool = False) -> None:
        self.name, self.numerator, self.denominator, self.complement = name, numerator, denominator, complement

    def present(self, numerator: int, denominator: int) -> float | None:
        """The quotient; None where the divisor is 0."""
        if denominator == 0:
            return None
        if self.complement:
            return (denominator - numerator) / denominator
        return numerator / denominator
