"""Retribution of a month of 1 million events, by all seven models: from the raw events to the credits.

Three visits in five are brought by one of 60 intermediaries; a visitor has two and a half visits.
"""

import time
from collections.abc import Iterator
from functools import partial

from django.http import QueryDict
from django.utils import timezone
from msgspec.structs import replace

from aggregations.event import Event
from batch import archive
from bench import house, mix
from bench.figures import Figures, Options, at_most, say, seconds_of
from bench.history import DAY_MS, DAYS
from bench.hour import scan_seconds
from events.models import Hub
from insights.retribution import COLUMNS, MILLION, MODELS, VISITS, credits
from views_layer.insights import visited

GOALS = (VISITS, "read")
"""Few goals, and most of the events."""
FIELDS = ("hub", "is_bot", *COLUMNS)
"""What has to be read."""


def measure(options: Options) -> Figures:
    """Each goal's seconds, of reading the log once and dealing seven times; credits that do not add up raise."""
    house.migrate()
    house.new_hub()
    now = int(time.time() * 1000)
    with house.embedded_redis():
        size = options.scaled(1_000_000, 10_000)
        count = mix.append(_brought(mix.events("acme", size, now - DAYS * DAY_MS, now)), 1_000)
        house.publish_log(timezone.now())
        say(f"{count} events in the log")
        scanning = scan_seconds(archive.paths(archive.visible(1)), FIELDS)
        return {
            f"credits_of_{goal}": at_most(
                10, seconds_of(partial(_credit, goal)), "s", scanning, "DuckDB's scan of the same columns"
            )
            for goal in GOALS
        }


def _brought(events: Iterator[Event]) -> Iterator[Event]:
    """The events, with the intermediary of each visit."""
    for event in events:
        number = event.visit * 7_919 % 100
        yield replace(event, intermediary=f"kiosk-{number:02}" if number < 60 else None)


def _credit(goal: str) -> None:
    found = visited(Hub.objects.get(slug="acme"), QueryDict("period=all"), timezone.now())
    paths = found.visits.paths(goal, found.start, found.end)
    say(f"{goal}: {paths.count} goals, {len(paths.sequences)} sequences of intermediaries")
    for model in MODELS:
        if sum(credits(paths, model).values()) != (paths.count - paths.direct) * MILLION:
            raise AssertionError(f"The credits by {model!r} do not add up to the goals.")
