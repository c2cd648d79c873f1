"""Make what the event log needs in its server."""

import json

from django.core.management.base import BaseCommand, CommandError
from pymongo.errors import PyMongoError

from events.log import LogUnfit, event_log


class Command(BaseCommand):
    help = "Make the indexes that the event log needs in its server. Safe to repeat; prints their names."
    requires_system_checks = ()

    def handle(self, **options) -> None:
        try:
            weakness = event_log().weakness() if (made := event_log().prepare()) else None
            self.stdout.write(json.dumps({"indexes": made}))
            if weakness:
                self.stderr.write(weakness)
        except (LogUnfit, PyMongoError) as error:
            raise CommandError(f"The event log could not be prepared: {error}") from error
