"""Hubs, their people, keys and media; the log's tables; the cuts."""

import hashlib
import logging
import secrets
import zoneinfo
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import DatabaseError, models
from django.db.models import Q
from django.utils import timezone

from events.log import SAMPLES
from events.words import words_of

logger = logging.getLogger(__name__)

SLUG = RegexValidator(r"^[a-z0-9][a-z0-9_-]{0,63}$", "Use a to z, 0 to 9, - and _, at most 64 characters.")


def validate_timezone(name: str) -> None:
    """Raises ValidationError where `name` is no IANA time zone."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError(f"{name!r} is not an IANA time zone; for example Europe/Paris.")


class Hub(models.Model):
    """A customer's online library."""

    slug = models.CharField(max_length=64, unique=True, validators=[SLUG])
    title = models.CharField(max_length=200, blank=True)
    timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone])
    created_at = models.DateTimeField(auto_now_add=True)
    keep_events_days = models.PositiveIntegerField(
        "keep raw events for",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Days; empty: for ever. Older ones are removed for good each day; their numbers stay.",
    )
    keep_rows_days = models.PositiveIntegerField(
        "keep numbers for",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Days; empty: for ever. Older numbers are removed for good each day, with their raw events.",
    )
    embeds_recommendations = models.BooleanField(
        "recommendations may be embedded",
        default=False,
        help_text="On pages of other sites, without a key: anybody can then read what is popular, and what goes with what.",
    )
    events_since = models.DateTimeField(null=True, editable=False, help_text="Raw events before it were removed.")
    rows_since = models.DateTimeField(null=True, editable=False, help_text="Numbers before it were removed.")

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.title or self.slug

    def clean(self) -> None:
        """Numbers without events can be kept, events without numbers not."""
        if self.keep_rows_days and self.keep_events_days and self.keep_events_days > self.keep_rows_days:
            raise ValidationError(
                f"Raw events cannot be kept for {self.keep_events_days} days where numbers are kept for"
                f" {self.keep_rows_days}; keep the numbers as long, or the events shorter."
            )

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.timezone)


class Membership(models.Model):
    """A customer who may read a hub."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    hub = models.ForeignKey(Hub, on_delete=models.CASCADE, related_name="memberships")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "hub"], name="one_membership_per_user_and_hub")]

    def __str__(self) -> str:
        return f"{self.user} in {self.hub}"


FINGERPRINT = 8
"""Hexadecimal digits of a key's digest that tell it from others: they are shown, and the table is searched by them."""


class ApiKey(models.Model):
    """A key of a REST client. Only its SHA-256 is kept; the key itself is shown once."""

    INGEST, READ = "ingest", "read"

    hub = models.ForeignKey(Hub, on_delete=models.CASCADE, related_name="keys")
    scope = models.CharField(max_length=10, choices=[(INGEST, "send events"), (READ, "ask for statistics")])
    name = models.CharField(max_length=100, blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False, help_text="To within five minutes.")

    USE_KEPT_EVERY = timedelta(minutes=5)

    def __str__(self) -> str:
        return f"{self.hub.slug} {self.scope} {self.fingerprint}"

    @property
    def fingerprint(self) -> str:
        return self.digest[:FINGERPRINT]

    @staticmethod
    def digest_of(key: str) -> str:
        """The digest under which `key` is kept. Keys have 256 random bits, so one round of SHA-256 is enough."""
        return hashlib.sha256(key.encode()).hexdigest()

    @classmethod
    def issue(cls, hub: Hub, scope: str, name: str = "") -> str:
        """Make a key and return it, the only time that it can be read."""
        key = f"aff_{scope}_{secrets.token_urlsafe(32)}"
        cls.objects.create(hub=hub, scope=scope, name=name, digest=cls.digest_of(key))
        return key

    @classmethod
    def in_use(cls, digest: str) -> "ApiKey | None":
        """The row of the key with that digest, with its hub; None where it is unknown or revoked. Keeps that it was used.

        The table is searched by the fingerprint alone, and the rest of the digest is compared in constant time.
        """
        low = digest[:FINGERPRINT]
        alike = cls.objects.select_related("hub").filter(revoked_at=None, digest__range=(low, low + "g"))
        found = next((row for row in alike if secrets.compare_digest(row.digest, digest)), None)
        if found is not None:
            found.keep_use()
        return found

    def keep_use(self) -> None:
        """Write when the key was used, unless the last five minutes have it already.

        A commit of its own, and none that a request fails by: the use of a key is not worth a lost event.
        """
        now = timezone.now()
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - self.USE_KEPT_EVERY)
        if self.last_used_at is not None and self.last_used_at >= now - self.USE_KEPT_EVERY:
            return
        try:
            ApiKey.objects.filter(stale, pk=self.pk).update(last_used_at=now)
        except DatabaseError as error:
            logger.warning("The use of the key %s was not kept: %s.", self, error)


class Media(models.Model):
    """What the catalogue has learnt of a media from its events."""

    hub = models.ForeignKey(Hub, on_delete=models.CASCADE, related_name="media")
    key = models.CharField(max_length=128)
    kind = models.CharField(max_length=16, blank=True)
    title = models.CharField(max_length=2000, blank=True)
    pages = models.PositiveIntegerField(null=True, blank=True)
    first_at = models.DateTimeField()
    kind_at = models.DateTimeField(null=True, blank=True, help_text="When an event that says the kind occurred.")
    title_at = models.DateTimeField(null=True, blank=True, help_text="When an event that says the title occurred.")
    pages_at = models.DateTimeField(null=True, blank=True, help_text="When an event that says the pages occurred.")
    words = models.TextField(editable=False, help_text="Of id and title, each after a blank, as they are searched.")
    learnt_at = models.DateTimeField(default=timezone.now, editable=False, help_text="When this row was last written.")

    class Meta:
        ordering = ["key"]
        verbose_name_plural = "media"
        constraints = [models.UniqueConstraint(fields=["hub", "key"], name="one_media_per_hub_and_key")]
        indexes = [models.Index(fields=["hub", "learnt_at"], name="media_by_time_of_learning")]

    def __str__(self) -> str:
        return self.title or self.key

    @staticmethod
    def searched(key: str, title: str) -> str:
        """The `words` of a media."""
        return "".join(f" {word}" for word in words_of(f"{key} {title}"))


class Chunk(models.Model):
    """A chunk of the embedded event log."""

    partition = models.CharField(max_length=64)
    sequence = models.BigIntegerField()
    received_at = models.BigIntegerField()
    event_count = models.IntegerField()
    payload = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["partition", "sequence"], name="one_chunk_per_sequence")]
        indexes = [models.Index(fields=["received_at", "event_count"], name="chunk_sizes_by_time")]


class LogBirth(models.Model):
    """The one row of the log's mark, see EventLog.birth. A backup is restored without it."""

    mark = models.CharField(max_length=16)


class Visitor(models.Model):
    """The number of a visitor within its hub."""

    pk = models.CompositePrimaryKey("hub", "key")
    hub = models.CharField(max_length=64)
    key = models.BinaryField(max_length=16)
    number = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hub", "number"], name="one_visitor_per_number")]


class Visit(models.Model):
    """The number and span of a visit within its hub."""

    pk = models.CompositePrimaryKey("hub", "visitor", "key")
    hub = models.CharField(max_length=64)
    visitor = models.BigIntegerField()
    key = models.BinaryField(max_length=16)
    number = models.BigIntegerField()
    ordinal = models.IntegerField()
    first_at = models.BigIntegerField()
    last_at = models.BigIntegerField()
    reach = models.BigIntegerField(null=True, help_text="last_at, where it is in the outline of a frequent visitor.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hub", "number"], name="one_visit_per_number")]
        indexes = [
            models.Index(
                fields=["hub", "visitor", "reach"], condition=models.Q(reach__isnull=False), name="outline_of_visits"
            )
        ]


class FrequentVisitor(models.Model):
    """How many visits a visitor has, of those with too many to read them all."""

    pk = models.CompositePrimaryKey("hub", "visitor")
    hub = models.CharField(max_length=64)
    visitor = models.BigIntegerField()
    visits = models.BigIntegerField()


class EventId(models.Model):
    """An event id that has been accepted; the same id in a hub is the same event, for ever."""

    pk = models.CompositePrimaryKey("hub", "event_id")
    hub = models.CharField(max_length=64)
    event_id = models.CharField(max_length=64)


class RejectedEvent(models.Model):
    """An event that was not accepted, kept with its reason until somebody replays or deletes it."""

    hub = models.CharField(max_length=128, blank=True, db_index=True)
    code = models.CharField(max_length=64, db_index=True)
    detail = models.CharField(max_length=500)
    payload = models.BinaryField()
    received_at = models.DateTimeField()
    replayed_at = models.DateTimeField(null=True, blank=True)
    key = models.BinaryField(max_length=16, null=True, help_text="The same for what an import rejects again.")

    class Meta:
        ordering = ["-received_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["key"], name="one_rejected_event_per_key")]

    def __str__(self) -> str:
        return f"{self.code} at {self.received_at:%Y-%m-%d %H:%M:%S}"


class RejectedCount(models.Model):
    """How many events of a hub were rejected for a reason on a UTC day, and how many of them by public callers."""

    hub = models.CharField(max_length=128, blank=True)
    code = models.CharField(max_length=64)
    day = models.DateField()
    count = models.BigIntegerField()
    public = models.BigIntegerField()

    class Meta:
        ordering = ["-day", "hub", "code"]
        constraints = [models.UniqueConstraint(fields=["hub", "code", "day"], name="one_count_per_hub_code_and_day")]

    def __str__(self) -> str:
        return f"{self.count} {self.code} on {self.day}"

    @property
    def left_out(self) -> int:
        """How many were counted and not kept."""
        return max(self.public - SAMPLES, 0)


class Account(models.Model):
    """What became of the events that were received for a hub in an hour (since 1970).

    `received` is counted at the door, the others where they are written, in the same write as the events: received =
    accepted + duplicates + rejected. `removed` are those of the accepted that were erased, or kept long enough, since.
    """

    hour = models.BigIntegerField()
    hub = models.CharField(max_length=64, blank=True)
    received = models.BigIntegerField(default=0)
    accepted = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    removed = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-hour", "hub"]
        constraints = [models.UniqueConstraint(fields=["hour", "hub"], name="one_account_per_hour_and_hub")]

    def __str__(self) -> str:
        return f"{self.hub or 'no known hub'} at {self.hour_at:%Y-%m-%d %H:00}"

    @property
    def hour_at(self) -> datetime:
        return datetime.fromtimestamp(self.hour * 3_600, UTC)


class Projection(models.Model):
    """How far the chunks of a log that is kept elsewhere are taken over to the tables of rejections and accounts.

    By partition the last sequence; by chunk the version up to which its removed events are accounted for.
    """

    name = models.CharField(max_length=80, primary_key=True)
    value = models.BigIntegerField()


class Removal(models.Model):
    """Events to be taken out of log, archive and rows: those of an erased visitor, or those that are too old.

    They are those up to the position `until`. Readers of `epoch` and later see them no more; `done_at` says when the log
    held them no more either. Who the visitor was is not kept: only a number that nothing leads to.
    """

    hub = models.CharField(max_length=64)
    visitor = models.BigIntegerField(null=True)
    before = models.BigIntegerField(null=True, help_text="Milliseconds since 1970: events that occurred before.")
    requested_at = models.DateTimeField(auto_now_add=True)
    requested_by = models.CharField(max_length=150)
    until = models.JSONField(null=True)
    epoch = models.BigIntegerField(null=True, db_index=True)
    done_at = models.DateTimeField(null=True)
    receipt = models.JSONField(default=dict, help_text="What was there before and after.")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["hub"], condition=models.Q(done_at=None), name="removals_to_be_done")]

    def __str__(self) -> str:
        what = (
            f"a visitor of {self.hub}" if self.before is None else f"{self.hub} before {self.before_at:%Y-%m-%d %H:%M}"
        )
        return f"removal {self.pk}: {what}"

    @property
    def before_at(self) -> datetime:
        return datetime.fromtimestamp((self.before or 0) / 1000, UTC)


class Cut(models.Model):
    """The position that ends an epoch. The first writer of an epoch wins; it never changes afterwards."""

    epoch = models.BigIntegerField(primary_key=True)
    position = models.JSONField()
    cut_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["epoch"]

    def __str__(self) -> str:
        return f"epoch {self.epoch} up to {self.position}"
