"""The whole line with its event log on MongoDB: collect, consume, batch, answer; web is killed while it writes."""

import threading
from collections.abc import Iterator

import pytest

from tests import mongo
from tests.end_to_end.test_line import Line, view
from tests.waiting import HEALED_S, READY_S, VISIBLE_S, until

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("serve")]

BATCHES, EACH = 12, 20


@pytest.fixture
def line(tmp_path) -> Iterator[Line]:
    with mongo.fresh_url() as url:
        named = {"EVENT_LOG_URL": url, "EVENT_LOG_PARTITION": "web-1"}
        with Line.running(tmp_path / "data", named) as line:
            until(line.is_healthy, READY_S)
            line.keys = line.manage("create_hub", "acme")["keys"]
            yield line


def send(line: Line) -> None:
    """Send batches until each is acknowledged, as the tracker does."""
    for first in range(100, 100 + BATCHES * EACH, EACH):
        events = {"events": [view(number) for number in range(first, first + EACH)]}
        until(lambda: line.request("/api/events", events, line.keys["ingest"])[0] == 202, HEALED_S)  # noqa: B023


def test_no_event_is_lost_or_counted_twice_while_web_is_killed(line: Line) -> None:
    assert (line.post(view(1), view(2), view(1))["accepted"], line.post(view(2))["duplicates"]) == (2, 1)
    until(lambda: line.totals() == {"events": 2, "visitors": 2, "views": 2}, VISIBLE_S)
    sending = threading.Thread(target=send, args=(line,))
    sending.start()
    line.kill("web")
    sending.join()
    count = 2 + BATCHES * EACH
    expected = {"events": count, "visitors": 3, "views": count}
    until(lambda: line.totals() == expected, HEALED_S)
    for arguments, kind in (([], "hourly"), (["--rebuild"], "rebuild")):
        assert line.manage("run_batch", *arguments)["kind"] == kind
        assert line.totals() == expected
    until(line.is_healthy, HEALED_S)
    pipeline = line.pipeline()
    assert (pipeline["exit"], pipeline["lag_events"], pipeline["mismatches"]) == (0, 0, 0)
    assert list(pipeline["log"]) == ["web-1"]
