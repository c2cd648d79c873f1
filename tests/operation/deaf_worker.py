"""A worker whose first task takes its ears: as kombu does where the broker goes away at the wrong moment."""

import os
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun, worker_ready
from kombu.asynchronous import get_event_loop

from statsproject.watchdog import Watchdog, waiting_in

app = Celery("deaf", broker=os.environ["BROKER"], set_as_current=False)
app.conf.update(task_ignore_result=True, task_default_queue="deaf", worker_prefetch_multiplier=1)
watchdog = Watchdog()


@app.task(name="deafen")
def deafen() -> None:
    hub = get_event_loop()
    hub.readers.clear()
    hub.writers.clear()
    hub.on_tick.clear()


@task_prerun.connect
def _begin(**_: Any) -> None:
    watchdog.begin()


@task_postrun.connect
def _end(**_: Any) -> None:
    watchdog.end()


@worker_ready.connect
def _watch(**_: Any) -> None:
    watchdog.watch(waiting_in(app, "deaf"), patience_s=3)
