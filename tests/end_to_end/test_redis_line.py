"""The whole line on a Redis that fails: Sentinels give it another master, it comes back empty, or it is never let in."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.test_line import Line, view
from tests.services.redis_server import BehindSentinels, Redis, WithTls, make_authority
from tests.services.server import Missing
from tests.waiting import HEALED_S, READY_S, VISIBLE_S, until

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("serve")]

BATCHES, EACH = 30, 20


@contextmanager
def running(kind: type[Redis], directory: Path) -> Iterator[tuple[Line, Redis]]:
    try:
        with kind() as server, Line.running(directory / "data", {"REDIS_URL": server.url}) as line:
            until(line.is_healthy, READY_S)
            line.keys = line.manage("create_hub", "acme")["keys"]
            yield line, server
    except Missing as missing:
        pytest.skip(f"No {kind.name}: {missing}")


def send(line: Line, count: int, done: threading.Event) -> None:
    """Send batches until each is acknowledged, as the tracker does."""
    for first in range(0, count, EACH):
        line.post(*(view(number) for number in range(first, first + EACH)))
        done.wait(0.1)


def meta(line: Line) -> dict:
    return line.request("/api/hubs/acme/stats?metrics=events&period=7d", key=line.keys["read"])[1]["meta"]


def expected(count: int) -> dict:
    return {"events": count, "visitors": 3, "views": count}


def test_no_event_is_lost_or_counted_twice_while_sentinels_choose_another_master(tmp_path) -> None:
    with running(BehindSentinels, tmp_path) as (line, found):
        assert isinstance(found, BehindSentinels)
        count = BATCHES * EACH
        sending = threading.Thread(target=send, args=(line, count, threading.Event()))
        sending.start()
        until(lambda: line.totals()["events"] > 2 * EACH, VISIBLE_S)
        found.master.end()
        sending.join()
        until(lambda: line.totals() == expected(count), HEALED_S)
        until(line.is_healthy, HEALED_S)
        assert meta(line)["exact"] is True
        line.manage("run_batch")
        assert line.totals() == expected(count)
        pipeline = line.pipeline()
        assert (pipeline["exit"], pipeline["lag_events"], pipeline["mismatches"]) == (0, 0, 0), pipeline


def test_nothing_is_lost_with_a_redis_that_is_away_and_comes_back_empty(tmp_path) -> None:
    with running(Redis, tmp_path) as (line, found):
        line.post(*(view(number) for number in range(EACH)))
        until(lambda: line.totals() == expected(EACH), VISIBLE_S)
        found.stop()
        line.post(*(view(number) for number in range(EACH, 2 * EACH)))
        assert meta(line)["exact"] is False
        assert "REDIS_URL: Redis at 127.0.0.1" in line.pipeline()["alarms"]["servers"]
        found.empty()
        found.start()
        until(lambda: line.totals() == expected(2 * EACH), HEALED_S)
        until(line.is_healthy, HEALED_S)
        assert (meta(line)["exact"], meta(line)["source"]) == (True, "views+buffers")


def test_a_redis_that_another_authority_signed_is_told_at_start(tmp_path: Path) -> None:
    make_authority(tmp_path)
    try:
        with WithTls() as server:
            url = f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={tmp_path}/ca.crt"
            line = Line(tmp_path / "data", {"REDIS_URL": url})
            assert line.process.wait(READY_S + 60) != 0
    except Missing as missing:
        pytest.skip(f"No {WithTls.name}: {missing}")
    said = (tmp_path / "serve.log").read_text()
    assert f"REDIS_URL: Redis at 127.0.0.1:{server.port} does not serve" in said
    assert "certificate verify failed" in said
    assert "Traceback" not in said
