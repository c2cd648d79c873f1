"""The state of the pipeline."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from events.log import LogAway, LogUnfit
from statsproject import alarms


class Command(BaseCommand):
    help = "Print the state of the pipeline, in words; exit 1 where it is unhealthy."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        facts = alarms.Facts(timezone.now())
        try:
            status = facts.status
        except (DatabaseError, LogAway, LogUnfit) as error:
            raise CommandError(
                f"The databases cannot be read ({error}); was `manage.py prepare` run, and does their server serve?"
            ) from error
        found = alarms.look(facts)
        healthy = alarms.is_healthy(found)
        if options["json"]:
            standing = {alarm.name: alarm.sentence for alarm in found.values() if alarm}
            self.stdout.write(json.dumps(status | {"alarms": standing, "healthy": healthy}))
        else:
            self._tell(facts, found, healthy)
        if not healthy:
            raise SystemExit(1)

    def _tell(self, facts: alarms.Facts, found: dict[str, alarms.Alarm | None], healthy: bool) -> None:
        status = facts.status
        self.stdout.write("The pipeline is healthy." if healthy else "The pipeline is unhealthy.")
        for check in alarms.CHECKS:
            alarm = found[check.name]
            said = f"{alarm.sentence} See docs/runbook.md#{alarm.name}" if alarm else check.fine(facts)
            self.stdout.write(f"  {alarm.severity if alarm else 'fine':9} {check.name:12} {said}")
        for name in ("log", "applied", "cut"):
            self.stdout.write(f"  {name:22} {_in_words(status[name])}")


def _in_words(position: dict[str, int]) -> str:
    return ", ".join(f"{partition} {sequence}" for partition, sequence in sorted(position.items())) or "empty"
