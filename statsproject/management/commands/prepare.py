"""`manage.py prepare`: what must be there before anything serves."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from events.log import event_log
from statsproject import databases, servers
from statsproject.celery import store_schedule
from statsproject.checks import check_backends
from statsproject.static_files import collect_static_files


class Command(BaseCommand):
    help = (
        "Migrate every database, store the schedule, collect static files; with DEMO=1 also the demo hub. Repeatable."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        if wrong := check_backends():
            raise CommandError(" ".join(error.msg for error in wrong))
        try:
            servers.wait()
        except servers.Away as away:
            raise CommandError(str(away)) from None
        databases.migrate(self.stdout.write)
        event_log().prepare()
        store_schedule()
        if collect_static_files():
            self.stdout.write("Collected static files.")
        if settings.DEMO:
            call_command("demo", history_only=True)
