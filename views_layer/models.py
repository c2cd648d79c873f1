"""Tables of the embedded view store."""

from django.db import models


class ViewRow(models.Model):
    """A published state: all cells of a rollup for one hub and bucket. Immutable; see batch.view_store."""

    hub = models.CharField(max_length=64)
    rollup = models.CharField(max_length=64)
    grain = models.CharField(max_length=5)
    start = models.BigIntegerField()
    version = models.BigIntegerField()
    payload = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hub", "rollup", "grain", "start", "version"], name="one_row_per_address")
        ]
        indexes = [models.Index(fields=["version"])]


class Seal(models.Model):
    """A version whose rows are all written, and the declaration that they were folded by.

    Versions below 0 stand for no rows: -1 holds the mark of the store itself, -2 the version it was cleaned up to.
    """

    version = models.BigIntegerField(primary_key=True)
    declaration = models.CharField(max_length=16)
