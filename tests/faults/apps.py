"""Installs clock, points and, where asked for, a broken build in a process of the stack."""

import os
import sys
from pathlib import Path

from django.apps import AppConfig

UNTOUCHED = {"serve", "prepare"}
"""The supervisor forks, which threads do not survive; the preparation serves nobody."""


class FaultsConfig(AppConfig):
    name = "tests.faults"
    label = "faults"

    def ready(self) -> None:
        from tests.faults import broken, clock, points

        part, directory = part_name(), Path(os.environ["FAULTS_DIR"])
        if part in UNTOUCHED:
            return
        clock.follow(directory, part)
        if build := os.environ.get("FAULTS_BROKEN"):
            broken.BUILDS[build]()
        points.install(directory, part)


def part_name() -> str:
    """What this process is: a part of the supervisor, or the name of a command."""
    if "statsproject.wsgi" in sys.modules:
        return "web"
    words = [word.partition(",")[0] for word in sys.argv[1:]]  # a worker's queues: its own comes first
    for part, word in (("worker-speed", "speed"), ("worker-batch", "batch"), ("beat", "beat")):
        if "celery" in sys.argv[0] and word in words:
            return part
    return words[0] if words else "python"
