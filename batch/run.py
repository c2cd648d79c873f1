"""One batch run: folds the log range of an epoch, audits the frozen buffer, writes rows, publishes.

Every step can be repeated: the files and hours of an epoch are a function of the log range alone, and its days and
months of those and of the hub's zone. So a run that died is done again from its start, and a run that lost its claim
writes nothing that the winner would not write.
"""

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec
from django.db import transaction
from django.utils import timezone

from aggregations.buckets import HOUR, MONTH, bucket_of, buckets_of, instant_ms, moment_of
from aggregations.cells import Cells, DamagedCells, encode, merge, nothing
from aggregations.rollups import DECLARATION, HOUR_MS, ROLLUPS, Rollup, rollup_named
from aggregations.sql import HOUR_SQL
from batch import archive, kept, ledger, lessons, removals, restatements
from batch.cover import Hours, is_within, joined
from batch.deltas import Deltas
from batch.engine import Window, engine
from batch.models import ArchiveFile, Audit, Mismatch, RebuiltWindow, Restatement, Run
from batch.rows import RowWriter, hours_of
from batch.view_store import StoreAway, ViewRow, view_store
from events.cuts import cut_position, published_cut
from events.log import event_log
from events.models import Hub

logger = logging.getLogger(__name__)

RECENTLY_CLOSED_H = 48
"""Days and months that closed within so many hours get their row in a daily run even where nothing touched them."""
HOUR_LONG = timedelta(hours=1)
REBUILD_EVENTS = 1_000_000
"""Events of a rebuild's window, about: it bounds the memory."""

Progress = Callable[[str, int, int], None]
"""Told what is done, how much of it, of how much."""


class StoreEmptied(Exception):
    """The view store lost its rows while a run wrote to it; nothing was published."""


class Buffers(Protocol):
    """What a run needs of the speed layer; the seam gives it."""

    def frozen(self, epoch: int) -> dict[tuple[str, str], bytes]:
        """The states of the frozen buffer by hub and rollup."""

    def retire(self, epoch: int) -> None:
        """Flip the readers to the epoch and drop its buffer, in one step."""


def silent(step: str, done: int, total: int) -> None:
    """Progress for nobody."""


def run_epoch(epoch: int, kind: str, buffers: Buffers, progress: Progress = silent) -> Run | None:
    """Do an epoch's batch work and publish it; None where it is published already or another run has it.

    Raises what went wrong, after giving the claim back.
    """
    run = ledger.claim(epoch, kind)
    if run is None:
        return None
    try:
        with ledger.kept_alive(run):
            _Work(run, progress).do(buffers)
    except ledger.Fenced:
        raise
    except BaseException as error:
        ledger.fail(run, error)
        raise
    buffers.retire(epoch)
    _clean_up(epoch)
    if run.kind != Run.HOURLY:
        archive.sweep(time.time())
    return run


def _clean_up(epoch: int) -> None:
    """Delete what readers of the epoch before, and later ones, cannot need."""
    try:
        view_store().clean_up(epoch - 1)
    except StoreAway as away:
        logger.warning("%s Epoch %d is published; what it made stale goes with the next.", away, epoch)
    archive.clean_up(epoch - 1)
    kept.clean_up(epoch - 1)
    lessons.clean_up(epoch - 1)
    RebuiltWindow.objects.filter(epoch__lte=epoch).delete()


class _Work:
    """The steps of one run, in order."""

    def __init__(self, run: Run, progress: Progress) -> None:
        self._run, self._progress, self._epoch = run, progress, run.epoch
        self._store, self._engine, self._log = view_store(), engine(), event_log()
        hubs = Hub.objects.all()
        self._zones = {hub.slug: hub.zone for hub in hubs}
        self._raw_since = {hub.slug: instant_ms(hub.events_since) for hub in hubs if hub.events_since}
        self._closed_before = instant_ms(ledger.closed_until()) // HOUR_MS
        last_cut = published_cut()
        self._birth = self._store.birth()
        self._audits_rows, self._deltas = False, Deltas()
        self._emptier: dict[str, set[int]] = {}
        self._kept: dict[str, Hours] = {}
        self._last_cut_at = instant_ms(last_cut.cut_at) if last_cut else 0

    def do(self, buffers: Buffers) -> None:
        self._begin_in_this_store()
        if not self._store.is_sealed(self._epoch - 1):
            # The view store was emptied, or its rows are of another declaration: merging with what it holds would be wrong.
            self._run.kind = Run.REBUILD
            self._run.save(update_fields=["kind"])
        self._say("archive")
        if self._run.kind != Run.HOURLY or Run.objects.filter(epoch=self._epoch, pk__lt=self._run.pk).exists():
            # An hourly run needs few of the files, and looks after all of them only where an earlier run did not end.
            archive.restore(self._log, self._epoch - 1, lambda: ledger.report(self._run, "archive"))
        files = archive.add_range(self._log, self._epoch, cut_position(self._epoch - 1), cut_position(self._epoch))
        self._run.event_count = sum(file.event_count for file in files)
        frozen = buffers.frozen(self._epoch)
        if self._run.kind != Run.HOURLY:
            self._remove()
        self._audits_rows = self._run.kind == Run.DAILY
        try:
            self._write_rows(files, frozen)
        except DamagedCells:
            if self._run.kind == Run.REBUILD:
                raise
            logger.exception(
                "A view row is damaged, so that nothing can be merged with it; epoch %d rebuilds.", self._epoch
            )
            self._run.kind, self._audits_rows = Run.REBUILD, True
            self._kept = kept.spans(self._epoch)
            self._run.save(update_fields=["kind"])
            self._write_rows(files, frozen)
        self._audit_accounts()
        self._restate()
        if self._run.kind != Run.HOURLY:
            archive.compact(self._epoch)
            lessons.learn_all(self._epoch, self._say)
        if not self._store.seal(self._epoch, self._birth):
            raise self._emptied()
        ledger.publish(self._run)

    def _remove(self) -> None:
        """Take what is to be removed out of the archive, of which the rows are made."""
        for removal in removals.begin(self._run):
            self._say(f"remove {removal.hub}")
            removals.purge(self._engine, removal)
        self._emptier = removals.emptier_hours(self._engine, self._epoch)
        self._kept = kept.spans(self._epoch)

    def _write_rows(self, files: Sequence[ArchiveFile], frozen: dict[tuple[str, str], bytes]) -> None:
        self._say("fold and audit")
        with self._engine.window(archive.paths(files)) as window:
            self._fold_epoch(window, frozen)
        if self._run.kind == Run.DAILY:
            self._recompute_touched()
        elif self._run.kind == Run.REBUILD:
            self._recompute_everything()

    def _begin_in_this_store(self) -> None:
        """Remember the store and the declaration. Rows that an earlier run of the epoch wrote under others go."""
        mark = hashlib.sha256(f"{self._birth} {DECLARATION}".encode()).hexdigest()[:16]
        self._run.store_birth = mark
        self._run.save(update_fields=["store_birth"])
        earlier = Run.objects.filter(epoch=self._epoch, pk__lt=self._run.pk).exclude(store_birth="")
        if earlier.exclude(store_birth=mark).exists():
            self._store.discard(self._epoch)
            RebuiltWindow.objects.filter(epoch=self._epoch).delete()

    def _refuse_emptied(self) -> None:
        """Raises StoreEmptied where what was read of the view store so far may lack rows."""
        if self._store.birth() != self._birth:
            raise self._emptied()

    def _emptied(self) -> StoreEmptied:
        return StoreEmptied(
            f"The view store was emptied while epoch {self._epoch} was written; the next run rebuilds it."
        )

    def _fold_epoch(self, window: Window, frozen: dict[tuple[str, str], bytes]) -> None:
        """Compare the epoch's cells with the frozen buffer; an hourly run merges them into the published hours."""
        digests: dict[str, str] = {}
        compared, mismatches = 0, []
        for rollup, folded in window.folds(ROLLUPS):
            self._count("fold and audit", len(digests), len(ROLLUPS))
            digest = hashlib.sha256()
            for hub in sorted(folded.keys() | {hub for hub, name in frozen if name == rollup.name}):
                state = encode(folded[hub], rollup.measures) if hub in folded else b""
                digest.update(state)
                compared += 1
                if self._audits_rows and state:
                    self._deltas.keep(hub, rollup, state)
                if state != frozen.get((hub, rollup.name), b""):
                    mismatches.append((hub, rollup.name, frozen.get((hub, rollup.name), b""), state))
            digests[rollup.name] = digest.hexdigest()
            if self._run.kind == Run.HOURLY:
                for hub, delta in folded.items():
                    writer = self._writer(hub)
                    self._write(hub, writer.rows(rollup, writer.merged_with_published(rollup, delta)))
            self._say(f"fold and audit {rollup.name}")
        self._record_audit(compared, mismatches, hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest())

    def _record_audit(self, compared: int, mismatches: list[tuple[str, str, bytes, bytes]], digest: str) -> None:
        with transaction.atomic():
            audit, is_new = Audit.objects.get_or_create(
                epoch=self._epoch,
                defaults={
                    "audited_at": timezone.now(),
                    "compared": compared,
                    "mismatch_count": len(mismatches),
                    "digest": digest,
                },
            )
            if is_new:
                Mismatch.objects.bulk_create(
                    Mismatch(audit=audit, hub=hub, rollup=rollup, stored_state=buffer, batch_state=batch)
                    for hub, rollup, buffer, batch in mismatches
                )
        if is_new and mismatches:
            logger.error(
                "Audit of epoch %d: %d of %d states differ; batch wins.", self._epoch, len(mismatches), compared
            )

    def _recompute_touched(self) -> None:
        """Fold again, from the raw events, every hour that an epoch since the last such run has touched, or loses events."""
        since = ledger.last_epoch_from_raw_events()
        touched = {hub: set(hours) for hub, hours in self._emptier.items()}
        files = archive.touched(since, self._epoch)
        for hub, start in self._engine.rows(archive.paths(files), f"DISTINCT hub, {HOUR_SQL}", "true", []):
            touched.setdefault(hub, set()).add(int(start))
        limited = {hub: list(_limited(hours, self._zone(hub))) for hub, hours in sorted(touched.items())}
        self._count("recompute", 0, sum(map(len, limited.values())) * len(ROLLUPS))
        for hub, runs in limited.items():
            for ranges in runs:
                self._recompute(hub, ranges, is_last=ranges is runs[-1])

    def _recompute_everything(self) -> None:
        """Fold everything again, hub by hub in windows of whole months; windows that are done stay done."""
        windows = list(self._windows())
        last = dict(windows)
        done = set(RebuiltWindow.objects.filter(epoch=self._epoch).values_list("hub", "start"))
        for number, (hub, window) in enumerate(windows):
            self._count("rebuild", number * len(ROLLUPS), len(windows) * len(ROLLUPS))
            if (hub, window[0]) not in done or not self._is_written(hub, window):
                self._recompute(hub, [window], is_last=window == last[hub])
                RebuiltWindow.objects.get_or_create(epoch=self._epoch, hub=hub, start=window[0])
        self._count("rebuild", self._run.total, self._run.total)

    def _is_written(self, hub: str, window: Hours) -> bool:
        """False where the view store was emptied since a window was written."""
        found = self._store.addresses(hub, "hub", [(HOUR, *window)], self._epoch)
        return any(address.version == self._epoch for address in found)

    def _windows(self) -> Iterator[tuple[str, Hours]]:
        for hub, found, count in self._bounds():
            zone, hours = self._zone(hub), range(*found)
            months = buckets_of(MONTH, hours, zone) or buckets_of(MONTH, hours, ZoneInfo("UTC"))
            wanted = max(1, len(months) * REBUILD_EVENTS // max(count, 1))
            for first in range(0, len(months), wanted):
                some = months[first : first + wanted]
                yield hub, (some[0][0], some[-1][1])

    def _bounds(self) -> Iterator[tuple[str, Hours, int]]:
        """The hubs, the hours from the first to the last that a row is to be made of, and how many events there are."""
        ranges: dict[str, list[Hours]] = {}
        counts: Counter[str] = Counter()
        for file in archive.visible(self._epoch):
            ranges.setdefault(file.hub, []).append((file.first_at // HOUR_MS, file.last_at // HOUR_MS + 1))
            counts[file.hub] += file.event_count
        for hub, hours in self._emptier.items():
            ranges.setdefault(hub, []).extend((hour, hour + 1) for hour in hours)
        for hub, hours_kept in self._kept.items():
            ranges.setdefault(hub, []).append(hours_kept)
        for hub, found in sorted(ranges.items()):
            yield hub, (min(found)[0], max(end for _, end in found)), counts[hub]

    def _recompute(self, hub: str, ranges: list[Hours], is_last: bool) -> None:
        """Fold ranges of whole days and months of touched hours again.

        With a hub's last ranges come the rows of what has closed lately and was not touched: a row is written once.
        """
        spans = [(start * HOUR_MS, end * HOUR_MS) for start, end in ranges]
        files = archive.visible(self._epoch, hub, spans[0][0], spans[-1][1])
        also = range(self._closed_before - RECENTLY_CLOSED_H, self._closed_before, 6) if is_last else ()
        with self._engine.window(archive.paths(files), spans) as window:
            for rollup, folded in window.folds(ROLLUPS):
                found = [folded[hub]] if hub in folded else [nothing(rollup)]
                if hub in self._kept:
                    found += kept.parts(hub, rollup, ranges, self._epoch)
                cells = merge(found, rollup.measures)
                self._write(hub, self._writer(hub).rows(rollup, cells, also, self._lost_hours(hub, ranges, cells)))
                self._count(f"recompute {hub}", self._run.done + 1, self._run.total)
                self._say(f"recompute {hub} {moment_of(spans[0][0]):%Y-%m-%d} {rollup.name}")

    def _lost_hours(self, hub: str, ranges: Sequence[Hours], cells: Cells) -> list[int]:
        """The hours of ranges that have lost all their events."""
        lost = self._emptier.get(hub, set()) - set(hours_of(cells))
        return sorted(hour for hour in lost if is_within((hour, hour + 1), ranges))

    def _restate(self) -> None:
        """Enter what the epoch's rows, also those of runs that died, change in closed days."""
        self._say("restate")
        reason = Restatement.CORRECTED if self._run.kind == Run.REBUILD else Restatement.LATE
        for hub, hours in self._store.written(self._epoch, "hub", HOUR).items():
            changed = restatements.changes(
                self._store,
                self._engine,
                hub,
                self._zone(hub),
                self._epoch,
                hours,
                reason,
                range(self._raw_since.get(hub, 0), self._last_cut_at),
            )
            erased = [moment_of(hour * HOUR_MS) for hour in self._emptier.get(hub, ())]
            for why, hours_at in ((Restatement.CORRECTED, self._mended_hours(hub)), (Restatement.ERASED, erased)):
                for entry in changed:
                    if any(entry.day_start - HOUR_LONG < hour_at < entry.day_end for hour_at in hours_at):
                        entry.reason = why
            self._refuse_emptied()
            restatements.enter(self._epoch, changed)

    def _mended_hours(self, hub: str) -> list[datetime]:
        """The hours of a hub whose rows of its figures differed from the events."""
        found = Mismatch.objects.filter(audit__epoch=self._epoch, kind=Mismatch.ROWS, hub=hub, rollup="hub")
        return [hour_at for hour_at in found.values_list("hour_at", flat=True) if hour_at]

    def _write(self, hub: str, rows: Iterator[ViewRow]) -> None:
        written = list(rows)
        if self._audits_rows and written:
            self._audit_rows(hub, rollup_named(written[0].rollup), written)
        self._run.row_count += self._store.write(self._epoch, written)

    def _audit_rows(self, hub: str, rollup: Rollup, rows: Sequence[ViewRow]) -> None:
        """Compare recomputed hours with what an hourly run would have published; record what differs."""
        emptier = self._emptier.get(hub, set())
        recomputed = {row.start: row.payload for row in rows if row.grain == HOUR and row.start not in emptier}
        published = self._writer(hub).hours_as_published(rollup, recomputed, self._deltas.of(hub, rollup))
        differing = [
            Mismatch(
                kind=Mismatch.ROWS,
                hub=hub,
                rollup=rollup.name,
                hour_at=moment_of(hour * HOUR_MS),
                stored_state=published.get(hour, b""),
                batch_state=state,
            )
            for hour, state in recomputed.items()
            if published.get(hour, b"") != state
        ]
        if differing:
            self._refuse_emptied()
            self._record_differing(differing)

    def _audit_accounts(self) -> None:
        """Look whether the events received in each hour since the last cut are all accounted for."""
        since = self._last_cut_at // HOUR_MS
        broken = [
            Mismatch(
                kind=Mismatch.ACCOUNT,
                hour_at=moment_of(hour * HOUR_MS),
                stored_state=msgspec.json.encode(account),
                batch_state=b"",
            )
            for hour, account in self._log.accounts(since, self._closed_before + 1).items()
            if not account.is_balanced
        ]
        if broken:
            self._record_differing(broken)

    def _record_differing(self, differing: Sequence[Mismatch]) -> None:
        """Enter mismatches of rows or accounts, each once. Raises Fenced where the epoch is published: its rows may be gone."""
        with transaction.atomic():
            ledger.refuse_published(self._epoch)
            audit = Audit.objects.get(epoch=self._epoch)
            for mismatch in differing:
                mismatch.audit = audit
            Mismatch.objects.bulk_create(differing, ignore_conflicts=True)
            audit.mismatch_count = audit.mismatches.count()
            audit.save(update_fields=["mismatch_count"])
        for mismatch in differing:
            logger.error("%s differs from its events; see Audits in the admin.", mismatch)

    def _writer(self, hub: str) -> RowWriter:
        return RowWriter(self._store, hub, self._zone(hub), self._epoch, self._closed_before)

    def _zone(self, hub: str) -> ZoneInfo:
        return self._zones.get(hub) or ZoneInfo("UTC")

    def _count(self, step: str, done: int, total: int) -> None:
        """Tell how much of a step is done. The run's row learns it with what is said next."""
        self._run.done, self._run.total = done, total
        self._progress(step, done, total)

    def _say(self, step: str) -> None:
        ledger.report(self._run, step)


def _limited(hours: Iterable[int], zone: ZoneInfo, at_once: int = 400) -> Iterator[list[Hours]]:
    """Ranges of hours in runs of whole months, so that one statement does not name thousands.

    A month is never cut: the row of a month, or of a day, holds what one run has found.
    """
    run: list[Hours] = []
    for _, month in groupby(sorted(hours), key=lambda hour: bucket_of(MONTH, hour, zone)):
        ranges = joined((hour, hour + 1) for hour in month)
        if run and len(run) + len(ranges) > at_once:
            yield run
            run = []
        run += ranges
    if run:
        yield run
