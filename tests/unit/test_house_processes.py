"""Sockets, pulses, the schedule, and what /healthz says of them."""

import json
from pathlib import Path

import pytest
import redis
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory
from django_celery_beat.models import PeriodicTask

from statsproject import pulse
from statsproject.celery import store_schedule
from statsproject.environment import private_directory, socket_of
from statsproject.health import healthz


def test_the_socket_lies_in_data_dir(tmp_path: Path) -> None:
    assert socket_of(Path("/srv/data"), "redis") == Path("/srv/data/redis/redis.sock")


def test_the_socket_of_a_long_data_dir_is_short_and_always_the_same() -> None:
    long, other = Path("/srv") / ("x" * 150), Path("/srv") / ("y" * 150)
    found = socket_of(long, "redis")
    assert (len(str(found)) <= 100, found == socket_of(long, "redis"), found == socket_of(other, "redis")) == (
        True,
        True,
        False,
    )


def test_a_private_directory_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ImproperlyConfigured, match="is not a directory of this user"):
        private_directory(tmp_path / "link")


def test_healthz_tells_each_part(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        pulse.beat_once("beat", client)
        pulse.beat_once("worker-speed", client)
        pulse.beat_once("worker-batch", client)
        pulse.stop("worker-batch")
    answer = healthz(RequestFactory().get("/healthz"))
    assert (answer.status_code, json.loads(answer.content)) == (
        503,
        {
            "healthy": False,
            "parts": {"web": True, "worker-speed": True, "worker-batch": False, "beat": True, "redis": True},
        },
    )


def test_healthz_tells_that_redis_is_gone(settings, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    answer = healthz(RequestFactory().get("/healthz"))
    assert (answer.status_code, json.loads(answer.content)["parts"]["redis"]) == (503, False)


@pytest.mark.django_db
def test_the_schedule_is_stored_once_and_keeps_what_an_admin_changed() -> None:
    store_schedule()
    PeriodicTask.objects.filter(name="Catch up with runs that are due").update(enabled=False, expire_seconds=7)
    store_schedule()
    rows = PeriodicTask.objects.values_list("task", "interval__every", "crontab__minute", "enabled", "expire_seconds")
    assert sorted(rows, key=str) == [
        ("speed.tasks.apply_log", 1, None, True, None),
        ("statsproject.tasks.send_mails", 60, None, True, None),
        ("statsproject.tasks.watch_alarms", 60, None, True, None),
        ("views_layer.tasks.reconcile", 30, None, False, 7),
        ("views_layer.tasks.reconcile", None, "0", True, None),
    ]
