"""Project: settings, URLs, the WSGI entry, Celery, and the processes of `make run`."""

from statsproject.celery import app as celery_app

__all__ = ["celery_app"]
