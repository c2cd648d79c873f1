"""The cells of hours whose raw events were removed: kept beside the archive, and merged with what is folded from it."""

from collections.abc import Iterator, Sequence

from django.db import transaction
from django.db.models import Exists, Max, Min, OuterRef

from aggregations.cells import Cells, decode, encode_slices, merge
from aggregations.rollups import HOUR_MS, ROLLUPS, Rollup
from batch import archive, ledger
from batch.cover import Hours, is_within, joined, near
from batch.engine import Engine
from batch.models import ArchiveFile, KeptRow
from batch.rows import hours_of
from events.models import Removal

DAY_MS = 24 * HOUR_MS
AT_ONCE = 500


def keep(engine: Engine, epoch: int, hub: str, files: Sequence[ArchiveFile], before: int) -> None:
    """Keep what files hold of the hours before a time (in milliseconds), with what is kept of them. Idempotent.

    Day by day, which bounds the memory. Raises Fenced where the epoch is published: what is kept holds it then.
    """
    first_at = min(file.first_at for file in files)
    for start in range(first_at - first_at % DAY_MS, before, DAY_MS):
        span = (start, min(start + DAY_MS, before))
        some = [file for file in files if file.first_at < span[1] and file.last_at >= span[0]]
        with engine.window(archive.paths(some), [span]) as window:
            for rollup, folded in window.folds(ROLLUPS):
                if hub in folded:
                    with transaction.atomic():
                        ledger.refuse_published(epoch)
                        KeptRow.objects.bulk_create(
                            _rows(epoch, hub, rollup, folded[hub]),
                            batch_size=AT_ONCE,
                            update_conflicts=True,
                            unique_fields=["hub", "rollup", "hour", "epoch"],
                            update_fields=["payload"],
                        )


def _rows(epoch: int, hub: str, rollup: Rollup, cells: Cells) -> Iterator[KeptRow]:
    hours = hours_of(cells)
    whole = merge([cells, *parts(hub, rollup, [(hour, hour + 1) for hour in hours], epoch - 1)], rollup.measures)
    payloads = encode_slices(whole, whole.keys["hour"].edges(), rollup.measures)
    for hour, payload in zip(hours, payloads, strict=True):
        yield KeptRow(hub=hub, rollup=rollup.name, hour=hour, epoch=epoch, payload=payload)


def parts(hub: str, rollup: Rollup, ranges: Sequence[Hours], epoch: int) -> list[Cells]:
    """What is kept, up to an epoch, of ranges of hours: the cells of each hour."""
    ordered = joined(ranges)
    found = []
    for start, end in near(ordered):
        rows = KeptRow.objects.filter(
            hub=hub, rollup=rollup.name, hour__gte=start, hour__lt=end, epoch__lte=epoch
        ).order_by("hour", "epoch")
        newest = {hour: bytes(payload) for hour, payload in rows.values_list("hour", "payload").iterator()}
        found += [payload for hour, payload in newest.items() if is_within((hour, hour + 1), ordered)]
    return [decode(payload, rollup.keys, rollup.measures) for payload in found]


def spans(epoch: int) -> dict[str, Hours]:
    """By hub, from the first to the last hour of which something is kept."""
    found = KeptRow.objects.filter(epoch__lte=epoch).order_by().values_list("hub").annotate(Min("hour"), Max("hour"))
    return {hub: (first, last + 1) for hub, first, last in found}


def clean_up(epoch: int) -> None:
    """Delete the rows whose hours are in newer ones, which the removals up to `epoch` that are not done have written."""
    for removal in Removal.objects.filter(before__isnull=False, done_at=None, epoch__lte=epoch):
        written = removal.epoch or 0
        rows = KeptRow.objects.filter(hub=removal.hub)
        newer = rows.filter(rollup=OuterRef("rollup"), hour=OuterRef("hour"), epoch=written)
        rows.filter(Exists(newer), epoch__lt=written).delete()


def remove_before(hub: str, hour: int) -> None:
    """Delete what is kept of a hub's hours before an hour."""
    KeptRow.objects.filter(hub=hub, hour__lt=hour).delete()
