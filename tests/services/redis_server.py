"""Redis, Debian's: another version than the wheel's, on a TCP port."""

from collections.abc import Sequence
from pathlib import Path
from shutil import which

import redis

from tests.services.server import Server, found_or_installed, run


class Redis(Server):
    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> str:
        self.program = found_or_installed(_found, "redis-server")
        return run([str(self.program), "--version"]).strip()

    def command(self) -> Sequence[str]:
        given = {"port": self.port, "bind": "127.0.0.1", "dir": self.directory, "appendonly": "yes", "save": ""}
        return [str(self.program), *(word for name, value in given.items() for word in (f"--{name}", str(value)))]

    def answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False


def _found() -> Path | None:
    return Path(found) if (found := which("redis-server")) else None
