"""`python -m bench`: prints one JSON object of figures, each beside its limit measured in the same run.

A scenario runs in a process of its own, on a DATA_DIR of its own, and leaves no process behind. Figures of two runs can
be compared by their ratio; values alone only where the machine was equally idle.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from statsproject.supervisor import MARK, end_orphans

PROFILES = {
    "embedded": (
        "commits",
        "collecting",
        "visible",
        "hour",
        "history",
        "credits",
        "learn",
        "distinct",
        "peak",
        "first_page",
        "start",
    ),
    "services": ("amqp", "elastic", "mongo", "spark", "peak"),
}
"""Each scenario is a module of this package with a function `measure(options) -> Figures`, cheapest first."""
SCENARIOS = sorted({name for scenarios in PROFILES.values() for name in scenarios})
IN_BOTH = frozenset(PROFILES["embedded"]) & frozenset(PROFILES["services"])
"""Scenarios of the whole house, which run on all servers at once in the profile of those; the others start what they need."""

SERVERS = ("DATABASE_URL", "INBOX_URL", "EVENT_LOG_URL", "VIEW_STORE_URL", "AMQP_URL")

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", choices=SCENARIOS, help=", ".join(SCENARIOS))
    parser.add_argument("--profile", choices=PROFILES, default="embedded", help="the parts that are measured")
    parser.add_argument("--timings", action="store_true", help="print where the time goes, to stderr")
    parser.add_argument("--quick", action="store_true", help="a smoke test: small, and its figures mean nothing")
    parser.add_argument("--with-install", action="store_true", help="start: measure the installation too")
    options = parser.parse_args()
    flags = [flag for flag in ("timings", "quick", "with_install") if getattr(options, flag)]
    figures: dict[str, dict] = {}
    failed = []
    for name in options.only or PROFILES[options.profile]:
        print(f"{name} (load average {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
        with servers(options.profile if name in IN_BOTH else "embedded") as named:
            found = run(name, flags, named)
        figures |= found or {}
        failed += [] if found else [name]
    json.dump(figures, sys.stdout, indent=2)
    print()
    if failed:
        sys.exit(f"No figures of {', '.join(failed)}; the reason stands above.")


@contextmanager
def servers(profile: str) -> Iterator[dict[str, str]]:
    """The variables that name the servers of a profile, which are started. What cannot be had is said, and embedded."""
    if profile == "embedded":
        yield {}
        return
    from tests.faults.profile import WITH_LOG_IN_POSTGRESQL, Profile

    with Profile(profile, WITH_LOG_IN_POSTGRESQL) as started:
        for name, why in started.missing.items():
            print(f"{name}: cannot be had, so that part is embedded: {why}", file=sys.stderr, flush=True)
        yield started.environment


def run(name: str, flags: list[str], servers: dict[str, str]) -> dict[str, dict] | None:
    """The figures of one scenario, run in its own process on the servers that are named; None where it failed."""
    # On the disk of the project: a benchmark in a memory file system would measure no fsync.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HERE, ignore_cleanup_errors=True) as data_dir:
        environment = os.environ | {
            "DATA_DIR": data_dir,
            "DJANGO_SETTINGS_MODULE": "statsproject.settings",
            "DEMO": "0",
            "HOST": "127.0.0.1",
            "PORT": str(free_port()),
            "LOG_LEVEL": "ERROR",
            "ASK_RATE": "0",
            "COLLECT_RATE": "0",
            MARK: data_dir,
        }
        for foreign in ("REDIS_URL", "CELERY_BROKER_URL", "HTTPS", "TRUSTED_PROXIES", *SERVERS):
            environment.pop(foreign, None)
        environment |= servers
        try:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-m", "bench.scenario", name, *flags],
                env=environment,
                stdout=subprocess.PIPE,
                check=False,
            )
        finally:
            end_orphans(data_dir)
    return json.loads(done.stdout) if done.returncode == 0 else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
