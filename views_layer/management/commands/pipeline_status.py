"""The state of the pipeline."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from views_layer import seam


class Command(BaseCommand):
    help = "Print the state of the pipeline; exit 1 where it is unhealthy."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        status = seam.status(timezone.now())
        if options["json"]:
            self.stdout.write(json.dumps(status))
        else:
            for name, value in status.items():
                self.stdout.write(f"{name:16} {json.dumps(value) if isinstance(value, dict) else value}")
        if not status["healthy"]:
            raise SystemExit(1)
