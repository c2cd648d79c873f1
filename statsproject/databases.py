"""The databases, brought to the newest migrations."""

from collections.abc import Callable

from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor


def migrate(say: Callable[[str], object]) -> None:
    """Apply to each database the migrations that it lacks."""
    for alias in settings.DATABASES:
        executor = MigrationExecutor(connections[alias])
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            say(f"Migrate {alias}.")
            call_command("migrate", database=alias, interactive=False, verbosity=0)
