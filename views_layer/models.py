"""Tables of the embedded view store; share links, mails and notes of customers; rates and statements."""

import secrets
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from babel.numbers import get_currency_precision, list_currencies
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from aggregations.buckets import next_first_day
from events.models import Hub
from insights.retribution import MODELS


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
    confirmed_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When its address said that it wants the mails; empty: it has none but the question.",
    )
    asked_at = models.DateTimeField(null=True, editable=False, help_text="When the address was last asked to confirm.")
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

    One that asks its address to confirm is about no period, and has the time at which it was due in its place.
    `free_at` is when somebody may next claim it. A claim without outcome is that of a worker that was killed.
    """

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="mails")
    period = models.CharField(max_length=32, help_text="The local start of what it is about.")
    facts = models.JSONField(default=dict, blank=True)
    asks = models.BooleanField(default=False, help_text="Whether it asks its address to confirm the subscription.")
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
        return f"{self.subscription}, {'asked' if self.asks else 'of'} {self.period}"


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


GOAL = RegexValidator(r"^[a-z][a-z0-9_]{0,31}$", "A goal is `visits` or the name of an action, such as download.")


def validate_currency(code: str) -> None:
    """Raises ValidationError where `code` is no currency."""
    if code not in list_currencies():
        raise ValidationError(f"{code!r} is no ISO 4217 currency; for example EUR.")


def in_units(amount: int | Decimal, currency: str) -> Decimal:
    """An amount of minor units in units of the currency, with all its decimals."""
    return Decimal(amount).scaleb(-get_currency_precision(currency))


class Attribution(models.Model):
    """The model by which the statements of a hub deal credit; of a hub without one it is DEFAULT."""

    DEFAULT = "last"

    hub = models.OneToOneField(Hub, on_delete=models.CASCADE, related_name="attribution")
    model = models.CharField(max_length=16, default=DEFAULT, choices=[(name, name) for name in MODELS])

    class Meta:
        ordering = ["hub__slug"]

    def __str__(self) -> str:
        return f"{self.hub.slug}: {self.model}"


class Rate(models.Model):
    """What a goal of a hub is worth on some local days. It is never edited, only ended; a new one begins after it.

    That of an intermediary comes before that of every one. None begins or ends within what a statement has paid.
    """

    EUR = "EUR"

    hub = models.ForeignKey(Hub, on_delete=models.CASCADE, related_name="rates")
    goal = models.CharField(max_length=32, validators=[GOAL], help_text="visits, or an action, such as download.")
    intermediary = models.CharField(
        max_length=128, blank=True, help_text="Its code; empty: every intermediary without a rate of its own."
    )
    amount = models.DecimalField(
        "amount per goal",
        max_digits=12,
        decimal_places=3,
        validators=[MinValueValidator(Decimal(0))],
        help_text="In cents, or what the currency has in their place: 12.5 is 0.125 EUR.",
    )
    currency = models.CharField(max_length=3, default=EUR, validators=[validate_currency])
    first_day = models.DateField(help_text="In the time zone of the hub.")
    last_day = models.DateField(null=True, blank=True, help_text="Empty: until it is ended.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False)

    class Meta:
        ordering = ["hub", "goal", "intermediary", "-first_day"]

    def __str__(self) -> str:
        until = f"until {self.last_day}" if self.last_day else "on"
        return f"{self.goal} by {self.intermediary or 'everyone'} from {self.first_day} {until}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises ValidationError for a rate that may not be so."""
        self.full_clean()
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """Raises ValidationError, with the rate or statement that is in the way and the way out."""
        if self.first_day is None or self.hub_id is None:
            return
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValidationError(f"A rate that begins on {self.first_day} cannot end on {self.last_day}, before it.")
        self._refuse_paid_days()
        for other in Rate.objects.filter(hub=self.hub).exclude(pk=self.pk):
            self._refuse_beside(other)

    def _refuse_paid_days(self) -> None:
        """Nothing changes for the months of statements, so that they can be computed again."""
        stored = Rate.objects.filter(pk=self.pk).first() if self.pk else None
        if stored is not None:
            fixed = ("hub_id", "goal", "intermediary", "amount", "currency", "first_day")
            if changed := [name for name in fixed if getattr(stored, name) != getattr(self, name)]:
                raise ValidationError(f"A rate is not edited ({changed[0]}): end it, and begin a new one after it.")
            if stored.last_day == self.last_day:
                return
        last = Statement.objects.filter(hub=self.hub).order_by("month").last()
        if last is None:
            return
        changes_from = self.first_day
        if stored is not None:
            ends = [day for day in (stored.last_day, self.last_day) if day is not None]
            changes_from = min(ends) + timedelta(days=1)
        if changes_from < last.month_after:
            raise ValidationError(
                f"{last} has been issued, and this would change what is paid from {changes_from} on;"
                f" choose days from {last.month_after} on."
            )

    def _refuse_beside(self, other: "Rate") -> None:
        """Raises ValidationError where another rate of the hub is in force on a day of this one and they do not go together."""
        latest = min(day for day in (self.last_day, other.last_day, date.max) if day is not None)
        if max(self.first_day, other.first_day) > latest:
            return
        if (other.goal, other.intermediary) == (self.goal, self.intermediary):
            raise ValidationError(
                f"It overlaps with {other}; end that one first, on a day before {self.first_day}, or begin later."
            )
        if other.currency != self.currency:
            raise ValidationError(
                f"{other} is in {other.currency}, and a statement has one currency; use it, or begin when that one has ended."
            )

    @property
    def is_paid(self) -> bool:
        """Whether a statement of a month in which it was in force has been issued."""
        issued = Statement.objects.filter(hub=self.hub).order_by("month").last()
        return issued is not None and self.first_day < issued.month_after


class Statement(models.Model):
    """What a hub's intermediaries are paid for a local month. Frozen: what later changes is corrected in the next one.

    `number` counts within the hub. `position` is that of the log whose events it was computed from; `digest` is of those
    used. Amounts are minor units of `currency`, credits millionths; see views_layer.statements.
    """

    DRAFT = 0
    """The number of one that is never kept."""

    hub = models.ForeignKey(Hub, on_delete=models.PROTECT, related_name="statements")
    number = models.PositiveIntegerField()
    month = models.DateField(help_text="Its first day.")
    timezone = models.CharField(max_length=64)
    model = models.CharField(max_length=16)
    currency = models.CharField(max_length=3)
    issued_at = models.DateTimeField()
    position = models.JSONField()
    digest = models.CharField(max_length=64)
    lines = models.JSONField()
    corrections = models.JSONField()
    total = models.BigIntegerField()
    csv = models.TextField()
    pdf = models.BinaryField()

    class Meta:
        ordering = ["hub", "-month"]
        constraints = [
            models.UniqueConstraint(fields=["hub", "month"], name="one_statement_per_month"),
            models.UniqueConstraint(fields=["hub", "number"], name="one_statement_per_number"),
        ]

    def __str__(self) -> str:
        named = "Draft" if self.is_draft else f"Statement {self.number}"
        return f"{named} of {self.hub.slug}, {self.month:%Y-%m}"

    @property
    def is_draft(self) -> bool:
        return self.number == self.DRAFT

    @property
    def name(self) -> str:
        """What its files are named by."""
        return f"{self.hub.slug}-{self.month:%Y-%m}"

    @property
    def month_after(self) -> date:
        return next_first_day("month", self.month)

    def money(self, amount: int) -> Decimal:
        """An amount in units of the currency, with all its decimals."""
        return in_units(amount, self.currency)
