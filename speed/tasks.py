"""Celery's entry to the consumer."""

from celery import shared_task

from speed import buffers
from speed.consumer import apply_new


@shared_task(ignore_result=True)
def apply_log() -> None:
    """Apply what is new in the log. A lost or doubled message costs nothing: beat sends one every second."""
    buffers.client().delete(f"{buffers.PREFIX}nudged")
    apply_new()
