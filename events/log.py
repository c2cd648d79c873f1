"""The contract of the event log, and the positions in it.

The log is the truth: everything else (numbering, buffers, archive, view rows) can be computed from it again.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils.module_loading import import_string

from aggregations.event import Event

FREQUENT = 100
"""A visitor with more visits is frequent: they are never all read at once."""

SAMPLES = 1_000
"""How many rejected events of public callers are kept of each hub, code and UTC day; the others are only counted."""

Position = dict[str, int]
"""Where in the log: for each partition the sequence of its last chunk (from 1; a partition without chunk is absent)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events appended together, in one atomic write. `received_at` is in milliseconds."""

    partition: str
    sequence: int
    received_at: int
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class VisitSpan:
    """A visit as the numbering knows it: first and last occurrence in ms, and the n of "nth visit of this visitor"."""

    number: int
    ordinal: int
    first_at: int
    last_at: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that was not accepted: why, and the payload as it came.

    `hub` is "" where it is not known. `is_public` where anybody may send as many. Rejections with one `key` are one.
    """

    hub: str
    code: str
    detail: str
    payload: bytes
    received_at: int
    is_public: bool = False
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What became of events: of those received, each was accepted, a duplicate or rejected. `stored` are in chunks.

    `removed` were accepted and have been taken out of the log since.
    """

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    removed: int = 0
    stored: int = 0

    @property
    def adds_up(self) -> bool:
        """True where each of those received became something."""
        return self.received == self.accepted + self.duplicates + self.rejected

    @property
    def is_balanced(self) -> bool:
        """True where they add up, and the chunks hold those that they should."""
        return self.adds_up and self.stored == self.accepted - self.removed


class LogGap(Exception):
    """A chunk is missing between two that are there; reading stops before the gap."""


class LogCorrupt(Exception):
    """A chunk's bytes are not those that were written; reading stops before it."""


class LogBusy(Exception):
    """The log could not be written in time; nothing was written, and the caller may try again."""


class WriterFenced(LogBusy):
    """Another writer took the sequence or a number first; nothing was written, and the caller may try again."""


class AppendTooSlow(LogBusy):
    """An append outlasted the time that a writer has for one; nothing was written. Fewer events at a time may do."""


class LogUnsure(LogBusy):
    """Whether the log was written is unknown. The caller may try again with the same ids, which count once."""


class LogUnfit(LogBusy):
    """The server of the log does not promise what a log needs, or lacks an index; nothing was written."""


class ChunkTooLarge(Exception):
    """A write holds more than one chunk of this log can; nothing was written. Parts of it can be written one by one."""


class LogAway(Exception):
    """The log cannot be read now; the caller may try again."""


AWAY = (LogAway, OperationalError, InterfaceError)
"""What says that a store does not serve now: its server is away, or the disk is full. It heals without a hand on it."""


class LogWriter(ABC):
    """One open append. All its writes become visible and durable together, or not at all.

    A backend without transactions may leave numbers that nothing uses, and commits several chunks of one write, which then
    claims no ids, one after the other. Of a write that claims ids and appends nothing it may append an empty chunk.
    """

    @abstractmethod
    def is_current(self, sequence: int) -> bool:
        """True where the partition's last chunk is `sequence`, and nobody else has numbered since, in no partition."""

    @abstractmethod
    def claim_ids(self, ids: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Claim (hub, event id) pairs; returns those that were claimed before this append."""

    @abstractmethod
    def visitors(self, keys: Sequence[tuple[str, bytes]]) -> dict[tuple[str, bytes], int]:
        """The numbers of known (hub, visitor key) pairs; unknown ones are absent."""

    @abstractmethod
    def last_numbers(self, hubs: Sequence[str]) -> dict[str, tuple[int, int]]:
        """For each hub the highest visitor number and the highest visit number given so far (0 where none)."""

    @abstractmethod
    def frequent(self, visitors: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The number of visits of those (hub, visitor number) that have more than FREQUENT; the others are absent."""

    @abstractmethod
    def visits(self, visitors: Sequence[tuple[str, int]]) -> dict[tuple[str, int], dict[bytes, VisitSpan]]:
        """For each (hub, visitor number) all its visits by visit key. For visitors that are not frequent."""

    @abstractmethod
    def named_visits(self, hub: str, visitor: int, keys: Sequence[bytes]) -> dict[bytes, VisitSpan]:
        """Those of a visitor's visits that have one of these keys."""

    @abstractmethod
    def first_visits(self, hub: str, visitor: int, windows: Iterable[tuple[int, int]]) -> dict[bytes, VisitSpan]:
        """For each window of ms (both ends included) the first visit, by (first_at, number), that overlaps it.

        For frequent visitors, in a time that does not grow with their visits: by an index of their *outline*, which
        leaves out each visit that ends no later than one before it, and so has rising ends.
        """

    @abstractmethod
    def save_numbering(
        self,
        visitors: Sequence[tuple[str, bytes, int]],
        visits: Sequence[tuple[str, int, bytes, VisitSpan]],
    ) -> None:
        """Write new visitors (hub, key, number) and new or longer visits (hub, visitor, key, span); mind who becomes
        frequent: the highest ordinal of a visitor is the number of its visits."""

    @abstractmethod
    def forget(self, hub: str, visitors: Sequence[int]) -> None:
        """Make the keys of visitors and of their visits unknown. The numbers stay taken for ever; idempotent.

        Whoever comes back with such a key is a new visitor. Other writers hold what they have read until the next
        append, so an append belongs to it, be it of no events.
        """

    @abstractmethod
    def append(self, events: Sequence[Event], received_at: int) -> int:
        """Append one chunk; returns its sequence. Raises WriterFenced on a sequence that another writer took.

        So may leaving the context, which also raises ChunkTooLarge.
        """

    @abstractmethod
    def reject(self, rejections: Sequence[Rejection]) -> None:
        """Keep rejected events in the inbox, and count them by hub, code and UTC day.

        One whose key is there already changes nothing. Beyond SAMPLES public ones of a hub, code and day are counted
        and not kept.
        """

    @abstractmethod
    def account(self, hub: str, hour: int, account: Account) -> None:
        """Add to what is known of a hub's events received in an hour (since 1970); `stored` follows from the chunks."""


class EventLog(ABC):
    """An append-only log of chunks in partitions. Sequences of a partition are contiguous from 1.

    Reading raises LogAway, or DatabaseError where the log is in tables, while its server does not serve.
    """

    @abstractmethod
    def birth(self) -> str:
        """The mark of this very log, made when it is first asked for: an emptied log, and a restored one, get another.

        Positions alone do not tell logs apart: after a restore the same numbers stand for other chunks. So what was
        computed from a log (buffers) bears its mark.
        """

    @abstractmethod
    def writer(self, partition: str = "main") -> AbstractContextManager[LogWriter]:
        """One append; leaving the context commits to disk, an exception undoes all. Raises LogBusy, LogUnsure."""

    @abstractmethod
    def head(self) -> Position:
        """The position of the last chunk of each partition."""

    @abstractmethod
    def read(self, after: Position, until: Position | None = None) -> Iterator[Chunk]:
        """Chunks after one position, up to another (included), in order of sequence.

        Raises LogGap at a gap, also one before `until`; LogCorrupt for a chunk whose checksum fails.
        """

    @abstractmethod
    def remove(self, until: Position, is_removed: Callable[[Event], bool]) -> int:
        """Take events out of the chunks up to a position, for good; returns how many. Idempotent, also side by side.

        Chunks, their sequences and their times of receipt stay, so every position means what it meant. Only events
        whose removal is recorded may go: archive, rows and buffers are computed from what is left. Raises LogBusy where
        a trace of them is left, after which it is to be called again.
        """

    @abstractmethod
    def accounts(self, start: int, end: int) -> dict[int, Account]:
        """For each hour of [start, end), in hours since 1970, in which anything was received: the account of all hubs."""

    @abstractmethod
    def received_at(self, partition: str, sequence: int) -> int | None:
        """When a chunk was received, in milliseconds; None where there is no such chunk."""

    @abstractmethod
    def visitor_number(self, hub: str, key: bytes) -> int | None:
        """The number of the visitor of a hub with a key; None where it has none, or was erased."""

    @abstractmethod
    def count_between(self, after: Position, until: Position) -> int:
        """Number of events in chunks after one position, up to another (included)."""

    def prepare(self) -> list[str]:
        """Make what the log needs beside its migrations, such as indexes; returns their names. Idempotent."""
        return []

    def weakness(self) -> str | None:
        """What the log's server could lose although it promises what a log needs; None where nothing. Raises LogUnfit."""
        return None

    def trouble(self) -> str | None:
        """Why the log's server does not serve now, in a sentence; None where it does. Told within about a second."""
        return None


@cache
def event_log() -> EventLog:
    """The log that settings name. Raises ImportError, TypeError for a wrong backend or option, at start."""
    chosen: dict[str, Any] = settings.EVENT_LOG
    return import_string(chosen["BACKEND"])(**chosen["OPTIONS"])


def at_or_before(first: Position, second: Position) -> bool:
    """True where `first` holds nothing that `second` does not hold."""
    return all(sequence <= second.get(partition, 0) for partition, sequence in first.items())
