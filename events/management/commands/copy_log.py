"""Copy the event log from SQL tables to MongoDB."""

import json
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from pymongo.errors import PyMongoError
from tqdm import tqdm

from events.log import LogCorrupt, LogUnfit
from events.logs.mongo.copy import CopyRefused, copy


class Command(BaseCommand):
    help = (
        "Copy the event log of this installation's tables to a MongoDB, and verify it. Stop all collectors first. Repeat it"
        " where it was cut off; then set EVENT_LOG_URL and start again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("target", help="mongodb://HOST:27017/DATABASE?replicaSet=NAME")

    def handle(self, *, target: str, **options) -> None:
        if not target.startswith(("mongodb://", "mongodb+srv://")):
            raise CommandError("The target is no MongoDB; it is like mongodb://HOST:27017/affluence?replicaSet=NAME.")
        try:
            with tqdm(file=sys.stderr, unit="") as bar:

                def progress(name: str, done: int, total: int) -> None:
                    bar.set_description(name)
                    bar.total, bar.n = total, done
                    bar.refresh()

                copied = copy(target, progress)
        except (CopyRefused, LogUnfit, LogCorrupt, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        except PyMongoError as error:
            raise CommandError(f"The copy stopped ({error}); repeat it, and it goes on there.") from error
        self.stdout.write(json.dumps({name: {"count": one.count, "digest": one.name} for name, one in copied.items()}))
