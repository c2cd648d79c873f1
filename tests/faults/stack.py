"""The stack under test: one `manage.py serve` on a small disk of its own, and the hands that harm it."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import redis
from elasticsearch import Elasticsearch

from speed.server import address
from statsproject.environment import socket_of
from statsproject.supervisor import MARK
from tests.faults import clock, points
from tests.faults.profile import ELASTICSEARCH, Profile
from tests.waiting import free_port

ROOT = Path(__file__).resolve().parents[2]
SPOKEN = {
    "web": "granian",
    "worker-speed": "--queues speed",
    "worker-batch": "--queues batch",
    "beat": "statsproject beat",
    "intake": "consume_events",
    "redis": "redis-server",
}
FOREIGN = (
    *("DATABASE_URL", "EVENT_LOG_URL", "INBOX_URL", "VIEW_STORE_URL", "REDIS_URL", "CELERY_BROKER_URL", "AMQP_URL"),
    *("AMQP_QUEUE", "EVENT_LOG_PARTITION", "BATCH_ENGINE", "ARCHIVE_DIR"),
    *("HTTPS", "DEBUG", "ALLOWED_HOSTS", "HOST"),
)
"""Variables of whoever runs this that would make the stack another one."""
READY_S = 120.0
DISK = "1g"


def wait(seconds: float) -> None:
    """Let time pass: a fault that lasts, or a random moment. Nothing is known to be so afterwards."""
    time.sleep(seconds)


class NotSo(Exception):
    """What was waited for did not come to be."""


def until(is_so: Callable[[], Any], seconds: float, what: str, every_s: float = 0.05) -> float:
    """Wait until it is so, looking every so often; returns how long it took. Raises NotSo."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > seconds:
            raise NotSo(f"{what} was not so within {seconds:.0f} s")
        wait(every_s)
    return time.monotonic() - began


class Stack:
    """The processes, their clocks, points, disk and stores, on the parts of a profile that has been entered."""

    def __init__(self, profile: Profile, broken: str = "") -> None:
        self.profile = profile
        self.base = Path(tempfile.mkdtemp(prefix="affluence-faults-"))
        self.data_dir, self.directory = self.base / "data", self.base / "faults"
        self.data_dir.mkdir(mode=0o700)
        (self.directory / "armed").mkdir(parents=True)
        self.clocks = clock.Offsets(self.directory)
        self.has_disk = self._mount()
        self.port = free_port()
        named = {"DATA_DIR": self.data_dir, "PORT": self.port, "FAULTS_DIR": self.directory, "FAULTS_BROKEN": broken}
        given = {name: str(value) for name, value in named.items()}
        settings = {"DEMO": "0", "DJANGO_SETTINGS_MODULE": "tests.faults.settings"}
        own = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        self.environment = own | given | settings | profile.environment
        self.log = (self.base / "serve.log").open("ab")
        self.serve: subprocess.Popen | None = None

    # Start and end.

    def _mount(self) -> bool:
        """Give DATA_DIR a small disk of its own, which can be filled; False where this user may not."""
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", str(self.data_dir)]
        with suppress(OSError):
            return subprocess.run(mount, capture_output=True, check=False).returncode == 0
        return False

    def start(self) -> None:
        """Start the supervisor, and return when everything serves. Raises NotSo."""
        self.launch()
        until(self.is_healthy, READY_S, "/healthz 200")

    def launch(self) -> None:
        self.serve = subprocess.Popen(
            [sys.executable, ROOT / "manage.py", "serve", "--stop-with-parent"],
            cwd=ROOT,
            env=self.environment,
            stdout=self.log,
            stderr=self.log,
        )

    def stop(self) -> None:
        """As Ctrl-C does."""
        if self.serve is not None and self.serve.poll() is None:
            self.serve.terminate()
            self.serve.wait(60)

    def end(self) -> None:
        """Leave nothing behind but `serve.log`."""
        with suppress(subprocess.TimeoutExpired):
            self.stop()
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        if self.has_disk:
            subprocess.run(["umount", "-l", str(self.data_dir)], check=False)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    # Ask.

    def request(self, path: str, body: Any = None, key: str = "", seconds: float = 20) -> tuple[int, Any]:
        """Status and JSON; (0, None) where nobody answers in time."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error, suppress(ValueError, OSError):
                return error.code, json.load(error)
            return error.code, None
        except (OSError, ValueError):
            return 0, None

    def is_healthy(self) -> bool:
        return self.request("/healthz", seconds=5)[0] == 200

    def command(self, *arguments: str) -> subprocess.Popen:
        """A command of manage.py, beside the stack."""
        return subprocess.Popen(
            [sys.executable, ROOT / "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def manage(self, *arguments: str, seconds: float = 180) -> Any:
        """The JSON that a command prints. Raises NotSo where it fails."""
        process = self.command(*arguments)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise NotSo(f"{' '.join(arguments)} ended not within {seconds:.0f} s") from None
        if process.returncode:
            raise NotSo(f"{' '.join(arguments)} ended with {process.returncode}: {(out + err)[-1500:]}")
        return json.loads(out.splitlines()[-1])

    # Processes.

    def processes(self, part: str = "") -> list[psutil.Process]:
        """The processes of a part, or all below the supervisor."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == str(self.data_dir) and SPOKEN.get(part, "") in " ".join(
                    process.cmdline()
                ):
                    found.append(process)
        return found

    def signal(self, part: str, number: signal.Signals) -> int:
        """Send a signal to every process of a part; returns how many there were."""
        found = self.processes(part)
        for process in found:
            with suppress(psutil.Error):
                process.send_signal(number)
        return len(found)

    @contextmanager
    def kept_down(self, part: str) -> Iterator[None]:
        """Kill a part as often as it comes up."""
        over = threading.Event()

        def run() -> None:
            while not over.is_set():
                self.signal(part, signal.SIGKILL)
                over.wait(0.1)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextmanager
    def second(self, part: str) -> Iterator[None]:
        """A second process of a part beside the supervised one, as on another machine; killed in the end."""
        from statsproject.processes import serving_parts

        command = next(one.command for one in serving_parts() if one.name == part)
        process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=self.log, stderr=self.log)
        try:
            yield
        finally:
            process.kill()
            process.wait()

    # Clocks.

    def now(self) -> float:
        """The world's time, in seconds since 1970."""
        return time.time() + self.clocks[clock.WORLD]

    def pass_time(self, seconds: float) -> None:
        """Let time pass in a moment, for everybody."""
        self.clocks[clock.WORLD] += seconds

    def pass_hour(self) -> None:
        """Go on to five seconds after the next full hour."""
        self.pass_time(3600 - self.now() % 3600 + 5)

    def pass_midnight(self) -> None:
        self.pass_time(86_400 - self.now() % 86_400 + 5)

    def skew(self, part: str, seconds: float) -> None:
        """Set one part's clock wrong, by so much."""
        self.clocks[part] = seconds

    # Points.

    def arm(self, point: str, when: str, action: str, part: str = points.ANY, skip: int = 0, **more: Any) -> None:
        """Let `action` happen once, when a process comes to a point for the `skip` + 1st time."""
        armed = self.directory / "armed" / f"{point}:{when}:{part}"
        beside = armed.with_name(f".{armed.name}")
        beside.write_text(json.dumps({"action": action, "skip": skip} | more))
        beside.rename(armed)

    def disarm(self) -> list[str]:
        """Take away what is armed; returns the names of it."""
        found = []
        for path in (self.directory / "armed").iterdir():
            with suppress(FileNotFoundError):
                path.unlink()
                found.append(path.name)
        return found

    def struck(self) -> list[dict]:
        """What has struck so far."""
        path = self.directory / "struck.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    # Disk and stores.

    @property
    def ballast(self) -> Path:
        return self.data_dir / "ballast"

    def free_disk(self) -> None:
        self.ballast.unlink(missing_ok=True)

    def redis(self) -> redis.Redis:
        """A client of the Redis that holds the buffers."""
        embedded = f"unix://{socket_of(self.data_dir, 'redis')}"
        return address(self.environment.get("REDIS_URL", embedded)).client(5)

    def elasticsearch(self) -> Elasticsearch:
        """A client of the server that holds the view store."""
        return Elasticsearch(self.profile.servers[ELASTICSEARCH].url, request_timeout=30)

    @property
    def append_only_file(self) -> Path:
        return self.data_dir / "redis" / "appendonly.aof"

    def put_redis_back(self, dump: Path | None) -> None:
        """Kill Redis, and let the supervisor start it with an older append-only file, or with none."""
        assert self.serve is not None
        self.serve.send_signal(signal.SIGSTOP)
        try:
            found = self.processes("redis")
            for process in found:
                process.kill()
            until(lambda: all(not _is_alive(process) for process in found), 10, "Redis dead")
            self.append_only_file.unlink(missing_ok=True)
            if dump is not None:
                shutil.copy(dump, self.append_only_file)
        finally:
            self.serve.send_signal(signal.SIGCONT)

    def empty_view_store(self) -> None:
        """Delete every row and seal, as somebody else's DELETE would."""
        with sqlite3.connect(self.data_dir / "views.sqlite3", timeout=30) as connection:
            for table in ("views_layer_viewrow", "views_layer_seal"):
                connection.execute(f"DELETE FROM {table}")
        connection.close()

    @contextmanager
    def locked(self, file: str) -> Iterator[None]:
        """Hold the write lock of a SQLite file."""
        connection = sqlite3.connect(self.data_dir / file, timeout=30, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
        finally:
            connection.close()

    def delete_archive(self) -> None:
        shutil.rmtree(self.data_dir / "archive", ignore_errors=True)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
