"""`python -m tests.services`: starts the real servers, and runs the tests that need them. What cannot be had is skipped by name.

A server that runs already is used where TEST_VIEW_STORE_URL (Elasticsearch), TEST_DATABASE_URL (PostgreSQL; a user who
may create databases), TEST_REDIS_URL (emptied!) or TEST_SPARK_MASTER names it.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from tests.services import servers
from tests.services.elastic import Elasticsearch
from tests.services.ferretdb import FerretDB
from tests.services.postgres import PostgreSQL
from tests.services.rabbitmq import RabbitMQ
from tests.services.redis_server import BehindSentinels, InClusterMode, Redis, WithTls
from tests.services.server import Missing, Server
from tests.services.spark import Spark

SERVERS: tuple[tuple[str, str, type[Server]], ...] = (
    ("redis", servers.REDIS, Redis),
    ("redis-cluster", servers.REDIS_CLUSTER, InClusterMode),
    ("redis-tls", servers.REDIS_TLS, WithTls),
    ("redis-behind-sentinels", servers.SENTINELS, BehindSentinels),
    ("postgresql", servers.POSTGRESQL, PostgreSQL),
    ("elasticsearch", servers.ELASTICSEARCH, Elasticsearch),
    ("rabbitmq", servers.RABBITMQ, RabbitMQ),
    ("ferretdb", servers.EVENT_LOG, FerretDB),
    ("spark", servers.SPARK, Spark),
)
WITHOUT_MIGRATIONS = "--no-migrations"
"""Each process makes three databases; the line migrates them as `make run` does."""
NO_TESTS = 5
"""pytest's exit code where nothing was selected."""


@dataclass(frozen=True)
class Suite:
    """Tests that run with some of the servers: in the whole suite's settings (`profile`), or in those of a backend."""

    name: str
    needs: tuple[str, ...]
    profile: tuple[str, ...]
    tests: tuple[str, ...]
    processes: int = 2
    is_long: bool = False
    """Takes many minutes: it runs where `--all` or `--only` asks for it."""


OF_BUFFERS = ("tests/contract/test_buffers.py", "tests/unit/test_speed_recovery.py", "tests/unit/test_speed_nudge.py")
SUITES = (
    Suite("Redis", ("redis",), ("redis",), OF_BUFFERS, 0),
    Suite("Redis in cluster mode", ("redis-cluster",), ("redis-cluster",), OF_BUFFERS, 0, True),
    Suite("Redis with TLS", ("redis-tls",), ("redis-tls",), OF_BUFFERS, 0, True),
    Suite("Redis behind Sentinels", ("redis-behind-sentinels",), ("redis-behind-sentinels",), OF_BUFFERS, 0, True),
    Suite(
        "PostgreSQL",
        ("postgresql",),
        ("postgresql",),
        (
            "tests/contract/test_event_log.py",
            "tests/contract/test_view_store.py",
            "tests/unit/test_batch_seam.py",
            "tests/unit/test_batch_ledger.py",
            "tests/unit/test_batch_run.py",
            *("-m", "not services", WITHOUT_MIGRATIONS),
        ),
    ),
    Suite(
        "Elasticsearch",
        ("elasticsearch",),
        (),
        ("tests/contract/test_view_store.py", "tests/contract/test_media_search.py", "-m", "services"),
    ),
    Suite(
        "Answers from both",
        ("postgresql", "elasticsearch"),
        ("postgresql", "elasticsearch"),
        ("tests/api/test_stats_api.py", "tests/golden", WITHOUT_MIGRATIONS),
    ),
    Suite(
        "The log on FerretDB",
        ("ferretdb",),
        (),
        (
            "tests/contract/test_mongo_event_log.py",
            "tests/unit/test_mongo_server.py",
            "tests/unit/test_copy_log.py",
            "tests/simulation/test_mongo_writers.py",
            "tests/laws/test_mongo_visits.py",
            "tests/end_to_end/test_mongo_line.py",
        ),
        0,
        True,
    ),
    Suite(
        "The house with its log on FerretDB",
        ("ferretdb",),
        ("ferretdb",),
        (
            "tests/unit/test_removals.py",
            "tests/unit/test_speed_recovery.py",
            *("-m", "not services", WITHOUT_MIGRATIONS),
        ),
        0,
        True,
    ),
    Suite(
        "Batch on Spark",
        ("spark",),
        ("spark",),
        (
            "tests/contract/test_engine.py",
            "tests/laws/test_folds.py",
            "tests/golden",
            "tests/end_to_end/test_spark.py",
            *("-k", "not duck"),
        ),
        0,
        True,
    ),
    Suite("Events from RabbitMQ", ("rabbitmq",), (), ("tests/end_to_end/test_queue.py",), 0),
    # They start servers of their own, which they stop and start again.
    Suite(
        "A Redis that fails",
        ("redis",),
        (),
        ("tests/unit/test_speed_server.py", "tests/end_to_end/test_redis_line.py"),
        0,
        True,
    ),
    Suite("Elasticsearch that fails", ("elasticsearch",), (), ("tests/services/test_elasticsearch.py",), 0, True),
    Suite("The line", ("redis", "postgresql", "elasticsearch"), (), ("tests/end_to_end/test_services.py",), 0),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", help=", ".join(suite.name for suite in SUITES))
    parser.add_argument("--all", action="store_true", help="the long ones too")
    options, pytest_options = parser.parse_known_args()
    chosen = [
        suite for suite in SUITES if (suite.name in options.only if options.only else options.all or not suite.is_long)
    ]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        missing = got(stack, {name for suite in chosen for name in suite.needs})
        outcomes = {suite.name: outcome(suite, missing, pytest_options) for suite in chosen}
    outcomes |= {suite.name: "LEFT OUT, it is long: --all" for suite in SUITES if suite not in chosen and suite.is_long}
    for name, said in outcomes.items():
        print(f"{name}: {said}")
    return int(any(said.startswith("FAILED") for said in outcomes.values()))


def got(stack: ExitStack, names: set[str]) -> dict[str, str]:
    """Start the servers that are not named by the environment; returns why those that are missing are, by name."""
    missing = {}
    for name, variable, kind in SERVERS:
        if name not in names:
            continue
        if os.environ.get(variable):
            print(f"{name}: {variable} names one that runs", flush=True)
            continue
        began = time.monotonic()
        try:
            server = stack.enter_context(kind())
        except Missing as error:
            missing[name] = str(error)
            print(f"{name}: MISSING, {error}", flush=True)
            continue
        os.environ[variable] = server.url
        print(f"{name}: {server.version}, started in {time.monotonic() - began:.1f} s", flush=True)
    return missing


def outcome(suite: Suite, missing: dict[str, str], pytest_options: list[str]) -> str:
    """Run a suite; what became of it, in a few words."""
    if lacking := [name for name in suite.needs if name in missing]:
        return f"SKIPPED, there is no {' and no '.join(lacking)}: {missing[lacking[0]].splitlines()[0]}"
    print(f"--- {suite.name}", flush=True)
    parallel = ("-n", str(suite.processes), "--dist", "loadgroup") if suite.processes else ()
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *parallel, *suite.tests, *pytest_options],
        env=os.environ | {servers.PROFILE: ",".join(suite.profile)},
        check=False,
    )
    seconds = f"{time.monotonic() - began:.0f} s"
    return f"passed in {seconds}" if done.returncode in (0, NO_TESTS) else f"FAILED in {seconds}"


if __name__ == "__main__":
    sys.exit(main())
