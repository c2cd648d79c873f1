"""What every real server for tests has in common."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from tests.waiting import free_port

INSTALLS_WITHIN_S = 180


class Missing(Exception):
    """A server that cannot be had on this machine, and why."""


class Server(ABC):
    """A server on 127.0.0.1 with a free port and a directory of its own; a context that starts and stops it."""

    name: str
    user: str | None = None
    """Who runs it where this process is root; None: root itself."""
    starts_within_s = 30.0
    stopped_by = signal.SIGTERM
    """The signal that makes it stop in order, and soon."""

    def __init__(self) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"affluence-{self.name}-"))
        self.process: subprocess.Popen | None = None
        self.version = ""

    @property
    @abstractmethod
    def url(self) -> str:
        """The address that a setting takes."""

    @abstractmethod
    def prepare(self) -> str:
        """Find or install the server and fill its directory; returns what was got. Raises Missing."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What runs the server in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves."""

    def environment(self) -> dict[str, str]:
        """Variables for the server's process, beside those of this one."""
        return {}

    def __enter__(self) -> Self:
        try:
            self.version = self.prepare()
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        """Start it, and return when it answers. Raises Missing where it does not in time."""
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.directory,
                env=os.environ | self.environment(),
                stdout=output,
                stderr=output,
                **self.as_user(),
            )
        deadline = time.monotonic() + self.starts_within_s
        while not self._is_answering():
            if self.process.poll() is not None or time.monotonic() > deadline:
                code = self.process.poll()
                self.stop()
                what = (
                    f"it did not answer within {self.starts_within_s:.0f} s"
                    if code is None
                    else f"it ended with {code}"
                )
                raise Missing(f"{what}; it said: {(self.directory / 'output').read_text(errors='replace')[-1_500:]}")
            time.sleep(0.1)

    def _is_answering(self) -> bool:
        with suppress(OSError, ValueError):  # nothing, or while it starts no JSON
            return self.answers()
        return False

    def stop(self, number: signal.Signals | None = None) -> None:
        """Stop it; its directory stays, so that it can be started again."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number or self.stopped_by)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to the processes that it has started."""
        if self.process is not None and self.process.poll() is None:
            started = psutil.Process(self.process.pid)
            for process in [*started.children(recursive=True), started]:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def kill(self) -> None:
        """Let it die at once; its directory stays."""
        self.send(signal.SIGKILL)
        self.stop(signal.SIGKILL)

    def end(self) -> None:
        """Stop it for good, and leave nothing behind."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def as_user(self) -> dict:
        """Arguments of Popen that run a command as `user` where this process is root."""
        if self.user is None or os.getuid() != 0:
            return {}
        return {"user": self.user, "group": "nogroup", "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a path and all below it to `user`."""
        if self.user is not None and os.getuid() == 0:
            for found in (path, *path.rglob("*")):
                os.chown(found, pwd.getpwnam(self.user).pw_uid, -1, follow_symlinks=False)


def found_or_installed(find: Callable[[], Path | None], package: str) -> Path:
    """The program that `find` finds, after installing Debian's package where it is not there. Raises Missing."""
    if (program := find()) is not None:
        return program
    if shutil.which("apt-get") is None or os.getuid() != 0:
        raise Missing(f"it is not installed, and only root can: apt-get install {package}")
    run(["apt-get", "update", "-qq"])
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package])
    if (program := find()) is None:
        raise Missing(f"apt-get installed {package}, but its program is not where it is expected")
    return program


def run(
    command: Sequence[str],
    within_s: float = INSTALLS_WITHIN_S,
    variables: Mapping[str, str] | None = None,
    **how: object,
) -> str:
    """The output of a command, with more variables in its environment. Raises Missing where it fails."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"} | dict(variables or {})
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=within_s, check=False, **how
        )  # type: ignore[call-overload]
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{' '.join(command)} did not work: {error}") from error
    if done.returncode:
        raise Missing(f"{' '.join(command)} ended with {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
    return done.stdout
