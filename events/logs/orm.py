"""The embedded event log: SQLite (or PostgreSQL) tables of the database alias `log`.

An append is one transaction. It begins with a lock (on SQLite that of the file, `transaction_mode` IMMEDIATE), so that
the appends of all processes come one after the other; the unique keys fence whoever writes without it.
"""

import os
import secrets
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

import pyarrow
from django.db import IntegrityError, InterfaceError, OperationalError, connections, transaction

from aggregations.event import Event, decode_events, encode_events
from aggregations.rollups import HOUR_MS
from events import models
from events.connections import renew
from events.exclusive import shut_out_others
from events.journal import empty_journal
from events.log import (
    FREQUENT,
    SAMPLES,
    Account,
    Chunk,
    EventLog,
    LogBusy,
    LogCorrupt,
    LogGap,
    LogUnsure,
    LogWriter,
    Position,
    Rejection,
    VisitSpan,
    WriterFenced,
)

ALIAS = "log"
KEYS_PER_QUERY = 500
CHUNKS_PER_PAGE = 1_000
BYTES_PER_PAGE = 4 * 1024 * 1024

INSERT_ID = "INSERT INTO events_eventid (hub, event_id) VALUES (%s, %s) ON CONFLICT DO NOTHING"
INSERT_VISITOR = "INSERT INTO events_visitor (hub, key, number) VALUES (%s, %s, %s)"
UPSERT_VISIT = (
    "INSERT INTO events_visit (hub, visitor, key, number, ordinal, first_at, last_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s)"
    " ON CONFLICT (hub, visitor, key) DO UPDATE SET first_at = excluded.first_at, last_at = excluded.last_at"
)
UPSERT_FREQUENT = (
    "INSERT INTO events_frequentvisitor (hub, visitor, visits) VALUES (%s, %s, %s)"
    " ON CONFLICT (hub, visitor) DO UPDATE SET visits = excluded.visits"
    " WHERE excluded.visits > events_frequentvisitor.visits"
)
SELECT_VISITS = "SELECT key, number, ordinal, first_at, last_at FROM events_visit WHERE hub = %s AND visitor = %s"
REACH = "UPDATE events_visit SET reach = %s WHERE hub = %s AND visitor = %s AND key = %s"
LAST_VISITOR = "SELECT MAX(number) FROM events_visitor WHERE hub = %s"
LAST_VISIT = "SELECT MAX(number) FROM events_visit WHERE hub = %s"
FORGET_VISITOR = "UPDATE events_visitor SET key = %s WHERE hub = %s AND number = %s"
FORGET_VISIT = (
    "UPDATE events_visit SET key = %s, first_at = 0, last_at = 0, reach = NULL"
    " WHERE hub = %s AND visitor = %s AND key = %s"
)
LAST_CHUNK = "SELECT partition, sequence FROM events_chunk ORDER BY id DESC LIMIT 1"
INSERT_CHUNK = (
    "INSERT INTO events_chunk (partition, sequence, received_at, event_count, payload) VALUES (%s, %s, %s, %s, %s)"
)
ADD_ACCOUNT = (
    "INSERT INTO events_account (hub, hour, received, accepted, duplicates, rejected, removed)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (hour, hub) DO UPDATE SET"
    " received = events_account.received + excluded.received, accepted = events_account.accepted + excluded.accepted,"
    " duplicates = events_account.duplicates + excluded.duplicates,"
    " rejected = events_account.rejected + excluded.rejected, removed = events_account.removed + excluded.removed"
)
ACCOUNTS = (
    # One statement, since an append between two would make them differ.
    "SELECT hour, SUM(received), SUM(accepted), SUM(duplicates), SUM(rejected), SUM(removed), SUM(stored) FROM ("
    "SELECT hour, received, accepted, duplicates, rejected, removed, 0 AS stored FROM events_account"
    " WHERE hour >= %s AND hour < %s UNION ALL"
    f" SELECT received_at / {HOUR_MS}, 0, 0, 0, 0, 0, event_count FROM events_chunk"
    " WHERE received_at >= %s AND received_at < %s) AS both_sides GROUP BY hour ORDER BY hour"
)
UPDATE_CHUNK = "UPDATE events_chunk SET event_count = %s, payload = %s WHERE partition = %s AND sequence = %s"
INSERT_REJECTED = (
    "INSERT INTO events_rejectedevent (hub, code, detail, payload, received_at, key) VALUES (%s, %s, %s, %s, %s, %s)"
)
COUNT_REJECTED = (
    "INSERT INTO events_rejectedcount (hub, code, day, count, public) VALUES (%s, %s, %s, %s, %s)"
    " ON CONFLICT (hub, code, day) DO UPDATE SET"
    " count = events_rejectedcount.count + excluded.count, public = events_rejectedcount.public + excluded.public"
)
PUBLIC_REJECTED = "SELECT SUM(public) FROM events_rejectedcount WHERE hub = %s AND code = %s AND day = %s"

_codec = pyarrow.Codec("zstd", compression_level=1)
_frame = struct.Struct(">II")


def pack(events: Sequence[Event]) -> bytes:
    """The bytes of a chunk: CRC-32 of what follows it, decompressed size, zstd of `encode_events`."""
    plain = encode_events(events)
    body = len(plain).to_bytes(4, "big") + _codec.compress(plain, asbytes=True)
    return zlib.crc32(body).to_bytes(4, "big") + body


def unpack(payload: bytes) -> list[Event]:
    """The events of `pack`. Raises LogCorrupt for bytes that differ from those that were packed."""
    payload = bytes(payload)
    if len(payload) < _frame.size:
        raise LogCorrupt(f"The chunk has {len(payload)} bytes, fewer than its frame; restore it from a backup.")
    checksum, size = _frame.unpack_from(payload)
    if zlib.crc32(memoryview(payload)[4:]) != checksum:
        raise LogCorrupt(f"The chunk's checksum is not {checksum:08x}; restore it from a backup.")
    return decode_events(_codec.decompress(payload[_frame.size :], size, asbytes=True))


class OrmLogWriter(LogWriter):
    """One transaction on the log's tables."""

    def __init__(self, partition: str) -> None:
        self._partition = partition
        self._cursor = connections[ALIAS].cursor()
        self._sequence = _last_sequence(self._cursor, partition)

    def is_current(self, sequence: int) -> bool:
        self._cursor.execute(LAST_CHUNK)
        return (self._cursor.fetchone() or (self._partition, 0)) == (self._partition, sequence)

    def claim_ids(self, ids: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        savepoint = transaction.savepoint(using=ALIAS)
        if self._insert_ids(ids) == len(ids):
            transaction.savepoint_commit(savepoint, using=ALIAS)
            return set()
        transaction.savepoint_rollback(savepoint, using=ALIAS)
        known = {
            (hub, event_id)
            for hub, event_id in self._select(
                "SELECT hub, event_id FROM events_eventid WHERE hub = %s AND event_id IN", ids
            )
        }
        self._insert_ids([pair for pair in ids if pair not in known])
        return known

    def _insert_ids(self, ids: Sequence[tuple[str, str]]) -> int:
        if not ids:
            return 0
        self._cursor.executemany(INSERT_ID, sorted(ids))  # neighbours share a page
        return self._cursor.rowcount

    def visitors(self, keys: Sequence[tuple[str, bytes]]) -> dict[tuple[str, bytes], int]:
        rows = self._select("SELECT hub, key, number FROM events_visitor WHERE hub = %s AND key IN", keys)
        return {(hub, bytes(key)): number for hub, key, number in rows}

    def last_numbers(self, hubs: Sequence[str]) -> dict[str, tuple[int, int]]:
        return {hub: (_one(self._cursor, LAST_VISITOR, [hub]), _one(self._cursor, LAST_VISIT, [hub])) for hub in hubs}

    def visits(self, visitors: Sequence[tuple[str, int]]) -> dict[tuple[str, int], dict[bytes, VisitSpan]]:
        spans: dict[tuple[str, int], dict[bytes, VisitSpan]] = defaultdict(dict)
        for hub, visitor, key, *span in self._select(
            "SELECT hub, visitor, key, number, ordinal, first_at, last_at FROM events_visit"
            " WHERE hub = %s AND visitor IN",
            visitors,
        ):
            spans[hub, visitor][bytes(key)] = VisitSpan(*span)
        return {visitor: spans[visitor] for visitor in visitors}

    def frequent(self, visitors: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        rows = self._select(
            "SELECT hub, visitor, visits FROM events_frequentvisitor WHERE hub = %s AND visitor IN", visitors
        )
        return {(hub, visitor): visits for hub, visitor, visits in rows}

    def named_visits(self, hub: str, visitor: int, keys: Sequence[bytes]) -> dict[bytes, VisitSpan]:
        rows = self._rows_in(f"{SELECT_VISITS} AND key IN", [hub, visitor], keys)
        return {bytes(key): VisitSpan(*span) for key, *span in rows}

    def first_visits(self, hub: str, visitor: int, windows: Iterable[tuple[int, int]]) -> dict[bytes, VisitSpan]:
        spans = {}
        key, span = b"", None
        for start, end in sorted(windows):
            if span is None or span.last_at < start:
                self._cursor.execute(f"{SELECT_VISITS} AND reach >= %s ORDER BY reach LIMIT 1", [hub, visitor, start])
                row = self._cursor.fetchone()
                if row is None:
                    break
                key, span = bytes(row[0]), VisitSpan(*row[1:])
            if span.first_at <= end:
                spans[key] = span
        return spans

    def _select(self, query: str, keys: Sequence[tuple]) -> Iterator[tuple]:
        """The rows of `query`, which ends with IN, for (hub, key) pairs, in queries of bounded size."""
        by_hub = defaultdict(list)
        for hub, key in keys:
            by_hub[hub].append(key)
        for hub, values in by_hub.items():
            yield from self._rows_in(query, [hub], values)

    def _rows_in(self, query: str, before: list[Any], values: Sequence[Any]) -> Iterator[tuple]:
        """The rows of `query`, which ends with IN, for values after the parameters `before`, in queries of bounded size."""
        for start in range(0, len(values), KEYS_PER_QUERY):
            some = values[start : start + KEYS_PER_QUERY]
            self._cursor.execute(f"{query} ({', '.join(['%s'] * len(some))})", [*before, *some])
            yield from self._cursor.fetchall()

    def save_numbering(
        self,
        visitors: Sequence[tuple[str, bytes, int]],
        visits: Sequence[tuple[str, int, bytes, VisitSpan]],
    ) -> None:
        if visitors:
            self._cursor.executemany(INSERT_VISITOR, visitors)
        if visits:
            self._cursor.executemany(
                UPSERT_VISIT,
                [
                    (hub, visitor, key, span.number, span.ordinal, span.first_at, span.last_at)
                    for hub, visitor, key, span in visits
                ],
            )
            self._mind_frequent(visits)

    def _mind_frequent(self, visits: Sequence[tuple[str, int, bytes, VisitSpan]]) -> None:
        """Keep the outlines of those who are frequent, or become so by these visits, which are written already."""
        frequent = self.frequent(list({(hub, visitor) for hub, visitor, _, _ in visits}))
        newly = {(hub, visitor) for hub, visitor, _, span in visits if span.ordinal > FREQUENT} - frequent.keys()
        if not frequent and not newly:
            return
        saved: dict[tuple[str, int], list[tuple[bytes, VisitSpan]]] = defaultdict(list)
        for hub, visitor, key, span in visits:
            if (hub, visitor) in frequent:
                saved[hub, visitor].append((key, span))
        for hub, visitor in newly:
            self._cursor.execute(SELECT_VISITS, [hub, visitor])
            saved[hub, visitor] = [(bytes(key), VisitSpan(*span)) for key, *span in self._cursor.fetchall()]
        for (hub, visitor), some in saved.items():
            self._cursor.execute(UPSERT_FREQUENT, [hub, visitor, max(span.ordinal for _, span in some)])
            self._cursor.executemany(REACH, [(None, hub, visitor, key) for key, _ in some])
            for key, span in some:
                self._outline(hub, visitor, key, span)

    def _outline(self, hub: str, visitor: int, key: bytes, span: VisitSpan) -> None:
        """Take a visit into its visitor's outline, in place of those that it hides, unless one hides it.

        A visit hides those after it, by (first_at, number), that end no later. Visits only grow, so what is hidden
        stays hidden until it grows itself: each visit leaves the outline at most once for each time it is written.
        """
        order = (span.first_at, span.number)
        outline = "FROM events_visit WHERE hub = %s AND visitor = %s AND reach"
        self._cursor.execute(
            f"SELECT first_at, number {outline} >= %s ORDER BY reach LIMIT 1", [hub, visitor, span.last_at]
        )
        after = self._cursor.fetchone()
        if after is not None and after < order:
            return
        hidden = None
        while hidden is None or len(hidden) == KEYS_PER_QUERY:
            self._cursor.execute(
                f"SELECT first_at, number, key {outline} <= %s ORDER BY reach DESC LIMIT %s",
                [hub, visitor, span.last_at, KEYS_PER_QUERY],
            )
            hidden = list(takewhile(lambda row: row[:2] > order, self._cursor.fetchall()))
            self._cursor.executemany(REACH, [(None, hub, visitor, row[2]) for row in hidden])
        self._cursor.execute(REACH, [span.last_at, hub, visitor, key])

    def forget(self, hub: str, visitors: Sequence[int]) -> None:
        for visitor in visitors:
            self._cursor.execute(FORGET_VISITOR, [os.urandom(16), hub, visitor])
            self._cursor.execute("SELECT key FROM events_visit WHERE hub = %s AND visitor = %s", [hub, visitor])
            keys = [bytes(key) for (key,) in self._cursor.fetchall()]
            self._cursor.executemany(FORGET_VISIT, [(os.urandom(16), hub, visitor, key) for key in keys])

    def append(self, events: Sequence[Event], received_at: int) -> int:
        sequence = self._sequence + 1
        self._cursor.execute(INSERT_CHUNK, [self._partition, sequence, received_at, len(events), pack(events)])
        self._sequence = sequence
        return sequence

    def reject(self, rejections: Sequence[Rejection]) -> None:
        adapt = connections[ALIAS].ops.adapt_datetimefield_value
        rows = [
            (
                rejection.hub[:128],
                rejection.code[:64],
                rejection.detail[:500],
                rejection.payload,
                adapt(datetime.fromtimestamp(rejection.received_at / 1000, UTC)),
                rejection.key,
            )
            for rejection in self._counted(self._new_rejections(rejections))
        ]
        if rows:
            self._cursor.executemany(INSERT_REJECTED, rows)

    def _new_rejections(self, rejections: Sequence[Rejection]) -> list[Rejection]:
        """The rejections without those whose key is in the inbox already, or is one of an earlier rejection."""
        keys = list({rejection.key for rejection in rejections if rejection.key is not None})
        known = self._rows_in("SELECT key FROM events_rejectedevent WHERE key IN", [], keys)
        seen = {bytes(key) for (key,) in known}
        new = []
        for rejection in rejections:
            if rejection.key is None or rejection.key not in seen:
                new.append(rejection)
            if rejection.key is not None:
                seen.add(rejection.key)
        return new

    def _counted(self, rejections: Sequence[Rejection]) -> list[Rejection]:
        """Count the rejections; those of them to be kept."""
        kept = []
        counts: Counter[tuple[str, str, str]] = Counter()
        public: Counter[tuple[str, str, str]] = Counter()
        before: dict[tuple[str, str, str], int] = {}
        for rejection in rejections:
            day = datetime.fromtimestamp(rejection.received_at / 1000, UTC).date().isoformat()
            group = (rejection.hub[:128], rejection.code[:64], day)
            counts[group] += 1
            if rejection.is_public:
                if group not in before:
                    before[group] = _one(self._cursor, PUBLIC_REJECTED, list(group))
                public[group] += 1
            if not rejection.is_public or before[group] + public[group] <= SAMPLES:
                kept.append(rejection)
        for group, count in counts.items():
            self._cursor.execute(COUNT_REJECTED, [*group, count, public[group]])
        return kept

    def account(self, hub: str, hour: int, account: Account) -> None:
        _add_account(self._cursor, hub, hour, account)


class OrmEventLog(EventLog):
    """The event log in the tables of the database alias `log`."""

    def birth(self) -> str:
        return models.LogBirth.objects.get_or_create(pk=1, defaults={"mark": secrets.token_hex(8)})[0].mark

    @contextmanager
    def writer(self, partition: str = "main") -> Iterator[LogWriter]:
        committing = None
        try:
            with transaction.atomic(using=ALIAS):
                shut_out_others(ALIAS, "log")
                yield OrmLogWriter(partition)
                committing = connections[ALIAS].connection
        except (OperationalError, InterfaceError) as error:
            renew()  # a server that was restarted broke it
            if _is_broken(committing):
                raise LogUnsure(
                    f"The event log went away while it was written ({error}); whether it was is unknown. Send the events again"
                    " later: one with the same id counts once."
                ) from error
            raise LogBusy(f"The event log cannot be written now ({error}); nothing was written, try again.") from error
        except IntegrityError as error:
            raise WriterFenced(f"Another writer was faster ({error}); nothing was written, try again.") from error

    def head(self) -> Position:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("SELECT partition, MAX(sequence) FROM events_chunk GROUP BY partition")
            return dict(cursor.fetchall())

    def read(self, after: Position, until: Position | None = None) -> Iterator[Chunk]:
        for partition, last in sorted((self.head() if until is None else until).items()):
            yield from _read_partition(partition, after.get(partition, 0), last)

    def remove(self, until: Position, is_removed: Callable[[Event], bool]) -> int:
        removed = 0
        for chunk in self.read({}, until):
            if any(map(is_removed, chunk.events)):
                removed += _remove(chunk, is_removed)
        empty_journal(ALIAS)
        return removed

    def accounts(self, start: int, end: int) -> dict[int, Account]:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(ACCOUNTS, [start, end, start * HOUR_MS, end * HOUR_MS])
            return {hour: Account(*map(int, counts)) for hour, *counts in cursor.fetchall()}

    def received_at(self, partition: str, sequence: int) -> int | None:
        found = models.Chunk.objects.filter(partition=partition, sequence=sequence)
        return found.values_list("received_at", flat=True).first()

    def visitor_number(self, hub: str, key: bytes) -> int | None:
        return models.Visitor.objects.filter(hub=hub, key=key).values_list("number", flat=True).first()

    def count_between(self, after: Position, until: Position) -> int:
        with connections[ALIAS].cursor() as cursor:
            return sum(
                _one(
                    cursor,
                    "SELECT SUM(event_count) FROM events_chunk"
                    " WHERE partition = %s AND sequence > %s AND sequence <= %s",
                    [partition, after.get(partition, 0), last],
                )
                for partition, last in until.items()
            )


def _is_broken(connection: Any) -> bool:
    """Whether a connection of psycopg's lost its server. SQLite has none: a commit that it refuses is undone."""
    return bool(getattr(connection, "closed", False))


def _remove(chunk: Chunk, is_removed: Callable[[Event], bool]) -> int:
    """Write a chunk again without some events, those of them that are still there; returns how many."""
    found = models.Chunk.objects.select_for_update().filter(partition=chunk.partition, sequence=chunk.sequence)
    with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
        events = unpack(bytes(found.values_list("payload", flat=True).get()))
        kept = [event for event in events if not is_removed(event)]
        cursor.execute(UPDATE_CHUNK, [len(kept), pack(kept), chunk.partition, chunk.sequence])
        counts = Counter(event.hub for event in events)
        counts.subtract(event.hub for event in kept)
        for hub, count in counts.items():
            if count:
                _add_account(cursor, hub, chunk.received_at // HOUR_MS, Account(removed=count))
    return len(events) - len(kept)


def _add_account(cursor, hub: str, hour: int, account: Account) -> None:
    counts = (account.received, account.accepted, account.duplicates, account.rejected, account.removed)
    cursor.execute(ADD_ACCOUNT, [hub, hour, *counts])


def _one(cursor, query: str, parameters: list) -> int:
    cursor.execute(query, parameters)
    return int(cursor.fetchone()[0] or 0)  # a sum of PostgreSQL is a Decimal


def _last_sequence(cursor, partition: str) -> int:
    return _one(cursor, "SELECT MAX(sequence) FROM events_chunk WHERE partition = %s", [partition])


def _read_partition(partition: str, after: int, last: int) -> Iterator[Chunk]:
    """Chunks after + 1 to last; holds a page of bounded bytes in memory and no transaction open between pages."""
    while after < last:
        end = _page_end(partition, after, last)
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(
                "SELECT sequence, received_at, payload FROM events_chunk"
                " WHERE partition = %s AND sequence > %s AND sequence <= %s ORDER BY sequence",
                [partition, after, end],
            )
            rows = cursor.fetchall()
        for sequence, received_at, payload in rows:
            if sequence != after + 1:
                raise _gap(partition, after + 1)
            try:
                yield Chunk(partition, sequence, received_at, unpack(payload))
            except LogCorrupt as error:
                raise LogCorrupt(f"Chunk {sequence} of partition {partition!r}: {error}") from error
            after = sequence
        if after != end:
            raise _gap(partition, after + 1)


def _page_end(partition: str, after: int, last: int) -> int:
    """The sequence that ends the next page: as many chunks as fit in BYTES_PER_PAGE, at least one. Raises LogGap."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT sequence, LENGTH(payload) FROM events_chunk"
            " WHERE partition = %s AND sequence > %s AND sequence <= %s ORDER BY sequence LIMIT %s",
            [partition, after, last, CHUNKS_PER_PAGE],
        )
        rows = cursor.fetchall()
    end = total = 0
    for sequence, size in rows:
        total += size
        if end and total > BYTES_PER_PAGE:
            break
        end = sequence
    if not end:
        raise _gap(partition, after + 1)
    return end


def _gap(partition: str, sequence: int) -> LogGap:
    return LogGap(f"Chunk {sequence} of partition {partition!r} is missing; restore the log before reading on.")
