"""Celery's entry to the batch layer."""

from celery import shared_task
from django.utils import timezone

from batch import lessons
from views_layer import errands, media_index, removals, seam


@shared_task(ignore_result=True)
def reconcile() -> None:
    """Do what people have asked for, and what is due. Beat sends this at each full hour and every 30 seconds; errands
    and ledger decide whether there is work."""
    now = timezone.now()
    errands.carry_out(now)
    seam.reconcile(now)
    removals.carry_out_all(now)
    media_index.fill(now)
    lessons.learn_missing()
