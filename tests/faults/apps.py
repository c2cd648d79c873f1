"""Installs clock, points and, where asked for, a broken build in a process of the stack."""

import os
import sys
from pathlib import Path

from django.apps import AppConfig
from django.conf import settings

from statsproject.event_log import MONGO_EVENT_LOG

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
        if settings.EVENT_LOG["BACKEND"] == MONGO_EVENT_LOG:
            _spare_ferretdb()


def _spare_ferretdb() -> None:
    """FerretDB 1.24 has a hundred connections to SQLite, and holds one for each update of a command until that ends."""
    from events.logs.mongo import numbering

    numbering.UPDATES_AT_ONCE = 50


def part_name() -> str:
    """What this process is: a part of the supervisor, or the name of a command."""
    if "statsproject.wsgi" in sys.modules:
        return "web"
    words = [word.partition(",")[0] for word in sys.argv[1:]]  # a worker's queues: its own comes first
    for part, word in (("worker-speed", "speed"), ("worker-batch", "batch"), ("beat", "beat")):
        if "celery" in sys.argv[0] and word in words:
            return part
    if words[:1] == ["consume_events"]:
        return "intake"
    return words[0] if words else "python"
