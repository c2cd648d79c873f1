"""Retribution of a month of 1 million events, by all seven models: from the raw events to the credits.

Three visits in five are brought by one of 60 intermediaries; a visitor has two and a half visits. The removal effect, whose
work grows with the intermediaries and not with the events, is dealt among more of them too.
"""

import time
from collections.abc import Iterator
from dataclasses import replace as replace_fields
from functools import partial

import numpy as np
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
from insights.retribution import COLUMNS, MILLION, MODELS, VISITS, Paths, credits
from views_layer.insights import visited

GOALS = (VISITS, "read")
"""Few goals, and most of the events."""
INTERMEDIARIES = (10, 1_000, 5_000)
FIELDS = ("hub", "is_bot", *COLUMNS)
"""What has to be read."""


def measure(options: Options) -> Figures:
    """Each goal's seconds, of reading the log once and dealing seven times; credits that do not add up raise."""
    house.migrate()
    house.new_hub()
    now = int(time.time() * 1000)
    with house.a_redis():
        size = options.scaled(1_000_000, 10_000)
        count = mix.append(_brought(mix.events("acme", size, now - DAYS * DAY_MS, now)), 1_000)
        house.publish_log(timezone.now())
        say(f"{count} events in the log")
        scanning = scan_seconds(archive.paths(archive.visible(1)), FIELDS)
        figures: Figures = {
            f"credits_of_{goal}": at_most(
                10, seconds_of(partial(_credit, goal)), "s", scanning, "DuckDB's scan of the same columns"
            )
            for goal in GOALS
        }
        paths = _paths(VISITS)
    for count in INTERMEDIARIES:
        count = options.scaled(count, count // 10)
        spread = _among(count, paths)
        inverting = seconds_of(partial(np.linalg.inv, np.eye(count) + np.random.default_rng(1).random((count, count))))
        figures[f"markov_of_{count}"] = at_most(
            10, seconds_of(partial(_deal, spread, "markov")), "s", inverting, "numpy's inverse of a matrix of this size"
        )
    return figures


def _brought(events: Iterator[Event]) -> Iterator[Event]:
    """The events, with the intermediary of each visit."""
    for event in events:
        number = event.visit * 7_919 % 100
        yield replace(event, intermediary=f"kiosk-{number:02}" if number < 60 else None)


def _credit(goal: str) -> None:
    paths = _paths(goal)
    say(f"{goal}: {paths.count} goals, {len(paths.sequences)} sequences of intermediaries")
    for model in MODELS:
        say(f"{model}: {seconds_of(partial(_deal, paths, model)):.2f} s")


def _paths(goal: str) -> Paths:
    found = visited(Hub.objects.get(slug="acme"), QueryDict("period=all"), timezone.now())
    return found.visits.paths(goal, found.start, found.end)


def _among(count: int, paths: Paths) -> Paths:
    """The paths with each touch by one of `count` intermediaries, few of which bring many."""
    touches = (count * np.random.default_rng(1).random(len(paths.touches)) ** 2).astype(int)
    return replace_fields(paths, names=[f"kiosk-{number:04}" for number in range(count)], touches=touches)


def _deal(paths: Paths, model: str) -> None:
    if sum(credits(paths, model).values()) != (paths.count - paths.direct) * MILLION:
        raise AssertionError(f"The credits by {model!r} do not add up to the goals.")
