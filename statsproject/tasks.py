"""Celery's entry to what tells people: of alarms, and of their hubs' numbers."""

from celery import shared_task
from django.utils import timezone

from statsproject import alerts
from statsproject.aside import Aside
from views_layer.mails import post

ALERTS = Aside("alerts", alerts.watch)
MAILS = Aside("mails", post.carry_out)


@shared_task(ignore_result=True)
def watch_alarms() -> None:
    """Look at the alarms and tell what is due. Returns at once: the worker that took it folds or runs batches too."""
    ALERTS.start(timezone.now())


@shared_task(ignore_result=True)
def send_mails() -> None:
    """Send the reports and alerts of hubs that are due. Returns at once; the tables decide whether there is work."""
    MAILS.start(timezone.now())
