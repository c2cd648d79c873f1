"""`make run`: from a fresh DATA_DIR to the first page, the next start, and the memory of everything with the demo."""

import os
import shutil
import subprocess
import sys
import time

import psutil
from django.conf import settings

from bench import house
from bench.figures import Figures, Options, at_most, say, seconds_of
from statsproject.processes import Part

SETTLING_S = 20
LOADED = "import django, os, sys; django.setup(); from django.core.handlers.wsgi import WSGIHandler; WSGIHandler()"
MIB = 1024 * 1024


def measure(options: Options) -> Figures:
    """Two starts with the demo; the first with the installation where that is asked for."""
    environment = os.environ | {"DEMO": str(int(not options.is_quick))}
    loading = seconds_of(lambda: subprocess.run([sys.executable, "-c", LOADED], cwd=house.ROOT, check=True))
    limit_of = "a process that only loads Django and this project"
    figures: Figures = {}
    if options.with_install:
        figures["install_and_first_page"] = at_most(180, _installed(environment), "s", loading, limit_of)
    _start_anew()
    with house.serving(environment):
        first = _until_first_page(180)
        say(f"first page after {first:.1f} s")
        house.until(house.is_serving, 60)
        time.sleep(options.scaled(SETTLING_S, 1))
        resident, python, by_part = _memory()
    with house.serving(environment):
        second = _until_first_page(60)
        say(f"next start: first page after {second:.1f} s; {by_part}")
    bare = _loaded_bytes() * python
    return figures | {
        "first_start": at_most(None if options.with_install else 180, first, "s", loading, limit_of),
        "next_start": at_most(10, second, "s", loading, limit_of),
        "memory_with_demo": at_most(
            1_024,
            resident / MIB,
            "MiB",
            bare / MIB,
            f"{python} Python processes that only load Django and this project",
        ),
    }


def _start_anew() -> None:
    """Empty DATA_DIR, but for the secrets that this process has read."""
    for path in settings.DATA_DIR.iterdir():
        if path.name != "secrets":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _installed(environment: dict[str, str]) -> float:
    """Seconds of `make run` with a virtual environment of its own, to the first page."""
    venv = f"VENV={settings.DATA_DIR / 'venv'}"
    _start_anew()
    with house.running(Part("make", ("make", "run", venv)), environment=environment):
        return _until_first_page(600)


def _until_first_page(seconds: float) -> float:
    return house.until(_page_is_there, seconds, pause=0.05)


def _page_is_there() -> bool:
    return house.answers("/login", settings.PORT)


def _memory() -> tuple[int, int, str]:
    """Resident bytes of all parts, how many of them are Python processes, and a line for each."""
    own = os.getpid()
    sizes = []
    for process in house.marked_processes():
        try:
            if process.pid != own and process.pid != os.getppid():
                sizes.append((process.memory_info().rss, " ".join(process.cmdline())[-60:]))
        except psutil.Error:
            continue
    python = sum("redis-server" not in command for _, command in sizes)
    return sum(size for size, _ in sizes), python, "; ".join(f"{size // MIB} MiB {command}" for size, command in sizes)


def _loaded_bytes() -> int:
    """Resident bytes of a process that has only loaded Django and this project."""
    script = f"{LOADED}; import psutil; print(psutil.Process().memory_info().rss)"
    done = subprocess.run([sys.executable, "-c", script], cwd=house.ROOT, check=True, capture_output=True, text=True)
    return int(done.stdout)
