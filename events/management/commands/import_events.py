"""Import events from a file of JSON lines or CSV."""

import csv
import json
import sys
import zlib
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from events.imported import import_file
from events.log import LogBusy
from events.models import Hub

BAR = "{desc}: {percentage:3.0f}% |{bar}| {elapsed}, {remaining} to go"


class Command(BaseCommand):
    help = "Import events (JSON lines or CSV, .gz too) through the normaliser. Safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--hub", help="slug of the hub of lines that name none")
        parser.add_argument(
            "--format", choices=["auto", "json", "csv"], default="auto", help="auto: by the file's name"
        )

    def handle(self, *, file: Path, hub: str | None, **options) -> None:
        if not file.is_file():
            raise CommandError(f"There is no file {str(file)!r}.")
        if hub and not Hub.objects.filter(slug=hub).exists():
            raise CommandError(f"There is no hub {hub!r}; create it with create_hub {hub}.")
        try:
            with tqdm(total=100, file=sys.stderr, desc="import", bar_format=BAR) as bar:
                result = import_file(file, hub, options["format"], lambda part: bar.update(min(50 * part, 100 - bar.n)))
        except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
            raise CommandError(f"{str(file)!r} cannot be read: {error}. Correct it and repeat the import.") from error
        except LogBusy as error:
            raise CommandError(f"{error} Repeat the import; it goes on where it stopped.") from error
        counts = {"accepted": result.accepted, "duplicates": result.duplicates, "rejected": result.rejected}
        self.stdout.write(json.dumps(counts))
        for code, count in result.codes.most_common():
            self.stderr.write(f"{count} lines are rejected: {code}")
        if counts["rejected"] and not counts["accepted"] + counts["duplicates"]:
            raise CommandError("No line was accepted; the reasons are in the inbox of rejected events in the admin.")
