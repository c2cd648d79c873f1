"""Celery's entry to the batch layer."""

from celery import shared_task
from django.utils import timezone

from views_layer import media_index, removals, seam


@shared_task(ignore_result=True)
def reconcile() -> None:
    """Do what is due. Beat sends this at each full hour and every 30 seconds; the ledger decides whether there is work."""
    now = timezone.now()
    seam.reconcile(now)
    removals.carry_out_all(now)
    media_index.fill(now)
