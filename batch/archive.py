"""The columnar archive: the log's events as Parquet, files for each hub and epoch, each sorted by occurrence.

It is a copy of the log in the shape that batch reads fastest. A long range makes several files of a hub, so that its
events are never all in memory. The daily run joins a day's files into one. A file is
visible to the readers of the epochs between its adding and its retiring, so that one answer sees one set of files.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from aggregations.event import Event
from aggregations.fields import INTEGER_FIELDS
from batch import ledger
from batch.models import ArchiveFile
from batch.view_store import RowsGone
from events.cuts import cut_positions
from events.log import Chunk, EventLog, Position
from events.removals import carried_out, without

logger = logging.getLogger(__name__)

BOOLEAN_FIELDS = ("is_bot", "is_clamped")
KEPT_FIELDS = tuple(name for name in Event.__struct_fields__ if name not in ("visitor_key", "visit_key"))
"""The fields of an event that the archive keeps: all but the hashes, which the log keeps."""

EVENTS_AT_ONCE = 20_000
"""Events that are held as objects before they become a table."""
EVENTS_HELD = 250_000
"""Events, about, that are held as tables to be sorted and written: it bounds the memory."""
LEFT_S = 86_400
ROW_GROUP = 50_000
ORDER = [("occurred_at", "ascending"), ("id", "ascending")]


def _type_of(name: str) -> pa.DataType:
    return pa.bool_() if name in BOOLEAN_FIELDS else pa.int64() if name in INTEGER_FIELDS else pa.string()


SCHEMA = pa.schema([(name, _type_of(name)) for name in KEPT_FIELDS])


def table_of(events: Sequence[Event]) -> pa.Table:
    """Events as a table of SCHEMA; `properties` as JSON with sorted keys."""
    columns = []
    for field in SCHEMA:
        values = list(map(attrgetter(field.name), events))
        if field.name == "properties":
            values = [value and json.dumps(value, sort_keys=True, ensure_ascii=False) for value in values]
        columns.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def tables(chunks: Iterable[Chunk]) -> Iterator[pa.Table]:
    """The events of chunks as tables of about EVENTS_AT_ONCE rows."""
    events: list[Event] = []
    for chunk in chunks:
        events.extend(chunk.events)
        if len(events) >= EVENTS_AT_ONCE:
            yield table_of(events)
            events = []
    if events:
        yield table_of(events)


def add_range(log: EventLog, epoch: int, after: Position, until: Position) -> list[ArchiveFile]:
    """Write the events of a log range as the files of `epoch`, some for each hub. Idempotent.

    A file is written beside its place, synced and renamed, so that a crash leaves no half file; all are recorded at
    once, in place of what a run of the epoch that died has recorded. Raises Fenced, and adds nothing, where the epoch
    has been published meanwhile: its files may have been joined and deleted by now.
    """
    written = _write_chunks(log.read(after, until), epoch)
    names = {file.path for file in written}
    with transaction.atomic():
        ledger.refuse_published(epoch)
        for file in _loose(ArchiveFile.objects.filter(added_epoch=epoch)):
            if file.path not in names:
                file.delete()
        return [_record(file) for file in written]


def _write_chunks(chunks: Iterable[Chunk], epoch: int) -> list[ArchiveFile]:
    return [
        _write_file(hub, epoch, table, f"{epoch:010d}{f'-{number:04d}' if number else ''}.parquet")
        for number, some in enumerate(_joined(tables(chunks)))
        for hub, table in _by_hub(some)
    ]


def _joined(some: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Tables joined to such of about EVENTS_HELD rows."""
    held: list[pa.Table] = []
    for table in some:
        held.append(table)
        if sum(table.num_rows for table in held) >= EVENTS_HELD:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _by_hub(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each hub, in order."""
    ordered = table.sort_by([("hub", "ascending"), *ORDER])
    start = 0
    for count in pc.value_counts(ordered["hub"]).to_pylist():
        yield count["values"], ordered.slice(start, count["counts"])
        start += count["counts"]


def visible(epoch: int, hub: str | None = None, start: int | None = None, end: int | None = None) -> QuerySet:
    """The files that readers of `epoch` see, of a hub, with events in [start, end) milliseconds."""
    files = _added(epoch, retired_after=epoch)
    if hub is not None:
        files = files.filter(hub=hub)
    if start is not None:
        files = files.filter(last_at__gte=start)
    if end is not None:
        files = files.filter(first_at__lt=end)
    return files.order_by("hub", "added_epoch", "path")


def touched(since: int, epoch: int) -> QuerySet:
    """The files that the epochs after `since` up to `epoch` have added, as they were written first."""
    return _loose(_added(epoch, retired_after=epoch - 1).filter(added_epoch__gt=since))


def held(epoch: int, hub: str) -> QuerySet:
    """The files with the events of a hub that a run of `epoch` finds, also those that it has replaced already.

    Some events are in two of them.
    """
    return _added(epoch, retired_after=epoch - 1).filter(hub=hub)


def _added(epoch: int, retired_after: int) -> QuerySet:
    """The files that were added up to an epoch, and not retired up to another."""
    files = ArchiveFile.objects.filter(added_epoch__lte=epoch)
    return files.filter(Q(retired_epoch__isnull=True) | Q(retired_epoch__gt=retired_after))


def paths(files: Iterable[ArchiveFile]) -> list[str]:
    """Where files are on disk."""
    return [str(settings.ARCHIVE_DIR / file.path) for file in files]


@contextmanager
def intact(paths: Sequence[str]) -> Iterator[None]:
    """Raises RowsGone for a failure that comes of a file which was joined with others and deleted meanwhile."""
    try:
        yield
    except Exception as error:
        if lost := [path for path in paths if not Path(path).exists()]:
            raise RowsGone(f"{lost[0]} was deleted while it was read; read again from the published epoch.") from error
        raise


def compact(epoch: int) -> int:
    """Join each hub's files that no compaction has joined, visible from `epoch` on; returns how many went in.

    Files that are long already, as those of an import, stay as they are. The joined files are retired at `epoch` and
    stay on disk for the readers of earlier epochs. Raises Fenced where the epoch has been published meanwhile.
    """
    loose = _loose(visible(epoch)).filter(event_count__lt=EVENTS_HELD // 2)
    joined_count = 0
    for hub in loose.values_list("hub", flat=True).order_by("hub").distinct():
        for files in _groups(loose.filter(hub=hub)):
            table = pa.concat_tables([pq.read_table(path, schema=SCHEMA) for path in paths(files)]).sort_by(ORDER)
            replace(epoch, files, [write_joined(hub, epoch, table, files)])
            joined_count += len(files)
    return joined_count


def write_joined(hub: str, epoch: int, table: pa.Table, files: Sequence[ArchiveFile]) -> ArchiveFile:
    """Write what comes in place of files, a table in ORDER; `replace` enters it."""
    return _write_file(hub, epoch, table, f"joined-{epoch:010d}-{_mark(files)}.parquet")


def replace(epoch: int, files: Sequence[ArchiveFile], joined: Sequence[ArchiveFile]) -> None:
    """From `epoch` on readers see others in place of files, which stay on disk for the readers of earlier epochs.

    Raises Fenced where the epoch has been published meanwhile, or another run of it has replaced some of them.
    """
    replaced = [file.pk for file in files]
    with transaction.atomic():
        ledger.refuse_published(epoch)
        if visible(epoch).filter(pk__in=replaced).count() < len(files):
            raise ledger.Fenced(f"Another run of epoch {epoch} has replaced {files[0].path} or one beside it.")
        for file in joined:
            _record(file)
        ArchiveFile.objects.filter(pk__in=replaced).update(retired_epoch=epoch)


def _loose(files: QuerySet) -> QuerySet:
    """Those that no compaction has made."""
    return files.exclude(path__contains="/joined-")


def _mark(files: Sequence[ArchiveFile]) -> str:
    """Tells a group from any other: a run that goes on may find other groups, and must not write over joined ones."""
    return hashlib.sha256("\n".join(file.path for file in files).encode()).hexdigest()[:12]


def _groups(files: Iterable[ArchiveFile]) -> list[list[ArchiveFile]]:
    """Files in groups of two and more, of about EVENTS_HELD events at most."""
    groups: list[list[ArchiveFile]] = [[]]
    for file in files:
        if sum(other.event_count for other in groups[-1]) + file.event_count > EVENTS_HELD:
            groups.append([])
        groups[-1].append(file)
    return [group for group in groups if len(group) > 1]


def clean_up(epoch: int) -> int:
    """Delete the files retired at or before `epoch`, whose readers are gone; returns how many."""
    retired = list(ArchiveFile.objects.filter(retired_epoch__lte=epoch))
    for file in retired:
        (settings.ARCHIVE_DIR / file.path).unlink(missing_ok=True)
        file.delete()
    return len(retired)


def sweep(now: float) -> int:
    """Delete the files that nothing knows of, left a day ago and more by runs that died; returns how many."""
    known = set(paths(ArchiveFile.objects.all()))
    found = [path for path in settings.ARCHIVE_DIR.rglob("*") if path.is_file() and str(path) not in known]
    left = [path for path in found if path.stat().st_mtime < now - LEFT_S]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def lost(epoch: int) -> bool:
    """True where a file that readers of `epoch` see is not there."""
    return not all(Path(path).exists() for path in paths(visible(epoch)))


def restore(log: EventLog, epoch: int, fence: Callable[[], None]) -> int:
    """Write the archive up to `epoch` again from the log where a file is missing; returns the number of files written.

    `fence` raises where the caller has lost its claim meanwhile: then the records stay, which may be of a later epoch.
    """
    if not lost(epoch):
        return 0
    logger.warning("Files of the archive are missing; it is written again from the log.")
    cuts, removals = cut_positions(epoch), carried_out(epoch)
    written = [
        file
        for number in range(1, len(cuts))
        for file in _write_chunks(without(log.read(cuts[number - 1], cuts[number]), removals), number)
    ]
    with transaction.atomic():
        fence()
        gone = [path for path in paths(ArchiveFile.objects.all()) if path not in set(paths(written))]
        ArchiveFile.objects.all().delete()
        ArchiveFile.objects.bulk_create(written)
    for path in gone:
        Path(path).unlink(missing_ok=True)
    return len(written)


def _write_file(hub: str, epoch: int, table: pa.Table, name: str) -> ArchiveFile:
    """Write a table that is in ORDER."""
    path = Path(hub) / name
    target = settings.ARCHIVE_DIR / path
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        pq.write_table(table, beside, compression="zstd", row_group_size=ROW_GROUP)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    bounds = pc.min_max(table["occurred_at"]).as_py()
    return ArchiveFile(
        path=str(path),
        hub=hub,
        added_epoch=epoch,
        first_at=bounds["min"],
        last_at=bounds["max"],
        event_count=table.num_rows,
        byte_count=target.stat().st_size,
    )


def _record(file: ArchiveFile) -> ArchiveFile:
    """Enter a file that was written. Where its path is entered already, its retirement stays."""
    names = ("hub", "added_epoch", "first_at", "last_at", "event_count", "byte_count")
    values = {name: getattr(file, name) for name in names}
    return ArchiveFile.objects.update_or_create(path=file.path, defaults=values)[0]
