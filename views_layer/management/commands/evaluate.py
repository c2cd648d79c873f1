"""Print how good what is learnt from a hub is, beside simpler ways."""

import json
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from events.log import LogAway
from events.models import Hub
from views_layer.journeys import evaluation as evaluation_of_journeys
from views_layer.management.progress import shown
from views_layer.recommendations import evaluation as evaluation_of_recommendations

EVALUATED: dict[str, Callable[..., dict[str, Any]]] = {
    "recommendations": evaluation_of_recommendations,
    "journeys": evaluation_of_journeys,
}
"""What can be scored, from the raw events of a hub up to now."""


class Command(BaseCommand):
    help = "Score what is learnt from a hub on events that were held out, beside simpler ways; prints JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("learnt", choices=EVALUATED, help="what is scored")
        parser.add_argument("hub", help="slug of the hub")

    def handle(self, *args: Any, learnt: str, hub: str, **options: Any) -> None:
        found = Hub.objects.filter(slug=hub).first()
        if found is None:
            slugs = ", ".join(Hub.objects.values_list("slug", flat=True)[:20]) or "none yet"
            raise CommandError(f"There is no hub {hub!r}; the hubs are {slugs}.")
        with shown() as progress:
            try:
                scores = EVALUATED[learnt](found, timezone.now(), progress)
            except LogAway as away:
                raise CommandError(f"{away} Nothing is lost; run it again.") from away
        self.stdout.write(json.dumps({"hub": hub} | scores))
