"""Hubs, their people and keys, the catalogue, the inbox of rejected events, and the cuts, in Django's admin."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from events import log
from events.log import SAMPLES, LogBusy
from events.models import Account, ApiKey, Cut, Hub, Media, Membership, RejectedCount, RejectedEvent, Removal
from events.rejected import replay
from events.removals import UnknownVisitor, erase, known


class ReadOnly:
    """What nobody may add, change or delete by hand."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


def note(request: HttpRequest, rows: Iterable[Model], what: str, flag: int = CHANGE) -> None:
    """Keep in the admin's log who did what to rows: by itself it logs only what its own forms do."""
    assert request.user.pk is not None
    LogEntry.objects.log_actions(request.user.pk, rows, flag, what)


def issue(request: HttpRequest, key: ApiKey) -> ApiKey:
    """Issue the key that the form `key` asks for, show it once in a message, and return its row."""
    secret = ApiKey.issue(key.hub, key.scope, key.name)
    messages.success(request, f"The new {key.scope} key of {key.hub.slug}, readable only now: {secret}")
    return ApiKey.objects.get(digest=ApiKey.digest_of(secret))


class MembershipInline(TabularInline):
    model = Membership
    extra = 0
    tab = True
    autocomplete_fields = ["user"]
    verbose_name = "member"
    verbose_name_plural = "members"


class ApiKeyInline(TabularInline):
    """Keys of a hub: a new one can be issued, an old one only revoked, in the list of keys."""

    model = ApiKey
    extra = 0
    tab = True
    can_delete = False
    verbose_name = "key"
    verbose_name_plural = "keys"
    fields = ["scope", "name", "created_at", "last_used_at", "revoked_at"]
    readonly_fields = ["created_at", "last_used_at", "revoked_at"]

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


NEVER_DELETED = (
    "A hub cannot be deleted, since its events stay in the log; to close it, revoke its keys and remove its members."
)


@admin.register(Hub)
class HubAdmin(ModelAdmin):
    list_display = ["slug", "title", "timezone", "member_count", "key_count", "created_at"]
    search_fields = ["slug", "title"]
    fieldsets = [
        (None, {"fields": ["slug", "title", "timezone", "created_at"], "description": NEVER_DELETED}),
        ("Recommendations", {"fields": ["embeds_recommendations"]}),
        ("Retention", {"fields": ["keep_events_days", "events_since", "keep_rows_days", "rows_since"]}),
    ]
    readonly_fields = ["created_at", "events_since", "rows_since"]
    inlines = [MembershipInline, ApiKeyInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Hub]:
        keys = Count("keys", filter=Q(keys__revoked_at=None), distinct=True)
        return super().get_queryset(request).annotate(members=Count("memberships", distinct=True), live_keys=keys)

    def get_readonly_fields(self, request: HttpRequest, obj: Hub | None = None) -> list[str]:
        """The slug of a hub is in every event of its log, so it stays what it was."""
        return [*self.readonly_fields, "slug"] if obj else list(self.readonly_fields)

    def has_delete_permission(self, request: HttpRequest, obj: Hub | None = None) -> bool:
        """Its events, rows and numbers would stay without it, and a new hub of the same slug would have them."""
        return False

    @display(description="members", ordering="members")
    def member_count(self, hub) -> int:
        return hub.members

    @display(description="keys in use", ordering="live_keys")
    def key_count(self, hub) -> int:
        return hub.live_keys

    def save_formset(self, request: HttpRequest, form, formset, change: bool) -> None:
        if formset.model is not ApiKey:
            super().save_formset(request, form, formset, change)
            return
        formset.save(commit=False)
        formset.new_objects = [issue(request, key) for key in formset.new_objects]


@admin.register(Membership)
class MembershipAdmin(ModelAdmin):
    list_display = ["user", "hub"]
    list_filter = ["hub"]
    search_fields = ["user__username", "hub__slug", "hub__title"]
    autocomplete_fields = ["user", "hub"]


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    list_display = ["hub", "scope", "name", "fingerprint", "created_at", "last_used_at", "state"]
    list_filter = ["scope", ("revoked_at", admin.EmptyFieldListFilter), "hub"]
    search_fields = ["hub__slug", "name"]
    autocomplete_fields = ["hub"]
    fields = ["hub", "scope", "name"]
    actions = ["revoke"]

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """A key cannot be altered; the list, without a key, can be seen and acted upon."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form, change: bool) -> None:
        obj.__dict__.update(issue(request, obj).__dict__)

    @display(description="state", label={"in use": "success", "revoked": "danger"})
    def state(self, key: ApiKey) -> str:
        return "revoked" if key.revoked_at else "in use"

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        in_use = queryset.filter(revoked_at=None)
        note(request, in_use, "Revoked.")
        count = in_use.update(revoked_at=timezone.now())
        self.message_user(request, f"{count} keys are revoked: asking ends at once, collecting within two seconds.")


@admin.register(Media)
class MediaAdmin(ReadOnly, ModelAdmin):
    """The catalogue. It learns from events, which would overwrite what is written here."""

    list_display = ["title_or_key", "hub", "kind", "pages", "first_at"]
    list_filter = ["kind", "hub"]
    search_fields = ["key", "title"]
    list_select_related = ["hub"]

    @display(description="media", ordering="key", header=True)
    def title_or_key(self, media: Media) -> list[str]:
        return [media.title or media.key, media.key]


class RejectedForm(forms.ModelForm):
    """The payload of a rejected event, to be mended before it is replayed."""

    payload_text = forms.JSONField(
        label="payload",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 24}),
        help_text="Mend what is wrong and save, then replay the event from the list. It counts once, whatever is mended.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["payload_text"].initial = _value_of(self.instance)

    def clean_payload_text(self) -> Any:
        item = self.cleaned_data["payload_text"]
        if not isinstance(item, dict):
            raise forms.ValidationError("An event is a JSON object.")
        if "ip" in item:
            raise forms.ValidationError("An address is never stored; give the country instead of ip.")
        return item


def _value_of(rejected: RejectedEvent) -> Any:
    """The payload as JSON has it; one that is no JSON as a text."""
    text = bytes(rejected.payload).decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


@admin.register(RejectedEvent)
class RejectedEventAdmin(ReadOnly, ModelAdmin):
    list_display = ["received_at", "hub", "code", "detail", "state"]
    list_filter = ["code", ("replayed_at", admin.EmptyFieldListFilter), "hub"]
    search_fields = ["detail"]
    show_facets = admin.ShowFacets.ALWAYS
    form = RejectedForm
    fields = ["received_at", "hub", "code", "detail", "payload_text", "replayed_at"]
    readonly_fields = ["received_at", "hub", "code", "detail", "replayed_at"]
    actions = ["replay", "export"]

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        left_out = sum(row.left_out for row in RejectedCount.objects.filter(public__gt=SAMPLES))
        if left_out:
            told = (
                f"{left_out:,} more rejected events were counted and not kept: of public callers the first {SAMPLES:,}"
                " of each hub, code and day are kept."
            )
            link = format_html(
                '{} <a href="{}">The counts.</a>', told, reverse("admin:events_rejectedcount_changelist")
            )
            self.message_user(request, link, messages.INFO)
        return super().changelist_view(request, extra_context)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.change_rejectedevent")

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("events.delete_rejectedevent")

    @display(description="state", label={"waits": "warning", "replayed": "success"})
    def state(self, rejected: RejectedEvent) -> str:
        return "replayed" if rejected.replayed_at else "waits"

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """What has been replayed stays as it was."""
        is_replayed = isinstance(obj, RejectedEvent) and obj.replayed_at is not None
        return request.user.has_perm("events.change_rejectedevent") and not is_replayed

    def save_model(self, request: HttpRequest, rejected: RejectedEvent, form: RejectedForm, change: bool) -> None:
        rejected.payload = json.dumps(form.cleaned_data["payload_text"]).encode()
        rejected.save(update_fields=["payload"])

    @display(description="payload")
    def payload_text(self, rejected: RejectedEvent) -> str:
        """For those who may not change it."""
        return json.dumps(_value_of(rejected), indent=2, ensure_ascii=False)

    @admin.action(description="Export as JSON lines, as they came, with the reason")
    def export(self, request: HttpRequest, queryset: QuerySet[RejectedEvent]) -> StreamingHttpResponse:
        lines = (
            json.dumps(
                {
                    "received_at": rejected.received_at.isoformat(),
                    "hub": rejected.hub,
                    "code": rejected.code,
                    "detail": rejected.detail,
                    "event": _value_of(rejected),
                },
                ensure_ascii=False,
            )
            + "\n"
            for rejected in queryset.iterator()
        )
        headers = {"Content-Disposition": 'attachment; filename="rejected-events.jsonl"'}
        return StreamingHttpResponse(lines, content_type="application/x-ndjson", headers=headers)

    @admin.action(description="Replay: send them through the collector again", permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[RejectedEvent]) -> None:
        note(request, queryset, "Replayed.")
        try:
            result = replay(queryset.iterator())
        except LogBusy as error:
            self.message_user(request, f"{error} Replay again; it goes on where it stopped.", messages.ERROR)
            return
        told = f"{result.accepted} accepted, {result.duplicates} known already, {result.rejected} rejected again."
        self.message_user(request, told, messages.WARNING if result.rejected else messages.SUCCESS)


@admin.register(RejectedCount)
class RejectedCountAdmin(ReadOnly, ModelAdmin):
    """How many events were rejected, exact; the inbox may hold fewer."""

    list_display = ["day", "hub", "code", "count", "left_out"]
    list_filter = ["code", "hub"]
    date_hierarchy = "day"

    @display(description=f"not kept (public, after {SAMPLES:,})")
    def left_out(self, row: RejectedCount) -> int:
        return row.left_out


@admin.register(Account)
class AccountAdmin(ReadOnly, ModelAdmin):
    """What became of every event that was received."""

    list_display = ["hour_at", "hub", "received", "accepted", "duplicates", "rejected", "removed", "balance"]
    list_filter = ["hub"]

    @display(description="hour (UTC)", ordering="hour")
    def hour_at(self, account: Account) -> datetime:
        return account.hour_at

    @display(description="balance", label={"balanced": "success", "broken": "danger"})
    def balance(self, account: Account) -> str:
        counted = log.Account(account.received, account.accepted, account.duplicates, account.rejected)
        return "balanced" if counted.adds_up else "broken"


ERASED_FOR_GOOD = (
    "Erase a visitor: every event leaves the log, the archive and the numbers for good, within a minute or two. It cannot be"
    " undone; days that change are listed as restatements."
)


class ErasureForm(forms.ModelForm):
    """Asks for a visitor to be erased. The name is not kept."""

    hub = forms.ModelChoiceField(Hub.objects.all(), to_field_name="slug", widget=UnfoldAdminSelectWidget)
    name = forms.CharField(
        label="Visitor",
        max_length=128,
        widget=UnfoldAdminTextInputWidget,
        help_text="As clients name it in the field visitor.",
    )

    class Meta:
        model = Removal
        fields = ["hub"]

    def clean_hub(self) -> str:
        return self.cleaned_data["hub"].slug

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "hub" in cleaned and "name" in cleaned:
            try:
                known(Hub.objects.get(slug=cleaned["hub"]), cleaned["name"])
            except (UnknownVisitor, LogBusy) as error:
                raise forms.ValidationError(str(error)) from error
        return cleaned


@admin.register(Removal)
class RemovalAdmin(ReadOnly, ModelAdmin):
    """Visitors who were erased and events that were kept long enough, with what there was before and after."""

    list_display = ["id", "hub", "what", "requested_at", "requested_by", "state", "events", "left", "done_at"]
    list_filter = ["hub", ("done_at", admin.EmptyFieldListFilter)]
    form = ErasureForm

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("events.add_removal")

    def get_fieldsets(self, request: HttpRequest, obj: Removal | None = None) -> list[tuple[None, dict[str, Any]]]:
        if obj is None:
            return [(None, {"fields": ["hub", "name"], "description": ERASED_FOR_GOOD})]
        shown = ["hub", "what", "requested_at", "requested_by", "state", "epoch", "done_at", "receipt"]
        return [(None, {"fields": shown})]

    def get_form(self, request: HttpRequest, obj: Removal | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change=change, **kwargs | {"form": forms.ModelForm})
        return super().get_form(request, obj, change=change, **kwargs)

    def save_model(self, request: HttpRequest, removal: Removal, form: ErasureForm, change: bool) -> None:
        """Record it; what follows is for the worker, within half a minute and the time of two runs."""
        hub = Hub.objects.get(slug=removal.hub)
        removal.__dict__.update(erase(hub, form.cleaned_data["name"], request.user.get_username()).__dict__)

    @display(description="what")
    def what(self, removal: Removal) -> str:
        return "a visitor" if removal.before is None else f"events before {removal.before_at:%Y-%m-%d %H:%M} UTC"

    @display(description="state", label={"done": "success", "published": "info", "asked for": "warning"})
    def state(self, removal: Removal) -> str:
        return "done" if removal.done_at else "published" if removal.epoch else "asked for"

    @display(description="events before")
    def events(self, removal: Removal) -> int:
        return removal.receipt.get("before", {}).get("events", 0)

    @display(description="events after")
    def left(self, removal: Removal) -> int | None:
        after = removal.receipt.get("after")
        return after and after["log"] + after["archive"]


@admin.register(Cut)
class CutAdmin(ReadOnly, ModelAdmin):
    list_display = ["epoch", "cut_at", "published_at", "position"]
