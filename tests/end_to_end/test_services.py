"""The whole line on real servers: Elasticsearch holds the rows, PostgreSQL log and tables, Redis of its own the buffers."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.end_to_end.test_line import ROOT, Line, view
from tests.services.elastic import Elasticsearch
from tests.services.postgres import PostgreSQL
from tests.services.proxy import Proxy
from tests.services.redis_server import Redis
from tests.services.server import Missing, Server
from tests.waiting import HEALED_S, READY_S, VISIBLE_S, until

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow]

STATS = "/api/hubs/acme/stats?metrics=events,visitors&by=media&period=7d&order=media"


def started(kind: type[Server]) -> Iterator[Server]:
    """A server of this test's own, which it may stop and start again."""
    try:
        with kind() as server:
            yield server
    except Missing as missing:
        pytest.skip(f"No {kind.name}: {missing}")


@pytest.fixture(scope="module")
def elasticsearch() -> Iterator[Server]:
    yield from started(Elasticsearch)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    yield from started(PostgreSQL)


@pytest.fixture(scope="module")
def redis_of_its_own() -> Iterator[Server]:
    yield from started(Redis)


@pytest.fixture(scope="module")
def way_to_the_log(postgresql: Server) -> Iterator[Proxy]:
    with Proxy(postgresql.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def line(tmp_path_factory, elasticsearch, postgresql, way_to_the_log, redis_of_its_own) -> Iterator[Line]:
    environment = {
        "VIEW_STORE_URL": elasticsearch.url,
        "DATABASE_URL": database(postgresql, "affluence"),
        "EVENT_LOG_URL": database(postgresql, "affluence_log").replace(str(postgresql.port), str(way_to_the_log.port)),
        "REDIS_URL": redis_of_its_own.url,
    }
    with Line.running(tmp_path_factory.mktemp("services") / "data", environment) as line:
        until(line.is_healthy, READY_S)
        line.keys = line.manage("create_hub", "acme")["keys"]
        yield line


def database(server: Server, name: str) -> str:
    """The URL of a new database."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return urlsplit(server.url)._replace(path=f"/{name}").geturl()


def told(line: Line) -> tuple[list, str]:
    """Events and visitors of each media, and where they come from."""
    found = line.request(STATS, key=line.keys["read"])[1]
    return [tuple(row.values()) for row in found["results"]], found["meta"]["source"]


def parts(line: Line) -> dict[str, bool]:
    return (line.request("/healthz")[1] or {}).get("parts", {})


def test_the_line_on_servers_that_go_away(line: Line, elasticsearch: Server, postgresql: Server) -> None:
    """In one test, since each step stands on the numbers of the one before."""
    assert line.post(*(view(number) for number in range(6)))["accepted"] == 6
    until(lambda: told(line) == ([("cat-1", 6, 3)], "views+buffers"), VISIBLE_S)
    for arguments in ([], ["--daily"], ["--rebuild"]):
        line.manage("run_batch", *arguments)
        assert told(line) == ([("cat-1", 6, 3)], "views+buffers")
    assert parts(line) | {"database": True, "event_log": True, "view_store": True} == parts(line)

    elasticsearch.stop()
    line.post(view(6, media="cat-2"))
    until(lambda: told(line) == ([("cat-1", 6, 3), ("cat-2", 1, 1)], "raw"), VISIBLE_S)
    assert parts(line)["view_store"] is False
    assert "Elasticsearch at" in line.pipeline()["alarms"]["servers"]
    refused = run_batch(line)
    assert (refused.returncode, "does not answer" in refused.stderr, "Traceback" in refused.stderr) == (1, True, False)
    elasticsearch.start()
    until(line.is_healthy, HEALED_S)
    until(lambda: told(line) == ([("cat-1", 6, 3), ("cat-2", 1, 1)], "views+buffers"), VISIBLE_S)
    line.manage("run_batch")
    assert told(line) == ([("cat-1", 6, 3), ("cat-2", 1, 1)], "views+buffers")

    postgresql.stop()
    until(lambda: parts(line).get("event_log") is False, VISIBLE_S)
    status, _ = line.request("/api/events", {"events": [view(7)]}, line.keys["ingest"])
    assert status == 503
    postgresql.start()
    until(line.is_healthy, HEALED_S)
    until(lambda: line.request("/api/events", {"events": [view(7)]}, line.keys["ingest"])[0] == 202, HEALED_S)
    until(lambda: told(line) == ([("cat-1", 7, 3), ("cat-2", 1, 1)], "views+buffers"), HEALED_S)
    line.manage("run_batch")
    assert told(line) == ([("cat-1", 7, 3), ("cat-2", 1, 1)], "views+buffers")
    pipeline = line.pipeline()
    assert (pipeline["healthy"], pipeline["lag_events"], pipeline["mismatches"]) == (True, 0, 0), pipeline


def test_a_commit_whose_answer_gets_lost_is_unknown_and_counts_once(line: Line, way_to_the_log: Proxy) -> None:
    until(line.is_healthy, HEALED_S)
    late = view(20, media="lost")
    way_to_the_log.lose_answer_to(b"COMMIT")
    status, answer = line.request("/api/events", {"events": [late]}, line.keys["ingest"])
    assert (status, answer["error"]["code"]) == (503, "outcome_unknown")
    assert line.post(late) == {"accepted": 0, "duplicates": 1, "rejected": []}
    until(lambda: ("lost", 1, 1) in told(line)[0], VISIBLE_S)


def test_the_threads_of_web_share_the_connections_that_a_postgresql_has(line: Line, postgresql: Server) -> None:
    """A thread of its own connections each would take more than the hundred that it allows."""
    until(line.is_healthy, HEALED_S)
    with ThreadPoolExecutor(48) as pool:
        statuses = Counter(pool.map(lambda _: line.request(STATS, key=line.keys["read"])[0], range(300)))
    with psycopg.connect(postgresql.url) as connection:
        (held,) = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'affluence%'").fetchone()
    assert statuses == {200: 300}
    assert held <= 56
    assert line.is_healthy()


def run_batch(line: Line) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", "run_batch"],
        env=line.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_server_that_is_not_there_is_told_at_start(tmp_path: Path) -> None:
    line = Line(tmp_path / "data", {"VIEW_STORE_URL": "http://127.0.0.1:9"})
    assert line.process.wait(READY_S) != 0
    said = (tmp_path / "serve.log").read_text()
    assert "VIEW_STORE_URL: Elasticsearch at http://127.0.0.1:9 does not answer" in said
    assert "Traceback" not in said
