"""Erase a visitor of a hub."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from redis import RedisError

from events.log import LogAway, LogBusy
from events.models import Hub
from events.removals import UnknownVisitor, erase
from views_layer import removals
from views_layer.management.progress import shown


class Command(BaseCommand):
    help = "Erase a visitor from log, archive, rows and buffers; prints what there was before and is after, as JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("hub", help="slug of the hub")
        parser.add_argument("visitor", help="the visitor, as clients name it in the field `visitor`")

    def handle(self, *args: Any, hub: str, visitor: str, **options: Any) -> None:
        found = Hub.objects.filter(slug=hub).first()
        if found is None:
            raise CommandError(f"There is no hub {hub!r}; the hubs are {', '.join(_slugs()) or 'none yet'}.")
        with shown() as progress:
            try:
                removal = erase(found, visitor, "erase_visitor")
                removals.carry_out([removal], progress)
            except UnknownVisitor as error:
                raise CommandError(str(error)) from error
            except (LogAway, LogBusy, RedisError, TimeoutError) as error:
                raise CommandError(f"{error} What is left is done by the worker of `make run`.") from error
        self.stdout.write(json.dumps(removals.receipt(removal)))


def _slugs() -> list[str]:
    return list(Hub.objects.values_list("slug", flat=True)[:20])
