"""`manage.py restore`: a backup, into an empty DATA_DIR."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from batch import archive
from events.cuts import published_cut
from events.log import event_log
from statsproject import backup, databases, pulse, supervisor


class Command(BaseCommand):
    help = "Restore a backup into DATA_DIR while nothing runs there. View rows are rebuilt once it serves."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", type=Path, metavar="DIRECTORY|FILE")
        parser.add_argument("--force", action="store_true", help="move what DATA_DIR holds to replaced-… in it")

    def handle(self, *args: Any, **options: Any) -> None:
        lock = supervisor.Lock(settings.DATA_DIR / "run" / "lock")
        try:
            lock.take(settings.PORT)
            _refuse_running()
            manifest = backup.restore(options["source"].absolute(), options["force"])
        except (backup.Refusal, supervisor.Refusal, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write("The databases are in place.")
        databases.migrate(self.stdout.write)
        # Until it is there, a question that needs raw events could not be answered.
        published = published_cut()
        files = archive.restore(event_log(), published.epoch, _alone) if published else 0
        self.stdout.write(f"Wrote {files} files of the archive again.")
        told = {name: manifest[name] for name in ("made_at", "log", "cut", "events")}
        self.stdout.write(json.dumps({"restored": str(settings.DATA_DIR), **told}))


def _refuse_running() -> None:
    """Raises Refusal where parts serve that no `manage.py serve` keeps."""
    if running := [part for part, is_felt in pulse.felt().items() if is_felt and part != "redis"]:
        raise backup.Refusal(f"{', '.join(running)} give a pulse in this Redis; stop them first.")


def _alone() -> None:
    """No run can take a claim away: nothing runs on this DATA_DIR."""
