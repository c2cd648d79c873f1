"""`manage.py backup`: what cannot be computed again, into one place."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from statsproject import backup


class Command(BaseCommand):
    help = (
        "Back up the log, the default database and the secrets, while everything runs, to a new directory or a file"
        " that ends with .tar, .tar.gz or .tar.zst. Whoever has it can read everything: keep it as you keep DATA_DIR."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("target", type=Path, metavar="DIRECTORY|FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        with tqdm(unit="page", disable=None) as bar:

            def progress(step: str, done: int, total: int) -> None:
                bar.set_description(step, refresh=False)
                bar.total, bar.n = total, done
                bar.refresh()

            try:
                manifest = backup.back_up(options["target"].absolute(), timezone.now(), progress)
            except (backup.Refusal, OSError) as error:
                raise CommandError(str(error)) from error
        told = {name: manifest[name] for name in ("made_at", "log", "cut", "events")}
        self.stdout.write(json.dumps({"backup": str(options["target"]), **told}))
