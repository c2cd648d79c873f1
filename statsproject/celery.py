"""The Celery application. Messages carry no data: each task asks the log and the ledger what there is to do."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "statsproject.settings")

app = Celery("affluence")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
