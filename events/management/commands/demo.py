"""`manage.py demo`: the demo hub, its history and its live traffic."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from events.demo.history import append, demo_hub, history
from events.demo.people import demo_people, ingest_key
from events.demo.traffic import send_for_ever


class Command(BaseCommand):
    help = "Make the demo hub with 90 days of history (once), then send live traffic until stopped."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        only = parser.add_mutually_exclusive_group()
        only.add_argument("--history-only", action="store_true", help="Make hub, people and history, and return.")
        only.add_argument("--live", action="store_true", help="Send live traffic only.")

    def handle(self, *args: Any, **options: Any) -> None:
        hub = demo_hub()
        if not options["live"]:
            demo_people(hub)
            ingest_key(hub)
            self._write_history()
        if not options["history_only"]:
            send_for_ever(hub)

    def _write_history(self) -> None:
        """Append the history once. One that was cut short is repeated: what is there already is a duplicate."""
        done = settings.DATA_DIR / "run" / "demo-history"
        if done.exists():
            return
        accepted, duplicates = append(history(demo_hub()), demo_hub())
        self.stdout.write(f"Demo history: {accepted} events accepted, {duplicates} known before.")
        call_command("run_batch")
        done.parent.mkdir(exist_ok=True)
        done.touch()
