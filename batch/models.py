"""The ledger's tables: runs, errands, audits and their mismatches, restatements, what was learnt, and the files of the archive."""

from django.db import models


class Run(models.Model):
    """One claim of an epoch's batch work. Its id is the fencing token: a newer claim of the epoch shuts it out."""

    HOURLY, DAILY, REBUILD = "hourly", "daily", "rebuild"

    epoch = models.BigIntegerField(db_index=True)
    kind = models.CharField(max_length=10, choices=[(HOURLY, "hourly"), (DAILY, "daily"), (REBUILD, "rebuild")])
    claimed_at = models.DateTimeField()
    alive_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    step = models.CharField(max_length=200, blank=True)
    done = models.IntegerField(default=0, help_text="Parts of its longest step that are done.")
    total = models.IntegerField(default=0, help_text="Parts of its longest step; 0 where it has not come to it.")
    store_birth = models.CharField(max_length=16, blank=True)
    event_count = models.BigIntegerField(default=0)
    row_count = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.kind} run of epoch {self.epoch}"


class Errand(models.Model):
    """Batch work that a person has asked for. The worker takes the oldest; at most one is open at a time."""

    SWAP, RETRY = "swap", "retry"
    KINDS = [
        (Run.HOURLY, "run now"),
        (Run.DAILY, "daily run"),
        (Run.REBUILD, "rebuild"),
        (SWAP, "swap"),
        (RETRY, "retry"),
    ]

    kind = models.CharField(max_length=10, choices=KINDS)
    asked_at = models.DateTimeField()
    asked_by = models.CharField(max_length=150)
    begun_at = models.DateTimeField(null=True)
    alive_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    epoch = models.BigIntegerField(null=True, help_text="The epoch that it froze or published.")
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} for {self.asked_by}"


class Learnt(models.Model):
    """The bytes of a lesson of a hub, learnt from what readers of an epoch see; see batch.lessons."""

    hub = models.CharField(max_length=64)
    lesson = models.CharField(max_length=32)
    version = models.IntegerField()
    epoch = models.BigIntegerField(db_index=True)
    event_count = models.BigIntegerField(help_text="Events of the hub in the archive then.")
    digest = models.CharField(max_length=64)
    payload = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hub", "lesson", "version", "epoch"], name="one_payload_per_epoch")
        ]

    def __str__(self) -> str:
        return f"{self.lesson} of {self.hub} from epoch {self.epoch}"


class RebuiltWindow(models.Model):
    """A window of a hub that a rebuild has written, so that a rebuild that died goes on from there."""

    epoch = models.BigIntegerField()
    hub = models.CharField(max_length=64)
    start = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["epoch", "hub", "start"], name="one_rebuilt_window")]


class Audit(models.Model):
    """The comparison of an epoch's frozen buffer with the batch fold of the same range, state by state.

    A daily run also compares what it recomputes with the rows that hourly runs have published.
    """

    epoch = models.BigIntegerField(unique=True)
    audited_at = models.DateTimeField()
    compared = models.IntegerField()
    mismatch_count = models.IntegerField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the batch states, in order of hub and rollup")

    class Meta:
        ordering = ["-epoch"]

    def __str__(self) -> str:
        return f"audit of epoch {self.epoch}: {self.mismatch_count} mismatches"


class Mismatch(models.Model):
    """A hub's rollup in which a buffer, or the row of an hour, differs from batch, with the bytes of both. Batch wins.

    Of the kind `account`: an hour in which the log has another number of events than was accounted for, as JSON.
    """

    BUFFER, ROWS, ACCOUNT = "buffer", "rows", "account"

    audit = models.ForeignKey(Audit, on_delete=models.CASCADE, related_name="mismatches")
    kind = models.CharField(
        max_length=10, choices=[(BUFFER, "buffer"), (ROWS, "rows"), (ACCOUNT, "account")], default=BUFFER
    )
    hub = models.CharField(max_length=64)
    rollup = models.CharField(max_length=64)
    hour_at = models.DateTimeField(null=True, help_text="The hour of a row; a buffer is compared as a whole")
    stored_state = models.BinaryField()
    batch_state = models.BinaryField()
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)

    class Meta:
        verbose_name_plural = "mismatches"
        constraints = [
            models.UniqueConstraint(fields=["audit", "kind", "hub", "rollup", "hour_at"], name="one_mismatch_per_state")
        ]

    def __str__(self) -> str:
        return f"{self.hub} {self.rollup}" if self.hub else f"the account at {self.hour_at:%Y-%m-%d %H:00}"


class Restatement(models.Model):
    """A closed number that changed: what, old, new, why, when."""

    LATE, CORRECTED, ERASED = "late events", "recomputed from the raw events", "a visitor was erased"

    hub = models.CharField(max_length=64)
    metric = models.CharField(max_length=64)
    day_start = models.DateTimeField()
    day_end = models.DateTimeField()
    old = models.FloatField(null=True)
    new = models.FloatField(null=True)
    reason = models.CharField(max_length=64)
    restated_at = models.DateTimeField()
    epoch = models.BigIntegerField()

    class Meta:
        ordering = ["-restated_at", "hub", "day_start", "metric"]
        constraints = [
            models.UniqueConstraint(fields=["hub", "metric", "day_start", "epoch"], name="one_restatement_per_epoch")
        ]

    def __str__(self) -> str:
        return f"{self.hub} {self.metric} of {self.day_start:%Y-%m-%d}: {self.old} to {self.new}"


class ArchiveFile(models.Model):
    """A Parquet file of the archive: a hub's events of some epochs, sorted by occurrence.

    Readers of epoch E see the files with `added_epoch` up to E that are not retired by E.
    """

    hub = models.CharField(max_length=64)
    path = models.CharField(max_length=300, unique=True)
    added_epoch = models.BigIntegerField()
    retired_epoch = models.BigIntegerField(null=True, blank=True)
    first_at = models.BigIntegerField()
    last_at = models.BigIntegerField()
    event_count = models.BigIntegerField()
    byte_count = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["hub", "first_at", "last_at"])]

    def __str__(self) -> str:
        return self.path


class KeptRow(models.Model):
    """The cells of a hub, rollup and hour (since 1970) whose raw events were removed: nothing can compute them again.

    Of several epochs the newest holds all that the others hold.
    """

    hub = models.CharField(max_length=64)
    rollup = models.CharField(max_length=64)
    hour = models.BigIntegerField()
    epoch = models.BigIntegerField()
    payload = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hub", "rollup", "hour", "epoch"], name="one_kept_row_per_epoch")
        ]
