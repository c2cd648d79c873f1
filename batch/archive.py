"""The columnar archive: the log's events as Parquet, a file for each hub and epoch, sorted by occurrence.

It is a copy of the log in the shape that batch reads fastest. The daily run joins a day's files into one. A file is
visible to the readers of the epochs between its adding and its retiring, so that one answer sees one set of files.
"""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
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
from events.cuts import cut_positions
from events.log import Chunk, EventLog, Position

logger = logging.getLogger(__name__)

BOOLEAN_FIELDS = ("is_bot", "is_clamped")
KEPT_FIELDS = tuple(name for name in Event.__struct_fields__ if name not in ("visitor_key", "visit_key"))
"""The fields of an event that the archive keeps: all but the hashes, which the log keeps."""

EVENTS_AT_ONCE = 100_000
ROW_GROUP = 50_000


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
    """Write the events of a log range as the files of `epoch`, one for each hub. Idempotent.

    A file is written beside its place, synced and renamed, so that a crash leaves no half file. Raises Fenced, and adds
    nothing, where the epoch has been published meanwhile: its files may have been joined and deleted by now.
    """
    written = _write_range(log, epoch, after, until)
    with transaction.atomic():
        ledger.refuse_published(epoch)
        return [_record(file) for file in written]


def _write_range(log: EventLog, epoch: int, after: Position, until: Position) -> list[ArchiveFile]:
    found = [table for table in tables(log.read(after, until)) if table.num_rows]
    if not found:
        return []
    joined = pa.concat_tables(found).combine_chunks()
    return [
        _write_file(hub, epoch, joined.filter(pc.equal(joined["hub"], hub)), f"{epoch:010d}.parquet")
        for hub in sorted(pc.unique(joined["hub"]).to_pylist())
    ]


def visible(epoch: int, hub: str | None = None, start: int | None = None, end: int | None = None) -> QuerySet:
    """The files that readers of `epoch` see, of a hub, with events in [start, end) milliseconds."""
    files = ArchiveFile.objects.filter(added_epoch__lte=epoch)
    files = files.filter(Q(retired_epoch__isnull=True) | Q(retired_epoch__gt=epoch))
    if hub is not None:
        files = files.filter(hub=hub)
    if start is not None:
        files = files.filter(last_at__gte=start)
    if end is not None:
        files = files.filter(first_at__lt=end)
    return files.order_by("hub", "added_epoch", "path")


def paths(files: Iterable[ArchiveFile]) -> list[str]:
    """Where files are on disk."""
    return [str(settings.ARCHIVE_DIR / file.path) for file in files]


def compact(epoch: int) -> int:
    """Join each hub's files that no compaction has joined into one, visible from `epoch` on; returns how many went in.

    The joined files are retired at `epoch` and stay on disk for the readers of earlier epochs. Raises Fenced where the
    epoch has been published meanwhile.
    """
    loose = visible(epoch).exclude(path__contains="/joined-")
    joined_count = 0
    for hub in loose.values_list("hub", flat=True).order_by("hub").distinct():
        files = list(loose.filter(hub=hub))
        if len(files) < 2:
            continue
        table = pa.concat_tables([pq.read_table(path, schema=SCHEMA) for path in paths(files)])
        joined = _write_file(hub, epoch, table, f"joined-{epoch:010d}.parquet")
        with transaction.atomic():
            ledger.refuse_published(epoch)
            _record(joined)
            ArchiveFile.objects.filter(pk__in=[file.pk for file in files]).update(retired_epoch=epoch)
        joined_count += len(files)
    return joined_count


def clean_up(epoch: int) -> int:
    """Delete the files retired at or before `epoch`, whose readers are gone; returns how many."""
    retired = list(ArchiveFile.objects.filter(retired_epoch__lte=epoch))
    for file in retired:
        (settings.ARCHIVE_DIR / file.path).unlink(missing_ok=True)
        file.delete()
    return len(retired)


def restore(log: EventLog, epoch: int) -> int:
    """Write the archive up to `epoch` again from the log where a file is missing; returns the number of files written."""
    if all(Path(path).exists() for path in paths(visible(epoch))):
        return 0
    logger.warning("Files of the archive are missing; it is written again from the log.")
    cuts = cut_positions(epoch)
    written = [
        file for number in range(1, len(cuts)) for file in _write_range(log, number, cuts[number - 1], cuts[number])
    ]
    with transaction.atomic():
        lost = [path for path in paths(ArchiveFile.objects.all()) if path not in set(paths(written))]
        ArchiveFile.objects.all().delete()
        ArchiveFile.objects.bulk_create(written)
    for path in lost:
        Path(path).unlink(missing_ok=True)
    return len(written)


def _write_file(hub: str, epoch: int, table: pa.Table, name: str) -> ArchiveFile:
    table = table.sort_by([("occurred_at", "ascending"), ("id", "ascending")])
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
