"""Runs, errands, audits, restatements and the archive in Django's admin: to be read, never changed; mismatches can be acknowledged."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from batch import ledger
from batch.models import ArchiveFile, Audit, Errand, Mismatch, Restatement, Run
from events.admin import ReadOnly, note
from events.models import Cut


@admin.register(Run)
class RunAdmin(ReadOnly, ModelAdmin):
    """Runs. One that has failed or stopped, and whose epoch still waits, leads who may run batch to the question to retry."""

    list_display = ["epoch", "kind", "state", "claimed_at", "seconds", "event_count", "row_count", "progress", "step"]
    list_filter = ["kind", ("failed_at", admin.EmptyFieldListFilter)]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        waits = Cut.objects.filter(epoch=OuterRef("epoch"), published_at=None)
        return super().get_queryset(request).annotate(waits=Exists(waits))

    def get_list_display(self, request: HttpRequest) -> list[str]:
        return [*self.list_display, *self._retry(request)]

    def get_fields(self, request: HttpRequest, obj: Run | None = None) -> list[str]:
        return [
            *self._retry(request),
            *(field.name for field in Run._meta.fields if field.editable and field.name != "id"),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Run | None = None) -> list[str]:
        return self._retry(request)

    def _retry(self, request: HttpRequest) -> list[str]:
        return ["retry"] if request.user.has_perm("batch.add_errand") else []

    @display(description="retry")
    def retry(self, run: Any) -> str:
        is_to_do = run.waits and self.state(run) in {"failed", "stopped"}
        return format_html('<a href="{}">Retry…</a>', reverse("errand", args=[Errand.RETRY])) if is_to_do else "–"

    @display(
        description="state",
        label={"published": "success", "failed": "danger", "running": "info", "stopped": "warning"},
    )
    def state(self, run: Run) -> str:
        if run.published_at or run.failed_at:
            return "published" if run.published_at else "failed"
        return "running" if run.alive_at > timezone.now() - ledger.LEASE else "stopped"

    @display(description="seconds")
    def seconds(self, run: Run) -> str:
        return f"{((run.published_at or run.failed_at or run.alive_at) - run.claimed_at).total_seconds():.1f}"

    @display(description="progress")
    def progress(self, run: Run) -> str | None:
        """Of the longest step of a run that is not over; reload to see it go on, or look at the home."""
        return f"{run.done} of {run.total}" if run.total and not (run.published_at or run.failed_at) else None


@admin.register(Errand)
class ErrandAdmin(ReadOnly, ModelAdmin):
    """What people have asked batch to do. It is asked for at the home of the admin."""

    list_display = ["kind", "asked_at", "asked_by", "state", "seconds", "epoch", "error"]
    list_filter = ["kind", "asked_by"]

    @display(
        description="state",
        label={"done": "success", "failed": "danger", "under way": "info", "waits": "warning", "stopped": "warning"},
    )
    def state(self, errand: Errand) -> str:
        if errand.ended_at:
            return "failed" if errand.error else "done"
        if errand.begun_at is None or errand.alive_at is None:
            return "waits"
        return "under way" if errand.alive_at > timezone.now() - ledger.LEASE else "stopped"

    @display(description="seconds")
    def seconds(self, errand: Errand) -> str | None:
        if errand.begun_at is None:
            return None
        return f"{((errand.ended_at or timezone.now()) - errand.begun_at).total_seconds():.1f}"


class MismatchInline(ReadOnly, TabularInline):
    model = Mismatch
    extra = 0
    fields = ["kind", "hub", "rollup", "hour_at", "stored_bytes", "batch_bytes", "acknowledged_at", "acknowledged_by"]
    readonly_fields = fields

    @display(description="bytes that were stored")
    def stored_bytes(self, mismatch: Mismatch) -> int:
        return len(mismatch.stored_state)

    @display(description="bytes from batch")
    def batch_bytes(self, mismatch: Mismatch) -> int:
        return len(mismatch.batch_state)


@admin.register(Mismatch)
class MismatchAdmin(ReadOnly, ModelAdmin):
    """Mismatches make the pipeline unhealthy until somebody has acknowledged them."""

    list_display = ["audit", "kind", "hub", "rollup", "hour_at", "state", "acknowledged_at", "acknowledged_by"]
    list_filter = [("acknowledged_at", admin.EmptyFieldListFilter), "kind", "hub"]
    list_select_related = ["audit"]
    actions = ["acknowledge"]

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """A mismatch cannot be altered; the list can be acted upon."""
        return obj is None and admin.ModelAdmin.has_change_permission(self, request)

    @display(description="state", label={"acknowledged": "success", "open": "danger"})
    def state(self, mismatch: Mismatch) -> str:
        return "acknowledged" if mismatch.acknowledged_at else "open"

    @admin.action(description="Acknowledge", permissions=["change"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Mismatch]) -> None:
        open_ones = queryset.filter(acknowledged_at=None)
        note(request, open_ones, "Acknowledged.")
        count = open_ones.update(acknowledged_at=timezone.now(), acknowledged_by=request.user.get_username())
        self.message_user(request, f"{count} mismatches are acknowledged; the pipeline is healthy without them.")


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
