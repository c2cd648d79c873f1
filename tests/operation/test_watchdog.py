"""A worker that no longer hears its broker ends; one that is idle, or busy for long, does not."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import redis
from celery import Celery

from statsproject.watchdog import waiting_in

WORKER = ("-m", "celery", "-q", "-A", "tests.operation.deaf_worker", "worker", "--pool", "solo", "--loglevel", "ERROR")
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")


@pytest.fixture
def app(redis_url: str) -> Celery:
    app = Celery("deaf", broker=redis_url.replace("unix://", "redis+socket://"), set_as_current=False)
    app.conf.task_default_queue = "deaf"
    return app


@pytest.fixture
def worker(app: Celery) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, *WORKER, *QUIET],
        env=os.environ | {"BROKER": app.conf.broker_url},
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def test_a_worker_that_has_gone_deaf_ends(app: Celery, worker: subprocess.Popen) -> None:
    deadline = time.monotonic() + 90
    while worker.poll() is None and time.monotonic() < deadline:
        app.send_task("deafen")  # as beat does, whether anybody hears or not
        time.sleep(0.5)
    worker.kill()
    assert worker.stderr is not None
    said = worker.stderr.read()
    assert (worker.returncode, "this worker has lost its broker" in said) == (1, True)


def test_a_broker_that_does_not_answer_has_no_messages(app: Celery, redis_url: str) -> None:
    app.send_task("deafen")
    with redis.Redis.from_url(redis_url) as client:
        waits, client_is_there = waiting_in(app, "deaf")(), client.ping()
    gone = Celery("gone", broker="redis://127.0.0.1:1/0", set_as_current=False)
    assert (waits, client_is_there, waiting_in(gone, "deaf")(), waiting_in(app, "empty")()) == (1, True, 0, 0)
