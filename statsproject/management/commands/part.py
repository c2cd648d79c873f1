"""`manage.py part NAME`: one part alone, where something else keeps it running: a container, a unit of systemd."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from statsproject import pulse
from statsproject.processes import serving_parts


class Command(BaseCommand):
    help = "Become one part of `serve` (web, worker-speed, worker-batch, beat), or tell whether it is alive."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=pulse.PARTS)
        parser.add_argument("--alive", action="store_true", help="end with 0 where such a part is alive, else with 1")

    def handle(self, *args: Any, name: str, alive: bool, **options: Any) -> None:
        if alive:
            if not pulse.felt()[name]:
                raise CommandError(f"No pulse of {name} is felt.")
            return
        (part,) = (part for part in serving_parts() if part.name == name)
        os.execvp(part.command[0], part.command)  # noqa: S606 (no shell, a literal command)
