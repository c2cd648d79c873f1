"""Keeps parts running: starts again what dies, names who speaks, and leaves nobody behind.

Why not honcho, supervisor or circus: docs/decisions/processes.md.
"""

import ctypes
import fcntl
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from statsproject.processes import Part

MARK = "AFFLUENCE_SUPERVISED"
"""Environment variable of every process below a supervisor; its value is the DATA_DIR they share."""

PATIENCE_SECONDS = 10.0
QUICK_DEATH_SECONDS = 10.0
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.2, 10.0
WIDEST_LINE = 4_000  # below PIPE_BUF, so that a line never waits for a reader once select says it fits


class Refusal(Exception):
    """Why nothing was started, in a sentence for the user."""


def _die_with_parent() -> Callable[[], None] | None:
    """For Linux, what makes a child get SIGTERM when its parent is killed; elsewhere the next start clears up."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, set_parent_death_signal = ctypes.CDLL(None).prctl, 1
    return lambda: prctl(set_parent_death_signal, signal.SIGTERM)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def named(text: str, name: str) -> str:
    """A line of JSON that names the part: its own object where it said one, else what it said as the message."""
    said = {"message": text}
    if text.startswith("{"):
        with suppress(ValueError):
            said = json.loads(text)
    return json.dumps({"part": name, **said}, ensure_ascii=False) + "\n"


class Running:
    """A part, its process, and when it may start again."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.process: subprocess.Popen[bytes] | None = None
        self.quick_deaths = 0
        self.started_at = 0.0
        self.starts_at = 0.0
        self.unfinished_line = b""

    def delay(self) -> float:
        return min(FIRST_DELAY_SECONDS * 2 ** max(0, self.quick_deaths - 1), LONGEST_DELAY_SECONDS)


class Supervisor:
    """Runs in one thread: call `tick` again and again until `is_stopping`, and `stop` at the end.

    SIGINT, SIGTERM and SIGHUP make it stop; a second one, without patience.
    """

    def __init__(
        self, mark: str, cwd: Path, on_death: Callable[[str], None] = lambda name: None, is_json: bool = False
    ) -> None:
        self.on_death = on_death
        self.is_json = is_json
        self.is_stopping = False
        self.patience = PATIENCE_SECONDS
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._take_signal)
        self.environment = {**os.environ, MARK: mark, "PYTHONUNBUFFERED": "1"}
        self.cwd = cwd
        self.running: list[Running] = []
        self.selector = selectors.DefaultSelector()
        self.before_exec = _die_with_parent()

    def _take_signal(self, *_: object) -> None:
        if self.is_stopping:
            self.patience = 0
        self.is_stopping = True

    def add(self, part: Part) -> Running:
        """Start `part`, and keep it running."""
        running = Running(part)
        self.running.append(running)
        self._start(running)
        return running

    def run(self, part: Part) -> int:
        """Run `part` once, to its end, while the others are looked after; returns its exit code."""
        once = Running(part)
        self._start(once)
        assert once.process is not None
        while (code := once.process.poll()) is None and not self.is_stopping:
            self.tick()
        if code is None:
            self._end([once])
            return 1
        self._read(once)
        return code

    def tick(self, seconds: float = 0.2) -> None:
        """Pass on what was said within `seconds`, and start again who died."""
        for key, _ in self.selector.select(seconds):
            self._read(key.data)
        for running in self.running:
            self._look_after(running)

    def stop(self) -> None:
        """End all parts, the first one (which the others need) last. Returns when no process of theirs is left."""
        self._end(self.running[1:])
        self._end(self.running[:1])
        self.running = []

    def say(self, text: str, name: str = "serve") -> None:
        """Print a line. Where nobody reads, it is lost rather than waited for: a full pipe must not stop the parts."""
        line = (named(text, name) if self.is_json else f"{name:<12} | {text}\n").encode()[:WIDEST_LINE]
        try:
            if select.select([], [1], [], 0)[1]:
                os.write(1, line if line.endswith(b"\n") else line + b"\n")
        except OSError:
            pass

    def _start(self, running: Running) -> None:
        part = running.part
        if part.before:
            part.before(running.quick_deaths)
        running.process = subprocess.Popen(
            part.command,
            cwd=self.cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=self.before_exec,
        )
        running.started_at = time.monotonic()
        stream = self._stream(running)
        os.set_blocking(stream.fileno(), False)
        self.selector.register(stream, selectors.EVENT_READ, running)

    @staticmethod
    def _stream(running: Running) -> IO[bytes]:
        assert running.process is not None
        assert running.process.stdout is not None
        return running.process.stdout

    def _read(self, running: Running) -> None:
        stream = self._stream(running)
        try:
            said = os.read(stream.fileno(), 65_536)
        except (BlockingIOError, ValueError):
            return
        if not said:
            self._close(running)
        *lines, running.unfinished_line = (running.unfinished_line + said).split(b"\n")
        for line in lines:
            self._pass_on(line.decode(errors="replace"), running.part)

    def _pass_on(self, line: str, part: Part) -> None:
        if part.unsaid is None or not part.unsaid.search(line):
            self.say(line, part.name)

    def _close(self, running: Running) -> None:
        stream = self._stream(running)
        if not stream.closed:
            self.selector.unregister(stream)
            stream.close()

    def _look_after(self, running: Running) -> None:
        now = time.monotonic()
        if running.process is None:
            if now >= running.starts_at:
                self._start(running)
            return
        code = running.process.poll()
        if code is None:
            return
        _signal_group(running.process.pid, signal.SIGKILL)  # its children must not hold the port or the queue
        self._close(running)
        running.process = None
        running.quick_deaths = running.quick_deaths + 1 if now - running.started_at < QUICK_DEATH_SECONDS else 0
        running.starts_at = now + running.delay()
        self.on_death(running.part.name)
        self.say(f"{running.part.name} ended with code {code}; it starts again in {running.delay():.1f} s.")

    def _end(self, ending: Iterable[Running]) -> None:
        processes = [running.process for running in ending if running.process is not None]
        for process in processes:
            _signal_group(process.pid, signal.SIGTERM)
            _signal_group(process.pid, signal.SIGCONT)
        began = time.monotonic()
        while any(process.poll() is None for process in processes) and time.monotonic() - began < self.patience:
            for key, _ in self.selector.select(0.05):
                self._read(key.data)
        for process in processes:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()


def end_orphans(mark: str) -> int:
    """End the processes that a killed supervisor of the same DATA_DIR left behind; returns how many there were.

    Call it with the lock held: then nobody else can have started them.
    """
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    orphans = []
    for process in psutil.process_iter():
        try:
            if process.pid not in own and process.environ().get(MARK) == mark:
                orphans.append(process)
        except psutil.Error:
            continue
    for process in orphans:
        with suppress(psutil.Error):
            process.terminate()
            process.resume()
    for process in psutil.wait_procs(orphans, timeout=PATIENCE_SECONDS)[1]:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(orphans, timeout=PATIENCE_SECONDS)
    return len(orphans)


class Lock:
    """One supervisor for each DATA_DIR: an flock, which the kernel drops when its holder dies."""

    WAIT_SECONDS, WAIT_FOR_STOPPING_SECONDS = 1.5, 30.0

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("a+")

    def take(self, port: int) -> None:
        """Hold the lock until this process ends. One that is stopping is waited for; else raises Refusal."""
        began = time.monotonic()
        while True:
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = self._holder()
                patience = self.WAIT_FOR_STOPPING_SECONDS if holder.get("stopping") else self.WAIT_SECONDS
                if time.monotonic() - began > patience:
                    raise Refusal(
                        f"Affluence runs already on {self.file.name.rpartition('/run/')[0]} (process "
                        f"{holder.get('pid', '?')}, port {holder.get('port', '?')}). Stop it, or use another DATA_DIR."
                    ) from None
                time.sleep(0.1)
        self.write(port)

    def write(self, port: int, stopping: bool = False) -> None:
        self.file.seek(0)
        self.file.truncate()
        json.dump({"pid": os.getpid(), "port": port, "stopping": stopping}, self.file)
        self.file.flush()

    def _holder(self) -> dict:
        self.file.seek(0)
        try:
            return json.load(self.file)
        except ValueError:
            return {}


def refuse_taken_port(host: str, port: int) -> None:
    """Raises Refusal where HOST:PORT cannot be listened on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refusal(f"{host}:{port} cannot be used ({reason}); try PORT={port + 1} make run.") from None
