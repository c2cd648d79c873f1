"""Tables of the embedded view store, and the share links."""

import secrets

from django.conf import settings
from django.db import models

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
