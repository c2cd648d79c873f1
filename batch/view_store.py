"""The contract of the view store, owned by its writer. Backends live in views_layer.stores.

A view row holds all cells of a rollup for one hub and one bucket: an hour, or a day or month of the hub's time zone.
A row is addressed by its version, the epoch that wrote it, and never changes: a reader of epoch E takes for each
bucket the newest version up to E. The store is grey data: delete it, rebuild, and every number is the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True)
class ViewRow:
    """A state to be published: its bucket is [`start`, `end`), in hours since 1970 UTC."""

    hub: str
    rollup: str
    grain: str
    start: int
    end: int
    payload: bytes


GrainRange = tuple[str, int, int]
"""A grain, and a half-open range of hours."""


@dataclass(frozen=True, slots=True)
class RowAddress:
    """Where a row is: its bucket, its version, and the store's own reference."""

    grain: str
    start: int
    end: int
    version: int
    reference: int | str


@dataclass(frozen=True, slots=True)
class StoreSize:
    """How much a store holds, all versions and indexes included."""

    rows: int
    bytes: int


class RowsGone(Exception):
    """A row was cleaned up between two reads; the reader starts again from the published epoch."""


class NotSealed(RowsGone):
    """The store holds not all rows of a version: it was emptied, or the version is still written."""

    def __init__(self, version: int) -> None:
        super().__init__(f"The view store does not hold all rows of epoch {version}; read again.")


class StoreAway(RowsGone):
    """The store does not answer, or refuses for now: nothing can be read of it or written to it. Try again later.

    What a run has written stays and is written no second time, so a run that ends by it is simply done again.
    """


class ViewStore(ABC):
    """A store of immutable, version-addressed rows. Each method may raise StoreAway where the store is a server."""

    @abstractmethod
    def write(self, version: int, rows: Iterable[ViewRow]) -> int:
        """Write rows of a version; returns how many there were. Idempotent: an address that is there stays as it is."""

    @abstractmethod
    def addresses(
        self, hub: str, rollup: str, ranges: Sequence[GrainRange], version: int, must_be_sealed: bool = False
    ) -> list[RowAddress]:
        """For each range, and each bucket of its grain that starts in it, the newest row up to `version`, by start.

        A store that is a server is asked once, for however many ranges. `must_be_sealed`: raises RowsGone where `version`
        is not sealed once the rows are found, so that what was found is all there is.
        """

    @abstractmethod
    def written(self, version: int, rollup: str, grain: str) -> dict[str, list[int]]:
        """The buckets of a rollup and grain that a version has a row of, by hub. It costs what the version wrote."""

    @abstractmethod
    def first_start(self, hub: str, rollup: str, version: int, start: int = 0) -> int | None:
        """The first hour, of `start` or later, that has a row of up to `version`; None where there is none."""

    @abstractmethod
    def fetch(self, addresses: Sequence[RowAddress]) -> list[bytes]:
        """The payloads of rows, in the order asked for. Raises RowsGone where one is there no more."""

    @abstractmethod
    def seal(self, version: int, birth: str) -> bool:
        """Record that every row of `version` is written, under the declaration that is in force. Idempotent.

        False, and nothing recorded, where the store is no longer the one of that birth: it lost the rows meanwhile.
        """

    @abstractmethod
    def is_sealed(self, version: int) -> bool:
        """True where `version` was sealed in this very store and under the declaration that is in force.

        An emptied store answers False, and so does every store after a measure was added: its rows lack the measure.
        Version 0, which has no rows, is always sealed.
        """

    def seems_sealed(self, version: int) -> bool:
        """`is_sealed`, as far as this process was told: who goes by it asks for addresses that `must_be_sealed`."""
        return self.is_sealed(version)

    @abstractmethod
    def birth(self) -> str:
        """The mark of this very store, made when it is first asked for: an emptied store gets another one."""

    @abstractmethod
    def discard(self, version: int) -> None:
        """Delete the rows of a version that is not published."""

    @abstractmethod
    def clean_up(self, version: int) -> int:
        """Delete the rows that readers of `version` and later cannot need; returns how many."""

    @abstractmethod
    def remove_before(self, hub: str, hour: int) -> int:
        """Delete the rows, of all versions, of a hub's buckets that start before an hour; returns how many."""

    @abstractmethod
    def forget_days(self, hub: str) -> None:
        """Delete a hub's day and month rows (its time zone changed): readers fall back to hours.

        A run that began before the change may still write rows of the old zone; readers tell by their ends.
        """

    def trouble(self) -> str | None:
        """Why the store does not serve now, in a sentence; None where it does. Told within about a second."""
        return None

    def size(self) -> StoreSize | None:
        """How much the store holds, for those who watch it; None where that cannot be told cheaply."""
        return None


@cache
def view_store() -> ViewStore:
    """The store that settings name. Raises ImportError, TypeError for a wrong backend or option, at start."""
    return import_string(settings.VIEW_STORE["BACKEND"])(**settings.VIEW_STORE["OPTIONS"])
