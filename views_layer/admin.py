"""Of customers in Django's admin: mails about hubs, who gets them, how they look, what became of each; notes, share links;
what goals are worth, and the statements of what was paid.
"""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone, translation
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display

from events.admin import ReadOnly
from views_layer.mails.message import can_send, html_of, text_of
from views_layer.mails.periods import NotYet
from views_layer.mails.post import preview, send_test
from views_layer.models import Attribution, Mail, Note, Rate, ShareLink, Statement, Subscription
from views_layer.question import QueryError


@admin.register(Subscription)
class SubscriptionAdmin(ModelAdmin):
    """Customers make and end them on a page of their hub; here they are seen, shown as they would look, and ended."""

    list_display = ["address", "hub", "kind", "language", "state", "last_sent", "failed", "preview"]
    list_filter = [
        "kind",
        "language",
        ("confirmed_at", admin.EmptyFieldListFilter),
        ("ended_at", admin.EmptyFieldListFilter),
        "hub",
    ]
    search_fields = ["address", "hub__slug", "hub__title"]
    list_select_related = ["hub"]
    actions = ["send_test", "end"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        failed = Count("mails", filter=Q(mails__sent_at=None) & ~Q(mails__error=""))
        return super().get_queryset(request).annotate(last_at=Max("mails__sent_at"), failures=failed)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Subscription | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Subscription | None = None) -> bool:
        """A subscription cannot be altered; the list can be acted upon."""
        return obj is None and super().has_change_permission(request)

    def get_urls(self) -> list[URLPattern]:
        name = "views_layer_subscription_preview"
        shown = path("<path:object_id>/preview/", self.admin_site.admin_view(self.show), name=name)
        return [shown, *super().get_urls()]

    def show(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What a subscription would send of its last period, as HTML, or with ?text as text."""
        subscription = self.get_object(request, object_id)
        if not self.has_view_permission(request, subscription):
            raise PermissionDenied
        if subscription is None:
            raise Http404(f"There is no subscription {object_id!r}.")
        with translation.override(subscription.language):
            try:
                content, _period = preview(subscription, timezone.now())
            except (QueryError, NotYet) as error:
                return HttpResponse(str(error), "text/plain; charset=utf-8")
            if "text" in request.GET:
                return HttpResponse(text_of(subscription, content), "text/plain; charset=utf-8")
            return HttpResponse(html_of(subscription, content))

    @display(
        description="state",
        label={"stands": "success", "waits for confirmation": "warning", "unsubscribed": "warning", "ended": "info"},
    )
    def state(self, subscription: Subscription) -> str:
        if subscription.ended_at:
            return "unsubscribed" if subscription.is_unsubscribed else "ended"
        return "stands" if subscription.confirmed_at else "waits for confirmation"

    @display(description="last sent", ordering="last_at")
    def last_sent(self, subscription: Any) -> Any:
        return subscription.last_at

    @display(description="not sent", ordering="failures")
    def failed(self, subscription: Any) -> int:
        return subscription.failures

    @display(description="preview")
    def preview(self, subscription: Subscription) -> str:
        url = reverse("admin:views_layer_subscription_preview", args=[subscription.pk])
        return format_html('<a href="{}">HTML</a> · <a href="{}?text">text</a>', url, url)

    @admin.action(description="Send a test to me", permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> None:
        to = getattr(request.user, "email", "")
        if not can_send() or not to:
            why = "your account has no e-mail address" if can_send() else "EMAIL_URL is not set"
            self.message_user(request, f"No test was sent: {why}.", messages.ERROR)
            return
        for subscription in queryset:
            try:
                send_test(subscription, to, timezone.now())
                self.message_user(request, f"A test of the {subscription} was sent to {to}.", messages.SUCCESS)
            except (OSError, QueryError, NotYet) as error:
                self.message_user(request, f"No test of the {subscription} was sent: {error}", messages.ERROR)

    @admin.action(description="End", permissions=["change"])
    def end(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> None:
        count = Subscription.objects.filter(pk__in=queryset, ended_at=None).update(ended_at=timezone.now())
        self.message_user(request, f"{count} subscriptions have ended.")


@admin.register(Mail)
class MailAdmin(ReadOnly, ModelAdmin):
    """Each mail: when it was due, claimed and sent, how often it was tried, and why it failed."""

    list_display = ["subscription", "period", "asks", "state", "due_at", "claimed_at", "sent_at", "tries", "error"]
    list_filter = [("sent_at", admin.EmptyFieldListFilter), "subscription__kind", "subscription__hub"]
    search_fields = ["subscription__address", "subscription__hub__slug"]
    list_select_related = ["subscription__hub"]

    @display(
        description="state",
        label={"sent": "success", "failed": "danger", "given up": "danger", "claimed": "info", "due": "info"},
    )
    def state(self, mail: Mail) -> str:
        if mail.sent_at:
            return "sent"
        is_answered = mail.asks and mail.subscription.confirmed_at
        if mail.until <= timezone.now() or mail.subscription.ended_at or is_answered:
            return "given up"
        return "failed" if mail.error else "claimed" if mail.tries else "due"


@admin.register(Note)
class NoteAdmin(ModelAdmin):
    list_display = ["day", "hub", "text", "created_by", "created_at"]
    list_filter = ["hub"]
    search_fields = ["text", "hub__slug"]
    autocomplete_fields = ["hub"]

    def save_model(self, request: HttpRequest, obj: Note, form: Any, change: bool) -> None:
        if not change:
            obj.created_by_id = request.user.pk
        super().save_model(request, obj, form, change)


@admin.register(ShareLink)
class ShareLinkAdmin(ReadOnly, ModelAdmin):
    """Customers make share links on a page of their hub; here they are seen, and revoked."""

    list_display = ["name", "hub", "filters", "has_password", "created_by", "created_at", "expires_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), "hub"]
    search_fields = ["name", "hub__slug"]
    list_select_related = ["hub", "created_by"]
    exclude = ["password"]
    actions = ["revoke"]

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """A link cannot be altered; the list can be acted upon."""
        return obj is None and ModelAdmin.has_change_permission(self, request)

    @display(description="password", boolean=True)
    def has_password(self, link: ShareLink) -> bool:
        return bool(link.password)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ShareLink]) -> None:
        count = queryset.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"{count} share links are revoked: their addresses show nothing any more.")


@admin.register(Attribution)
class AttributionAdmin(ModelAdmin):
    """The model by which a hub's statements deal credit; without an entry it is the last intermediary."""

    list_display = ["hub", "model"]
    search_fields = ["hub__slug", "hub__title"]
    list_select_related = ["hub"]
    autocomplete_fields = ["hub"]


@admin.register(Rate)
class RateAdmin(ModelAdmin):
    """Rates with their history: one is not edited but ended, by its last day, and a new one begins."""

    list_display = ["hub", "goal", "by", "amount", "currency", "first_day", "last_day", "created_by", "created_at"]
    list_filter = ["hub", "goal", "currency", ("last_day", admin.EmptyFieldListFilter)]
    search_fields = ["hub__slug", "goal", "intermediary"]
    list_select_related = ["hub", "created_by"]
    autocomplete_fields = ["hub"]
    fields = ["hub", "goal", "intermediary", "amount", "currency", "first_day", "last_day"]

    @display(description="intermediary", ordering="intermediary")
    def by(self, rate: Rate) -> str:
        return rate.intermediary or "every one"

    def get_readonly_fields(self, request: HttpRequest, obj: Rate | None = None) -> list[str]:
        return [name for name in self.fields if name != "last_day"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Rate | None = None) -> bool:
        """One by one, and none by which a statement has paid."""
        return obj is not None and not obj.is_paid and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Rate, form: Any, change: bool) -> None:
        if not change:
            obj.created_by_id = request.user.pk
        super().save_model(request, obj, form, change)


@admin.register(Statement)
class StatementAdmin(ReadOnly, ModelAdmin):
    """What was issued by `manage.py statement`, with its files."""

    list_display = ["name", "number", "model", "sum", "corrected", "issued_at", "files"]
    list_filter = ["hub", "month"]
    search_fields = ["hub__slug", "digest"]
    list_select_related = ["hub"]
    fields = [
        "hub",
        "number",
        "month",
        "timezone",
        "model",
        "sum",
        "corrected",
        "issued_at",
        "digest",
        "position",
        "files",
    ]
    readonly_fields = ["sum", "corrected", "files"]
    TYPES = {"csv": "text/csv; charset=utf-8", "pdf": "application/pdf"}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Statement]:
        return super().get_queryset(request).defer("csv", "pdf", "lines")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.download)
        files = [
            path(f"<path:object_id>/{kind}/", view, {"kind": kind}, name=f"views_layer_statement_{kind}")
            for kind in self.TYPES
        ]
        return [*files, *super().get_urls()]

    def download(self, request: HttpRequest, object_id: str, kind: str) -> HttpResponse:
        statement = self.get_object(request, object_id)
        if not self.has_view_permission(request, statement):
            raise PermissionDenied
        if statement is None:
            raise Http404(f"There is no statement {object_id!r}.")
        response = HttpResponse(bytes(statement.pdf) if kind == "pdf" else statement.csv, self.TYPES[kind])
        response["Content-Disposition"] = f'attachment; filename="{statement.name}.{kind}"'
        return response

    @display(description="total")
    def sum(self, statement: Statement) -> str:
        return f"{statement.money(statement.total)} {statement.currency}"

    @display(description="corrections")
    def corrected(self, statement: Statement) -> int:
        return len(statement.corrections)

    @display(description="files")
    def files(self, statement: Statement) -> str:
        urls = [reverse(f"admin:views_layer_statement_{kind}", args=[statement.pk]) for kind in self.TYPES]
        return format_html('<a href="{}">CSV</a> · <a href="{}">PDF</a>', *urls)
