"""`manage.py prepare`: what must be there before anything serves."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from statsproject.celery import store_schedule
from statsproject.static_files import collect_static_files


class Command(BaseCommand):
    help = (
        "Migrate every database, store the schedule, collect static files; with DEMO=1 also the demo hub. Repeatable."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        for alias in settings.DATABASES:
            executor = MigrationExecutor(connections[alias])
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                self.stdout.write(f"Migrate {alias}.")
                call_command("migrate", database=alias, interactive=False, verbosity=0)
        store_schedule()
        if collect_static_files():
            self.stdout.write("Collected static files.")
        if settings.DEMO:
            call_command("demo", history_only=True)
