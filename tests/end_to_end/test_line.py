"""The whole line, with the real processes: from the event that is posted to the number that is answered."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from statsproject.supervisor import MARK
from tests.waiting import HEALED_S, READY_S, VISIBLE_S, free_port, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("serve")]

ROOT = Path(__file__).resolve().parents[2]
SPOKEN = {"web": "granian", "worker-speed": "--queues speed", "redis": "redis-server"}


class Line:
    """One `manage.py serve`, and its clients."""

    def __init__(self, data_dir: Path, environment: dict[str, str] | None = None) -> None:
        self.data_dir, self.port = data_dir, free_port()
        named = {"DATA_DIR": str(data_dir), "PORT": str(self.port), "DEMO": "0"}
        self.environment = {**os.environ, **named, **(environment or {})}
        self.log = (data_dir.parent / "serve.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "manage.py", "serve"], env=self.environment, stdout=self.log, stderr=self.log
        )
        self.keys: dict[str, str] = {}

    @classmethod
    @contextmanager
    def running(cls, data_dir: Path, environment: dict[str, str] | None = None) -> Iterator["Line"]:
        """A line that leaves no process behind."""
        line = cls(data_dir, environment)
        try:
            yield line
        finally:
            line.stop(signal.SIGKILL)
            for process in line.processes():
                process.kill()

    def request(self, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        """Status and JSON; (0, None) where nobody answers."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, None

    def is_healthy(self) -> bool:
        return self.request("/healthz")[0] == 200

    def manage(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        done = subprocess.run(
            [sys.executable, ROOT / "manage.py", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr[-2000:])
        return json.loads(done.stdout.splitlines()[-1])

    def post(self, *events: dict) -> dict:
        status, found = self.request("/api/events", {"events": list(events)}, self.keys["ingest"])
        assert status == 202
        return found

    def totals(self) -> dict | None:
        status, found = self.request(
            "/api/hubs/acme/stats?metrics=events,visitors,views&period=7d", key=self.keys["read"]
        )
        return found["totals"] if status == 200 else None

    def by_media(self) -> list[dict]:
        path = "/api/hubs/acme/stats?metrics=events,visitors&by=media&period=7d&order=media"
        return self.request(path, key=self.keys["read"])[1]["results"]

    def pipeline(self) -> dict:
        """The state of the pipeline, healthy or not."""
        done = subprocess.run(
            [sys.executable, ROOT / "manage.py", "pipeline_status", "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return json.loads(done.stdout) | {"exit": done.returncode}

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.data_dir):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def kill(self, part: str) -> None:
        found = [process for process in self.processes() if SPOKEN[part] in " ".join(process.cmdline())]
        assert found
        for process in found:
            process.kill()

    def stop(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)
        self.log.close()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with Line.running(tmp_path_factory.mktemp("line") / "data") as line:
        until(line.is_healthy, READY_S)
        line.keys = line.manage("create_hub", "acme")["keys"]
        yield line


def view(number: int, **fields: Any) -> dict:
    now = datetime.now(UTC).isoformat()
    named = {"hub": "acme", "action": "view", "id": f"e{number}", "media": "cat-1", "visitor": f"v{number % 3}"}
    return named | {"occurred_at": now} | fields


def test_from_the_event_to_the_number(line: Line, record_property) -> None:
    """In one test, since each step stands on the numbers of the one before."""
    status, found = line.request("/api/events", view(1, user_agent="Mozilla/5.0 Firefox/140.0"), line.keys["ingest"])
    assert (status, found) == (202, {"accepted": 1, "duplicates": 0, "rejected": []})
    latency = until(lambda: line.totals() == {"events": 1, "visitors": 1, "views": 1}, VISIBLE_S)
    record_property("seconds from 202 to the answer", round(latency, 3))
    print(f"visible after {latency:.2f} s")

    batch = line.post(
        *(view(number) for number in range(2, 7)), view(2), view(8, page=0, action="read"), {"hub": "acme"}
    )
    assert (batch["accepted"], batch["duplicates"]) == (5, 1)
    assert [(one["index"], one["code"]) for one in batch["rejected"]] == [(6, "invalid_page"), (7, "missing_action")]
    assert line.post(view(3, media="other"))["duplicates"] == 1
    expected = {"events": 6, "visitors": 3, "views": 6}
    until(lambda: line.totals() == expected, VISIBLE_S)
    by_media = line.by_media()
    assert by_media == [{"media": "cat-1", "events": 6, "visitors": 3}]

    for arguments, kind in (([], "hourly"), (["--daily"], "daily"), (["--rebuild"], "rebuild")):
        assert line.manage("run_batch", *arguments)["kind"] == kind
        assert (line.totals(), line.by_media()) == (expected, by_media)

    line.kill("worker-speed")
    line.post(view(10, media="cat-2"))
    expected = {"events": 7, "visitors": 3, "views": 7}
    until(lambda: line.totals() == expected, HEALED_S)

    line.kill("redis")
    line.post(view(11, media="cat-2"))
    until(lambda: line.totals() == expected | {"events": 8, "views": 8}, HEALED_S)
    until(line.is_healthy, HEALED_S)

    assert line.manage("run_batch")["events"] == 2
    assert line.totals() == expected | {"events": 8, "views": 8}
    pipeline = line.pipeline()
    assert (pipeline["exit"], pipeline["healthy"], pipeline["lag_events"]) == (0, True, 0)
    assert (pipeline["mismatches"], pipeline["rejected"], pipeline["applied"]) == (0, 2, pipeline["log"])
    assert pipeline["audits"] == pipeline["published_epoch"]

    line.stop(signal.SIGTERM)
    assert line.processes() == []
