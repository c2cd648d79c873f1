"""The suite's own DATA_DIR, and a real Redis in it.

Settings are named here and not in pyproject.toml: pytest-django would read them before DATA_DIR is set. Each process of
pytest-xdist has a directory of its own, so nothing is shared between them. Of servers that run already, which
`python -m tests.services` names, each has databases and indexes of its own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.services import servers

# The same examples each time, however slow or busy the machine is.
settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("same")

if "statsproject.settings" in sys.modules:
    raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: the suite sets its own DATA_DIR before it reads settings.")
DATA_DIR = Path(tempfile.mkdtemp(prefix="affluence-test-"))
for name in (
    "REDIS_URL", "DATABASE_URL", "EVENT_LOG_URL", "EVENT_LOG_PARTITION", "INBOX_URL", "VIEW_STORE_URL", "CELERY_BROKER_URL",
    "AMQP_URL", "HTTPS", "DEBUG", "ALLOWED_HOSTS",
    "HOST", "PORT", "DEMO", "TRUSTED_PROXIES", "COLLECT_RATE", "COLLECT_KEY_RATE", "ASK_RATE", "ASK_FAILURE_RATE",
    "BATCH_ENGINE", "SPARK_MASTER", "ARCHIVE_DIR",
):  # fmt: skip
    os.environ.pop(name, None)
for name in (
    "SECRET_KEY",
    "VISITOR_KEY",
    "METRICS_TOKEN",
    "ALERT_EMAILS",
    "ALERT_WEBHOOK",
    "EMAIL_URL",
    "LOG_FORMAT",
    "PUBLIC_URL",
):
    os.environ.pop(name, None)
os.environ["DATA_DIR"] = str(DATA_DIR)
servers.name_in_settings(DATA_DIR)
os.environ["DJANGO_SETTINGS_MODULE"] = "statsproject.settings"


def pytest_configure(config: pytest.Config) -> None:
    from django.conf import settings

    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "testserver"]
    # Pages are tested without collecting static files first.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Workers of xdist inherit the environment; each must set a DATA_DIR of its own before it reads settings."""
    if session.config.getoption("numprocesses", default=None):
        del os.environ["DJANGO_SETTINGS_MODULE"]


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(DATA_DIR, ignore_errors=True)


@pytest.fixture(autouse=True)
def rows_of_this_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test leaves in Elasticsearch goes with it, as Django sees to for databases."""
    yield
    is_kept = os.environ.get("VIEW_STORE_URL", "").startswith("http")
    if is_kept and request.node.get_closest_marker("django_db"):
        from batch.view_store import view_store
        from tests.rows import lose_rows

        lose_rows()
        view_store.cache_clear()


@pytest.fixture(autouse=True)
def log_of_this_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test leaves in a log on MongoDB goes with it, as Django sees to for databases."""
    is_kept = os.environ.get("EVENT_LOG_URL", "").startswith("mongodb") and request.node.get_closest_marker("django_db")
    if is_kept:
        from events.log import event_log

        event_log().prepare()
    yield
    if is_kept:
        from tests import log

        log.empty_collections()


@pytest.fixture(scope="session")
def elasticsearch() -> dict:
    """The options of a view store in an Elasticsearch that runs, with a prefix of this suite's own."""
    if servers.ELASTICSEARCH not in os.environ:
        pytest.skip(f"No Elasticsearch: {servers.ELASTICSEARCH} is not set; make test-services starts one.")
    return {"hosts": [os.environ[servers.ELASTICSEARCH]], "prefix": f"{servers.own_name(DATA_DIR)}_contract"}


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a real Redis: that of the profile, or one started as `make run` starts it, where settings expect it."""
    import redis
    from django.conf import settings

    from statsproject.processes import redis_part

    part = redis_part()
    if part is None:
        yield settings.REDIS_URL
        return
    assert part.before is not None
    part.before(0)
    process = subprocess.Popen(part.command)
    client = redis.Redis.from_url(settings.REDIS_URL)
    deadline = time.monotonic() + 10
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    yield settings.REDIS_URL
    client.close()
    process.terminate()
    process.wait()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis."""
    from speed.server import address

    with address(redis_server).client(5) as client:
        client.flushall()
    return redis_server
