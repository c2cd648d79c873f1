"""The alerts: which alarms stood from when to when, and who was told."""

from django.db import models
from django.db.models import Q


class Alert(models.Model):
    """An alarm, from when it was first seen until it was gone."""

    name = models.CharField(max_length=32)
    severity = models.CharField(max_length=10)
    sentence = models.TextField()
    since = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-since", "name"]
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=Q(cleared_at=None), name="one_standing_alert_per_alarm")
        ]

    def __str__(self) -> str:
        return f"{self.name} since {self.since:%Y-%m-%d %H:%M}"


class Telling(models.Model):
    """When a channel last took the news that an alert was raised, or cleared."""

    RAISED, CLEARED = "raised", "cleared"

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="tellings")
    channel = models.CharField(max_length=10)
    state = models.CharField(max_length=10, choices=[(RAISED, "raised"), (CLEARED, "cleared")])
    told_at = models.DateTimeField()

    class Meta:
        ordering = ["told_at"]
        constraints = [models.UniqueConstraint(fields=["alert", "channel", "state"], name="one_telling_per_state")]

    def __str__(self) -> str:
        return f"{self.channel}: {self.state} at {self.told_at:%Y-%m-%d %H:%M}"


class Teller(models.Model):
    """One row: from when on somebody may tell alerts. Whoever tells moves it ahead, so that nobody else does meanwhile."""

    free_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"free at {self.free_at:%Y-%m-%d %H:%M:%S}"
