"""Celery's entry to the alerts."""

from celery import shared_task
from django.utils import timezone

from statsproject import alerts


@shared_task(ignore_result=True)
def watch_alarms() -> None:
    """Look at the alarms and tell what is due. Returns at once: the worker that took it folds or runs batches too."""
    alerts.watch_aside(timezone.now())
