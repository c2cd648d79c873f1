"""Fields of an event, and conditions on them. A condition is written once and read by three readers:
`holds` for one event, `mask` for columns of events, `sql` for the batch engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aggregations.event import Event

if TYPE_CHECKING:
    from aggregations.columns import EventColumns

INTEGER_FIELDS = frozenset(
    {"visitor", "visit", "visit_number", "duration_ms", "page", "pages", "occurred_at", "received_at"}
)
OPTIONAL_INTEGERS = frozenset({"page", "pages"})
"""Integer fields that may be without a value."""
STRING_FIELDS = frozenset(
    {"hub", "id", "action", "media", "media_kind", "title", "network", "share", "via", "target", "previous"}
    | {"referrer", "source", "intermediary", "device", "browser", "os", "country", "language"}
)


class Condition:
    """What an event must satisfy to be counted."""

    def holds(self, event: Event) -> bool:
        raise NotImplementedError

    def mask(self, columns: EventColumns) -> np.ndarray:
        raise NotImplementedError

    def sql(self) -> str:
        raise NotImplementedError

    def __and__(self, other: Condition) -> Condition:
        return Both(self, other)

    def __or__(self, other: Condition) -> Condition:
        return Either(self, other)


@dataclass(frozen=True)
class Comparison(Condition):
    """A field against a constant. Not satisfied where the field has no value (also by !=)."""

    field: str
    symbol: str
    constant: str | int

    def holds(self, event: Event) -> bool:
        value = getattr(event, self.field)
        return value is not None and _COMPARE[self.symbol](value, self.constant)

    def mask(self, columns: EventColumns) -> np.ndarray:
        if isinstance(self.constant, int):
            return columns.is_set(self.field) & _COMPARE[self.symbol](columns.integers(self.field), self.constant)
        compare = _COMPARE[self.symbol]
        return columns.key(self.field).holding(lambda value: value is not None and compare(value, self.constant))

    def sql(self) -> str:
        constant = self.constant if isinstance(self.constant, int) else sql_text(self.constant)
        return f"coalesce({self.field} {_SQL_SYMBOL[self.symbol]} {constant}, false)"


@dataclass(frozen=True)
class IsSet(Condition):
    """A field that has a value."""

    field: str

    def holds(self, event: Event) -> bool:
        return getattr(event, self.field) is not None

    def mask(self, columns: EventColumns) -> np.ndarray:
        return columns.is_set(self.field)

    def sql(self) -> str:
        return f"({self.field} IS NOT NULL)"


@dataclass(frozen=True)
class Both(Condition):
    first: Condition
    second: Condition

    def holds(self, event: Event) -> bool:
        return self.first.holds(event) and self.second.holds(event)

    def mask(self, columns: EventColumns) -> np.ndarray:
        return self.first.mask(columns) & self.second.mask(columns)

    def sql(self) -> str:
        return f"({self.first.sql()} AND {self.second.sql()})"


@dataclass(frozen=True)
class Either(Condition):
    first: Condition
    second: Condition

    def holds(self, event: Event) -> bool:
        return self.first.holds(event) or self.second.holds(event)

    def mask(self, columns: EventColumns) -> np.ndarray:
        return self.first.mask(columns) | self.second.mask(columns)

    def sql(self) -> str:
        return f"({self.first.sql()} OR {self.second.sql()})"


class Field:
    """A field of an event, for writing conditions: `action == "view"`, `page >= 2`, `media.is_set`."""

    def __init__(self, name: str) -> None:
        if name not in INTEGER_FIELDS | STRING_FIELDS:
            raise ValueError(f"{name!r} is no field of an event that can be counted by.")
        self.name = name

    def _compare(self, symbol: str, constant: object) -> Comparison:
        wanted = int if self.name in INTEGER_FIELDS else str
        if type(constant) is not wanted:
            raise TypeError(
                f"{self.name} is compared with {constant!r}; it needs a constant of type {wanted.__name__}."
            )
        return Comparison(self.name, symbol, constant)

    def __eq__(self, constant: object) -> Comparison:  # type: ignore[override]
        return self._compare("==", constant)

    def __ne__(self, constant: object) -> Comparison:  # type: ignore[override]
        return self._compare("!=", constant)

    def __ge__(self, constant: int) -> Comparison:
        return self._compare(">=", constant)

    __hash__ = None  # type: ignore[assignment]

    @property
    def is_set(self) -> IsSet:
        return IsSet(self.name)


_COMPARE: dict[str, Callable] = {
    "==": lambda value, constant: value == constant,
    "!=": lambda value, constant: value != constant,
    ">=": lambda value, constant: value >= constant,
}
_SQL_SYMBOL = {"==": "=", "!=": "<>", ">=": ">="}


def sql_text(text: str) -> str:
    """`text` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
