"""What a run from raw events does for the removals of its epoch: their events leave the archive, and so the rows."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.db import transaction
from django.db.models import F

from aggregations.sql import HOUR_SQL
from batch import archive, kept, ledger
from batch.engine import Engine
from batch.models import ArchiveFile, Run
from events.cuts import cut_position
from events.log import at_or_before
from events.models import Removal


def begin(run: Run) -> list[Removal]:
    """The removals that the epoch carries out: those that reach no further than its cut, the erasures first.

    An erased visitor must not be counted in what is kept of old events. Those reach up to the very cut: what comes late
    for them before it leaves the archive too. The first run of an epoch decides, so that all write the same. Raises
    Fenced where the epoch is published, or a newer run has it.
    """
    with transaction.atomic():
        ledger.refuse_published(run.epoch)
        ledger.report(run, "remove")
        if not Run.objects.filter(epoch=run.epoch, pk__lt=run.pk).exists():
            cut = cut_position(run.epoch)
            for removal in Removal.objects.filter(epoch=None):
                if removal.until is not None and at_or_before(removal.until, cut):
                    removal.epoch = run.epoch
                    removal.until = removal.until if removal.before is None else cut
                    removal.save(update_fields=["epoch", "until"])
    return list(Removal.objects.filter(epoch=run.epoch).order_by(F("before").asc(nulls_first=True), "id"))


def purge(engine: Engine, removal: Removal) -> None:
    """Put files without the events of a removal in place of those that hold some. Idempotent.

    Where events are too old, what they add up to is kept. Raises Fenced.
    """
    epoch, takes = removal.epoch, _condition(removal)
    assert epoch is not None
    holding = [file for file in archive.visible(epoch, removal.hub, end=removal.before) if _count(file, takes)]
    if not holding:
        return
    if removal.before is not None:
        kept.keep(engine, epoch, removal.hub, holding, removal.before)
    removal.receipt["before"] = _receipt(holding, takes)
    joined = []
    for file in holding:
        table = _read(file, ~takes)
        if table.num_rows:
            joined.append(archive.write_joined(removal.hub, epoch, table, [file]))
    with transaction.atomic():
        archive.replace(epoch, holding, joined)
        removal.save(update_fields=["receipt"])


def emptier_hours(engine: Engine, epoch: int) -> dict[str, set[int]]:
    """By hub the hours that lose events of visitors who are erased in an epoch."""
    hours: dict[str, set[int]] = {}
    for removal in Removal.objects.filter(epoch=epoch, visitor__isnull=False):
        paths = archive.paths(archive.held(epoch, removal.hub))
        select, where = f"DISTINCT {HOUR_SQL}", "hub = ? AND visitor = ?"
        found = engine.rows(paths, select, where, [removal.hub, removal.visitor])
        hours.setdefault(removal.hub, set()).update(int(hour) for (hour,) in found)
    return hours


def remaining(removal: Removal, epoch: int) -> int:
    """How many events of a removal the archive has for readers of an epoch."""
    takes = _condition(removal)
    return sum(_count(file, takes) for file in archive.visible(epoch, removal.hub, end=removal.before))


def _condition(removal: Removal) -> pc.Expression:
    return (
        pc.field("visitor") == removal.visitor if removal.before is None else pc.field("occurred_at") < removal.before
    )


def _read(file: ArchiveFile, condition: pc.Expression, columns: list[str] | None = None) -> pa.Table:
    (path,) = archive.paths([file])
    return pq.read_table(path, schema=archive.SCHEMA, columns=columns, filters=condition)


def _count(file: ArchiveFile, condition: pc.Expression) -> int:
    return _read(file, condition, ["visitor", "occurred_at"]).num_rows


def _receipt(files: list[ArchiveFile], condition: pc.Expression) -> dict[str, int]:
    found = pa.concat_tables([_read(file, condition, ["visitor", "visit", "occurred_at"]) for file in files])
    return {
        "events": found.num_rows,
        "visits": len(pc.unique(found["visit"])),
        "visitors": len(pc.unique(found["visitor"])),
        "first_at": pc.min(found["occurred_at"]).as_py(),
        "last_at": pc.max(found["occurred_at"]).as_py(),
    }
