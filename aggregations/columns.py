"""Events as columns, for folding many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from aggregations.event import Event
from aggregations.fields import INTEGER_FIELDS, OPTIONAL_INTEGERS
from aggregations.measures import Measure
from aggregations.rollups import HOUR_MS

Value = str | int | None
"""What a key may hold."""


def value_order(value: Value) -> tuple[bool, bool, Value | bool]:
    """Sort key of values: None first, then integers, then strings by code point."""
    return (value is not None, isinstance(value, str), False if value is None else value)


@dataclass(frozen=True, slots=True)
class Key:
    """A dictionary-encoded column: row i has the value `vocabulary[codes[i]]`. The vocabulary is sorted, each value once."""

    vocabulary: list[Value]
    codes: np.ndarray

    @classmethod
    def of(cls, values: Iterable[Value]) -> Key:
        """Encode a column of values."""
        values = list(values)
        vocabulary = sorted(set(values), key=value_order)
        code_of = {value: code for code, value in enumerate(vocabulary)}
        return cls(vocabulary, np.fromiter((code_of[value] for value in values), dtype=np.int64, count=len(values)))

    @classmethod
    def of_integers(cls, values: np.ndarray) -> Key:
        """Encode a column of integers without None."""
        vocabulary, codes = np.unique(values, return_inverse=True)
        return cls(vocabulary.tolist(), codes.astype(np.int64))

    @classmethod
    def constant(cls, value: Value, size: int) -> Key:
        """`size` rows of one value."""
        return cls([value], np.zeros(size, dtype=np.int64))

    def values(self) -> list[Value]:
        """The column decoded."""
        vocabulary = self.vocabulary
        return [vocabulary[code] for code in self.codes.tolist()]

    def take(self, rows: np.ndarray | slice) -> Key:
        """The key of some rows, with the vocabulary that they use."""
        codes = self.codes[rows]
        if len(self.vocabulary) == 1:
            return Key(self.vocabulary if len(codes) else [], codes)
        if len(codes) * 8 < len(self.vocabulary):
            used = np.unique(codes)
            codes = np.searchsorted(used, codes)
        else:
            is_used = np.zeros(len(self.vocabulary), dtype=bool)
            is_used[codes] = True
            if is_used.all():
                return Key(self.vocabulary, codes)
            used = np.flatnonzero(is_used)
            codes = (np.cumsum(is_used) - 1)[codes]
        vocabulary = self.vocabulary
        return Key([vocabulary[code] for code in used.tolist()], codes)

    def edges(self) -> np.ndarray:
        """Where the run of each value begins, and where the last ends; for a key whose rows are in order."""
        return np.searchsorted(self.codes, np.arange(len(self.vocabulary) + 1))

    def holding(self, accepts: Callable[[Value], bool]) -> np.ndarray:
        """For each row, whether its value is accepted; asked once for each value."""
        return np.array([accepts(value) for value in self.vocabulary], dtype=bool)[self.codes]

    @staticmethod
    def joined(keys: Sequence[Key]) -> Key:
        """The rows of several keys, one after the other, over one vocabulary."""
        if len(keys) == 1:
            return keys[0]
        first = keys[0].vocabulary if keys else []
        if all(key.vocabulary == first for key in keys[1:]):
            vocabulary, codes = first, [key.codes for key in keys]
        else:
            vocabulary = sorted({value for key in keys for value in key.vocabulary}, key=value_order)
            code_of = {value: code for code, value in enumerate(vocabulary)}
            codes = [np.array([code_of[value] for value in key.vocabulary], dtype=np.int64)[key.codes] for key in keys]
        return Key(vocabulary, np.concatenate([*codes, np.zeros(0, dtype=np.int64)]).astype(np.int64))


class EventColumns:
    """Columns of a list of events, each made when it is first asked for."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self.size = len(events)
        self._made: dict[str, object] = {}

    def key(self, name: str) -> Key:
        """The values of a field, or of `hour` or `is_bot`, as a key."""
        return self._make(f"key {name}", lambda: self._encoded(name))

    def integers(self, name: str) -> np.ndarray:
        """The values of an integer field as int64; 0 where there is none (see `is_set`)."""
        return self._make(f"integers {name}", lambda: self._read_integers(name))

    def is_set(self, name: str) -> np.ndarray:
        """For each event, whether the field has a value."""
        return self._make(f"is_set {name}", lambda: self._read_is_set(name))

    def contribution(self, measure: Measure) -> np.ndarray:
        """What each event adds to a measure; made once for all the rollups that hold it."""
        return self._make(f"contribution {measure.name}", lambda: measure.contribution(self))

    def _make(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def _encoded(self, name: str) -> Key:
        if name == "hour":
            return Key.of_integers(self.integers("occurred_at") // HOUR_MS)
        if name == "is_bot":
            return Key([0, 1], np.fromiter((e.is_bot for e in self._events), dtype=np.int64, count=self.size)).take(
                slice(None)
            )
        return Key.of(self._values(name))

    def _read_integers(self, name: str) -> np.ndarray:
        if name not in INTEGER_FIELDS:
            raise ValueError(f"{name!r} is no integer field of an event.")
        values = self._values(name)
        if name in OPTIONAL_INTEGERS:
            values = [0 if value is None else value for value in values]
        return np.array(values, dtype=np.int64)

    def _read_is_set(self, name: str) -> np.ndarray:
        if name in INTEGER_FIELDS:
            if name not in OPTIONAL_INTEGERS:
                return np.ones(self.size, dtype=bool)
            return np.array([value is not None for value in self._values(name)], dtype=bool)
        key = self.key(name)
        if not key.vocabulary or key.vocabulary[0] is not None:
            return np.ones(self.size, dtype=bool)
        return key.codes != 0

    def _values(self, name: str) -> list:
        return list(map(attrgetter(name), self._events))
