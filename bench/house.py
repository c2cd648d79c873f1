"""The system under measurement: databases, hubs and the real parts, on this process's DATA_DIR."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path

import psutil
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.utils import timezone

from batch import archive
from batch.models import Run
from batch.view_store import view_store
from events.cuts import mark_published, record_cut
from events.log import event_log
from events.models import ApiKey, Hub
from speed import buffers
from statsproject import pulse
from statsproject.processes import Part, redis_part
from statsproject.supervisor import MARK

ROOT = Path(__file__).resolve().parents[1]


def migrate() -> None:
    """Make the tables of all databases, and what the log needs beside them."""
    for alias in connections:
        call_command("migrate", database=alias, interactive=False, verbosity=0)
    event_log().prepare()


def new_hub(slug: str = "acme") -> dict[str, str]:
    """Make a hub; returns its keys by scope."""
    hub = Hub.objects.create(slug=slug)
    return {scope: ApiKey.issue(hub, scope) for scope in (ApiKey.INGEST, ApiKey.READ)}


@contextmanager
def running(part: Part, *command: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen]:
    """A part of the system, with another command where one is given; ended at the end."""
    if part.before:
        part.before(0)
    process = subprocess.Popen(command or part.command, cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def a_redis() -> Iterator[None]:
    """A real Redis: the one that is named, or one as `make run` starts it."""
    part = redis_part()
    with running(part) if part else nullcontext():
        until(lambda: pulse.felt()["redis"], 10)
        yield


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    """All of `make run`, without the installation."""
    command = (sys.executable, str(ROOT / "manage.py"), "serve")
    with running(Part("serve", command), environment=environment) as process:
        yield process


def until(is_so: Callable[[], bool], seconds: float, pause: float = 0.02) -> float:
    """Wait until it is so; returns how long it took. Raises TimeoutError."""
    began = time.perf_counter()
    while not is_so():
        if time.perf_counter() - began > seconds:
            raise TimeoutError(f"{is_so} was not so within {seconds} s.")
        time.sleep(pause)
    return time.perf_counter() - began


def is_serving() -> bool:
    """Whether every part of `make run` has a pulse."""
    return all(pulse.felt().values())


def answers(path: str, port: int) -> bool:
    """Whether a page is served with status 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status == 200
    except (OSError, urllib.error.HTTPError):
        return False


def marked_processes() -> list[psutil.Process]:
    """The processes of this DATA_DIR below a supervisor or a benchmark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(settings.DATA_DIR):
                found.append(process)
        except psutil.Error:
            continue
    return found


def publish_log(at: datetime) -> None:
    """Make the log up to now epoch 1, published, archived and without a view row: the state that a rebuild mends.

    It stands in for months of hourly runs, which would take hours; consumer and hourly run have figures of their own.
    """
    log = event_log()
    head = log.head()
    archive.add_range(log, 1, {}, head)
    publish(head, at)


def publish(head: dict[str, int], at: datetime) -> None:
    """Record and publish epoch 1 with its cut at `head`, with empty buffers after it."""
    record_cut(1, head, timezone.now())
    run = Run.objects.create(epoch=1, kind=Run.DAILY, claimed_at=at, alive_at=at, published_at=at)
    mark_published(run.epoch, timezone.now())
    view_store().seal(1, view_store().birth())
    buffers.install(buffers.Pipeline(1, 2, head, None, None, event_log().birth()), [], instead_of=buffers.pipeline())
