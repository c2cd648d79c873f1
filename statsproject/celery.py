"""The Celery application and its schedule.

Messages carry no data: each task asks the log and the ledger what there is to do, so a tick that is lost, late or
doubled costs nothing.
"""

import logging
import os
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, task_postrun, task_prerun, worker_ready
from django.utils import timezone

from statsproject import logs, pulse
from statsproject.watchdog import Watchdog, waiting_in

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "statsproject.settings")

app = Celery("affluence")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

watchdog = Watchdog()


@dataclass(frozen=True)
class Tick:
    """One line of the schedule. Without `every_seconds` it is due at every full hour.

    Its messages never expire: a worker whose clock is ahead would drop all of them. One that was away drops the heap
    that waited for it when it begins.
    """

    name: str
    task: str
    every_seconds: int | None = None


SCHEDULE = (
    Tick("Fold new events into the buffers", "speed.tasks.apply_log", every_seconds=1),
    Tick("Catch up with runs that are due", "views_layer.tasks.reconcile", every_seconds=30),
    Tick("Start the run of the full hour", "views_layer.tasks.reconcile"),
    Tick("Watch the alarms", "statsproject.tasks.watch_alarms", every_seconds=60),
    Tick("Send reports and alerts of hubs", "statsproject.tasks.send_mails", every_seconds=60),
)


def store_schedule() -> None:
    """Store the ticks that the database lacks. One that is there stays as it is, also where an admin changed it."""
    from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

    for tick in SCHEDULE:
        if PeriodicTask.objects.filter(name=tick.name).exists():
            continue
        when: dict[str, Any]
        if tick.every_seconds:
            when = {"interval": IntervalSchedule.objects.get_or_create(every=tick.every_seconds, period="seconds")[0]}
        else:
            hourly = {"minute": "0", "hour": "*", "day_of_week": "*", "day_of_month": "*", "month_of_year": "*"}
            when = {"crontab": CrontabSchedule.objects.get_or_create(**hourly, timezone="UTC")[0]}
        PeriodicTask.objects.get_or_create(name=tick.name, defaults={"task": tick.task, **when})


@setup_logging.connect
def _keep_logging(loglevel: int, **_: object) -> None:
    """Where this is connected Celery sets up no logging: that of the settings holds, and --loglevel for its own lines."""
    for name in ("celery", "django_celery_beat", "kombu", "amqp"):
        logging.getLogger(name).setLevel(loglevel)


@task_prerun.connect
def _begin_task(task_id: str, **_: object) -> None:
    watchdog.begin()
    logs.begin("task", task_id)


@task_postrun.connect
def _end_task(**_: object) -> None:
    watchdog.end()
    logs.end()


@beat_init.connect
def _begin_beat(**_: object) -> None:
    from django_celery_beat.models import PeriodicTask

    store_schedule()
    # Of what it sends it tells the database minutes later: from here on a tick can be late, and not before.
    PeriodicTask.objects.filter(name__in=[tick.name for tick in SCHEDULE]).update(date_changed=timezone.now())
    pulse.keep("beat")


@worker_ready.connect
def _begin_worker(sender: Any, **_: object) -> None:
    sender.task_consumer.purge()
    for queue in sender.task_consumer.queues:
        if f"worker-{queue.name}" in pulse.PARTS:
            pulse.keep(f"worker-{queue.name}")
            watchdog.watch(waiting_in(app, queue.name))
