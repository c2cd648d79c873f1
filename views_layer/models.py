"""Tables of the embedded view store; share links, mails and notes of customers."""

import secrets
from decimal import Decimal

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from events.models import Hub


class ViewRow(models.Model):
    """A published state: all cells of a rollup for one hub and bucket. Immutable; see batch.view_store."""

    hub = models.CharField(max_length=64)
    rollup = models.CharField(max_length=64)
    grain = models.CharField(max_length=5)
    start = models.BigIntegerField()
    end = models.BigIntegerField()
    version = models.BigIntegerField()
    payload = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["hub", "rollup", "grain", "start", "end", "version"], name="one_row_per_address"
            )
        ]
        indexes = [models.Index(fields=["version"])]


class Seal(models.Model):
    """A version whose rows are all written, and the declaration that they were folded by.

    Versions below 0 stand for no rows: -1 holds the mark of the store itself, -2 the version it was cleaned up to.
    """

    version = models.BigIntegerField(primary_key=True)
    declaration = models.CharField(max_length=16)


def _public_id() -> str:
    return secrets.token_urlsafe(9)


class ShareLink(models.Model):
    """The pages of one hub for whoever holds its address; see views_layer.links."""

    hub = models.ForeignKey(Hub, on_delete=models.CASCADE, related_name="share_links")
    name = models.CharField(max_length=100)
    public_id = models.CharField(max_length=16, unique=True, default=_public_id, editable=False)
    filters = models.JSONField(default=dict, blank=True, help_text="Dimension: values. The holder cannot remove them.")
    password = models.CharField(max_length=128, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.hub.slug})"


class Subscription(models.Model):
    """Mails about a hub to an address: a report of each week or month, or an alert where an hour or day is unlike others."""

    WEEKLY, MONTHLY, HOURLY, DAILY = "weekly", "monthly", "hourly", "daily"
    KINDS = {WEEKLY: "weekly report", MONTHLY: "monthly report", HOURLY: "hourly alert", DAILY: "daily alert"}
    ALERTS = frozenset({HOURLY, DAILY})

    hub = models.ForeignKey(Hub, on_delete=models.CASCADE, related_name="subscriptions")
    address = models.EmailField()
    kind = models.CharField(max_length=10, choices=[*KINDS.items()])
    language = models.CharField(max_length=10, default=settings.LANGUAGE_CODE)
    factor = models.DecimalField(
        max_digits=4,
        decimal_places=1,
        default=Decimal(3),
        validators=[MinValueValidator(Decimal("1.1"))],
        help_text="Of alerts: how many times more or fewer visits than usual.",
    )
    floor = models.PositiveIntegerField(
        default=20,
        validators=[MinValueValidator(1)],
        help_text="Of alerts: visits below which nothing is told: of a spike those now, of a drop the usual ones.",
    )
    public_id = models.CharField(max_length=16, unique=True, default=_public_id, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False)
    planned_until = models.DateTimeField(null=True, editable=False, help_text="The end of the last period looked at.")
    ended_at = models.DateTimeField(null=True, blank=True, editable=False)
    is_unsubscribed = models.BooleanField(default=False, editable=False, help_text="Ended by whoever got the mails.")

    class Meta:
        ordering = ["address", "kind"]
        constraints = [
            models.UniqueConstraint(
                fields=["hub", "address", "kind"], condition=Q(ended_at=None), name="one_subscription_per_address"
            )
        ]

    def __str__(self) -> str:
        return f"{self.KINDS[self.kind]} of {self.hub.slug} to {self.address}"

    @property
    def is_alert(self) -> bool:
        return self.kind in self.ALERTS


class Mail(models.Model):
    """The one mail of a subscription about a period, from when it was due; see views_layer.mails.post.

    `free_at` is when somebody may next claim it. A claim without outcome is that of a worker that was killed.
    """

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="mails")
    period = models.CharField(max_length=32, help_text="The local start of what it is about.")
    facts = models.JSONField(default=dict, blank=True)
    due_at = models.DateTimeField()
    free_at = models.DateTimeField()
    until = models.DateTimeField(help_text="When it is tried no more.")
    tries = models.PositiveIntegerField(default=0)
    claimed_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    subject = models.CharField(max_length=300, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-due_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["subscription", "period"], name="one_mail_per_period")]
        indexes = [models.Index(fields=["free_at"], condition=Q(sent_at=None), name="mails_to_send")]

    def __str__(self) -> str:
        return f"{self.subscription} of {self.period}"


class Note(models.Model):
    """What happened in the life of a hub on a local day, in a customer's words."""

    hub = models.ForeignKey(Hub, on_delete=models.CASCADE, related_name="notes")
    day = models.DateField()
    text = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False)

    class Meta:
        ordering = ["-day", "-id"]
        indexes = [models.Index(fields=["hub", "day"])]

    def __str__(self) -> str:
        return f"{self.day}: {self.text}"
