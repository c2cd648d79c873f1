"""The contract of the batch engine: folds files of the archive into cells."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache

import pyarrow as pa
from django.conf import settings
from django.utils.module_loading import import_string

from aggregations.cells import Cells
from aggregations.measures import Measure
from aggregations.rollups import Rollup

Span = tuple[int, int]
"""A half-open range of occurrence in milliseconds."""


class EngineAway(Exception):
    """An engine, or something that it needs, is not there: what, and the way out."""


class Window(ABC):
    """Some events held ready for several folds."""

    @abstractmethod
    def folds(self, rollups: Sequence[Rollup]) -> Iterator[tuple[Rollup, dict[str, Cells]]]:
        """Each rollup with its cells by hub, with `rollup.keys` as keys, in an order of the engine's own.

        The cells are what aggregations.cells.fold gives for the events. Work on the next goes on while the caller uses one.
        """

    @abstractmethod
    def count(self) -> int:
        """The number of events."""


class Engine(ABC):
    """Folds events at rest: what batch runs work with."""

    @abstractmethod
    def window(self, paths: Sequence[str], spans: Sequence[Span] | None = None) -> AbstractContextManager[Window]:
        """The events of files of the archive, of those that occurred in one of `spans` (None: all)."""

    @abstractmethod
    def rows(self, paths: Sequence[str], select: str, where: str, parameters: Sequence[object]) -> Iterator[tuple]:
        """Rows of an SQL selection over the events of files, in SQL that every engine reads."""

    def trouble(self) -> str | None:
        """What is wrong with the server behind it, in a sentence; None where it serves, or there is none."""
        return None


class RawEngine(ABC):
    """Answers questions of raw events while somebody waits: over files, and a table of events that are in none yet."""

    @abstractmethod
    def ask(
        self,
        paths: Sequence[str],
        tail: pa.Table | None,
        where: str,
        parameters: Sequence[object],
        keys: Mapping[str, str],
        measures: Sequence[Measure],
    ) -> Cells:
        """One fold by SQL expressions."""

    @abstractmethod
    def select(
        self, paths: Sequence[str], tail: pa.Table | None, select: str, where: str, parameters: Sequence[object]
    ) -> Iterator[tuple]:
        """Rows of an SQL selection."""

    @abstractmethod
    def table(
        self,
        paths: Sequence[str],
        tail: pa.Table | None,
        columns: Mapping[str, str],
        where: str,
        parameters: Sequence[object],
    ) -> pa.Table:
        """The same as a table of `columns`, expressions by name, in no order."""


@cache
def engine() -> Engine:
    """The engine that settings name. Raises ImportError, TypeError, ValueError for a wrong backend or option, and
    EngineAway where something is not installed: at start.
    """
    return import_string(settings.BATCH_ENGINE["BACKEND"])(**settings.BATCH_ENGINE["OPTIONS"])


@cache
def raw_engine() -> RawEngine:
    """The engine of questions, which is the same whatever runs are made with: an answer cannot wait for a cluster."""
    return import_string(settings.RAW_ENGINE["BACKEND"])(**settings.RAW_ENGINE["OPTIONS"])
