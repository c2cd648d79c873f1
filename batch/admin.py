"""Runs, audits, restatements and the archive in Django's admin: to be read, never changed."""

from django.contrib import admin
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from batch.models import ArchiveFile, Audit, Mismatch, Restatement, Run
from events.admin import ReadOnly


@admin.register(Run)
class RunAdmin(ReadOnly, ModelAdmin):
    list_display = ["epoch", "kind", "state", "claimed_at", "seconds", "event_count", "row_count", "step"]
    list_filter = ["kind", ("failed_at", admin.EmptyFieldListFilter)]

    @display(description="state", label={"published": "success", "failed": "danger", "running": "info"})
    def state(self, run: Run) -> str:
        return "published" if run.published_at else "failed" if run.failed_at else "running"

    @display(description="seconds")
    def seconds(self, run: Run) -> str:
        return f"{((run.published_at or run.failed_at or run.alive_at) - run.claimed_at).total_seconds():.1f}"


class MismatchInline(ReadOnly, TabularInline):
    model = Mismatch
    extra = 0
    fields = ["hub", "rollup", "buffer_bytes", "batch_bytes"]
    readonly_fields = fields

    @display(description="bytes in the buffer")
    def buffer_bytes(self, mismatch: Mismatch) -> int:
        return len(mismatch.buffer_state)

    @display(description="bytes from batch")
    def batch_bytes(self, mismatch: Mismatch) -> int:
        return len(mismatch.batch_state)


@admin.register(Audit)
class AuditAdmin(ReadOnly, ModelAdmin):
    list_display = ["epoch", "outcome", "compared", "mismatch_count", "audited_at", "digest"]
    inlines = [MismatchInline]

    @display(description="outcome", label={"equal": "success", "differs": "danger"})
    def outcome(self, audit: Audit) -> str:
        return "differs" if audit.mismatch_count else "equal"


@admin.register(Restatement)
class RestatementAdmin(ReadOnly, ModelAdmin):
    list_display = ["hub", "metric", "day_start", "old", "new", "reason", "restated_at"]
    list_filter = ["hub", "metric", "reason"]


@admin.register(ArchiveFile)
class ArchiveFileAdmin(ReadOnly, ModelAdmin):
    list_display = ["path", "hub", "added_epoch", "retired_epoch", "event_count", "byte_count"]
    list_filter = ["hub"]
