"""`manage.py serve`, started for real: every part that is killed comes back, and nothing is left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from statsproject.supervisor import MARK
from tests.waiting import READY_S, free_port, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve")]

ROOT = Path(__file__).resolve().parents[2]
ALL_WELL = {"web": True, "worker-speed": True, "worker-batch": True, "beat": True, "redis": True}
SPOKEN = {
    "web": "granian",
    "worker-speed": "--queues speed",
    "worker-batch": "--queues batch",
    "beat": " beat ",
    "redis": "redis-server",
}


class House:
    """One `manage.py serve` on a DATA_DIR."""

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        self.data_dir, self.port = data_dir, port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "House":
        self.log = (self.data_dir.parent / f"{self.data_dir.name}.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "manage.py", "serve"],
            env={**os.environ, "DATA_DIR": str(self.data_dir), "PORT": str(self.port), "DEMO": "0"},
            stdout=self.log,
            stderr=self.log,
        )
        return self

    def said(self) -> str:
        return Path(self.log.name).read_text()

    def health(self) -> dict | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError:
            return None

    def is_healthy(self) -> bool:
        return self.health() == {"healthy": True, "parts": ALL_WELL}

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.data_dir):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def part(self, name: str) -> psutil.Process | None:
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                if SPOKEN[name] in " ".join(process.cmdline()):
                    found.append(process)
        return min(found, key=lambda process: process.pid, default=None)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
        assert self.processes() == []


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house") / "data").start()
    try:
        until(house.is_healthy, READY_S)
        yield house
    finally:
        house.stop()


@pytest.mark.parametrize("name", ALL_WELL)
def test_a_killed_part_is_told_and_comes_back(house: House, name: str) -> None:
    until(house.is_healthy, READY_S)
    killed = house.part(name)
    assert killed
    killed.kill()
    until(lambda: not house.is_healthy(), 5)
    until(house.is_healthy, READY_S)
    assert house.part(name) not in (None, killed)


@pytest.mark.parametrize("name", ["worker-speed", "worker-batch", "beat", "redis"])
def test_a_part_that_hangs_shows_within_five_seconds(house: House, name: str) -> None:
    until(house.is_healthy, READY_S)
    hanging = house.part(name)
    assert hanging
    hanging.suspend()
    try:
        until(lambda: (house.health() or {"parts": {name: True}})["parts"][name] is False, 5)
        began = time.monotonic()
        told = house.health()
        assert time.monotonic() - began < 2
        assert told
        assert told["healthy"] is False
    finally:
        hanging.resume()
    until(house.is_healthy, READY_S)


def test_a_second_one_on_the_same_data_is_refused(house: House) -> None:
    until(house.is_healthy, READY_S)
    second = subprocess.run(
        [sys.executable, ROOT / "manage.py", "serve"],
        env={**os.environ, "DATA_DIR": str(house.data_dir), "PORT": str(free_port()), "DEMO": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert (
        f"Affluence runs already on {house.data_dir} (process {house.process.pid}, port {house.port})" in second.stderr
    )
    assert house.is_healthy()


def test_a_new_start_copes_with_what_a_killed_one_left_behind(tmp_path: Path) -> None:
    long_path = tmp_path / ("long-" * 30)
    long_path.mkdir()
    house = House(long_path / "data").start()
    try:
        until(house.is_healthy, READY_S)
        orphans = house.processes()
        assert house.process
        for orphan in orphans:
            orphan.suspend()  # so that they stay, whatever the kernel told them
        house.process.kill()
        house.process.wait()
        with (house.data_dir / "redis" / "appendonly.aof").open("ab") as aof:
            aof.write(b"*3\r\n$3\r\nSET\r\n$1\r\nx")
        house.start()
        until(house.is_healthy, READY_S)
        assert not any(orphan.is_running() for orphan in orphans)
    finally:
        house.stop()


def test_an_append_only_file_that_redis_refuses_is_set_aside(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    (house.data_dir / "redis").mkdir(parents=True)
    (house.data_dir / "redis" / "appendonly.aof").write_bytes(b"no commands of Redis\r\n" * 100)
    house.start()
    try:
        until(house.is_healthy, READY_S)
        assert len(list((house.data_dir / "redis").glob("appendonly.refused-*"))) == 1
    finally:
        house.stop()


def test_a_port_in_use_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        house = House(tmp_path / "data", other.getsockname()[1]).start()
        assert house.process
        assert house.process.wait(30) == 1
    assert f"127.0.0.1:{house.port} cannot be used (Address already in use); try PORT={house.port + 1}" in house.said()
    house.stop()
