"""Print how good what is learnt from a hub is, beside simpler ways."""

import json
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from events.models import Hub
from views_layer.journeys import evaluated as evaluated_journeys

EVALUATED: dict[str, Callable[..., dict[str, Any]]] = {
    "journeys": evaluated_journeys,
}
"""What can be scored, from the raw events of a hub up to now."""


class Command(BaseCommand):
    help = "Print the scores of what is learnt from a hub, beside those of simpler ways, as JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=EVALUATED)
        parser.add_argument("hub", help="slug of the hub")

    def handle(self, *args: Any, **options: Any) -> None:
        hub = Hub.objects.filter(slug=options["hub"]).first()
        if hub is None:
            raise CommandError(f"There is no hub {options['hub']!r}; make one with create_hub {options['hub']}.")
        self.stdout.write(json.dumps(EVALUATED[options["what"]](hub, timezone.now()), indent=2))
