"""What is learnt from a hub of 1 million events: each lesson as the daily run learns it, beside a process that never rests.

Four months of a library that grows by a dozen media a day: what is new is opened most, and what few ever opened is opened
now and then. Readers have tastes, and few of them come often.
"""

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import django
import numpy as np
from django.utils import timezone

from aggregations.event import Event
from batch import archive, lessons
from bench import house, mix
from bench.figures import Figures, Options, at_most, say, seconds_of
from bench.history import DAY_MS
from bench.hour import scan_seconds
from insights.lessons import LESSONS

DAYS = 120
MEDIA, OLD_MEDIA = 2_000, 500
"""Media at the end, and those that are there from the first day."""
VISITORS = 100_000
"""Of whom somewhat more than half come."""
TASTES, TRUE_TO_TASTE = 8, 0.6
NEW = 0.5
"""The part of the openings that are of what is new; the others are of any age."""
VISITS: tuple[tuple[float, tuple[str, ...]], ...] = (
    (0.25, ("view",)),
    (0.25, ("view", "read", "read", "read", "read")),
    (0.25, ("view", "read", "read", "feature", "view", "read", "read", "share")),
    (0.15, ("view", "read", "click", "view", "read", "read", "search", "view", "read", "feature", "view", "read")),
    (0.10, ("view", "feature", "view", "view", "read", "view", "view", "download", "view", "read", "view", "view")),
)
"""The actions of visits, and how often each kind comes. Every `view` opens another media."""
FEATURES = ("zoom", "search_in_media", "thumbnails", "full_screen", "night", "bookmark", "speech", "two_pages")
STEP_MS = 20_000
BUSY = "while True: pass"


def measure(options: Options) -> Figures:
    """Seconds of each lesson and of all, reading the archive included; the most memory that a lesson's process takes."""
    house.migrate()
    house.new_hub()
    now = int(time.time() * 1000)
    with house.a_redis():
        size = options.scaled(1_000_000, 20_000)
        count = mix.append(events("acme", size, now - DAYS * DAY_MS, now), 1_000)
        house.publish_log(timezone.now())
    say(f"{count} events in the log")
    paths = archive.paths(archive.visible(1))
    with busy():
        scanning = [scan_seconds(paths, [*lesson.columns.values()]) for lesson in LESSONS]
        learnt = {lesson.name: _learnt(lesson.name) for lesson in LESSONS}
    figures: Figures = {}
    for (name, found), scan in zip(learnt.items(), scanning, strict=True):
        say(f"{name}: {found}")
        figures[f"learn_{name}"] = at_most(None, found.seconds, "s", scan, "DuckDB's scan of the same columns")
        figures[f"learn_{name}_memory"] = at_most(
            None, found.peak / 2**20, "MiB", found.before / 2**20, "the process before it learns"
        )
    total = sum(found.seconds for found in learnt.values())
    return figures | {
        "learn": at_most(60, total, f"s for {count} events", sum(scanning), "DuckDB's scans of the columns")
    }


class Cost(NamedTuple):
    """Of a lesson: seconds, wall clock and of all cores; bytes resident before it and at most; and of what it keeps."""

    seconds: float
    cpu_seconds: float
    before: int
    peak: int
    kept: int


def _learnt(name: str) -> Cost:
    """Learn in a process of its own, so that the memory is the lesson's."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=django.setup) as process:
        return process.submit(learn, name).result()


def learn(name: str) -> Cost:
    """Learn a lesson of the hub from epoch 1 in this process."""
    lesson = next(lesson for lesson in LESSONS if lesson.name == name)
    before, cpu_before = _resident("VmRSS"), time.process_time()
    seconds = seconds_of(lambda: lessons.learn("acme", lesson, 1))
    kept = lessons.kept("acme", lesson, 1)
    assert kept is not None
    return Cost(seconds, time.process_time() - cpu_before, before, _resident("VmHWM"), len(kept.payload))


def _resident(which: str) -> int:
    """Bytes of this process in memory, as Linux tells: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


@contextmanager
def busy() -> Iterator[None]:
    """A core that is taken."""
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def events(hub: str, count: int, start: int, end: int, seed: int = 1) -> Iterator[Event]:
    """About `count` normalised events of a hub that occurred in [start, end), visit after visit; the same for a seed."""
    chance = np.random.default_rng(seed)
    often, kinds = [part for part, _ in VISITS], [kind for _, kind in VISITS]
    visits = int(count / sum(part * len(kind) for part, kind in VISITS))
    starts = np.sort(chance.integers(start, max(start + 1, end - 300_000), visits))
    visitors = (VISITORS * chance.random(visits) ** 2).astype(int) + 1
    chosen = chance.choice(len(kinds), visits, p=often)
    openings = np.array([kind.count("view") for kind in kinds])[chosen]
    opener = np.repeat(np.arange(visits), openings)
    media = iter(_media(chance, (starts[opener] - start) / (end - start), visitors[opener] % TASTES).tolist())
    seen: dict[int, int] = {}
    number = 0
    for visit, (at, visitor, kind) in enumerate(zip(starts.tolist(), visitors.tolist(), chosen.tolist(), strict=True)):
        seen[visitor] = seen.get(visitor, 0) + 1
        opened = ""
        for place, action in enumerate(kinds[kind]):
            number += 1
            moment = at + place * STEP_MS + number % 997
            opened = f"media-{next(media):04d}" if action == "view" else opened
            yield Event(
                hub, f"{moment:012x}{number:08x}", action, moment, moment, visitor, visit + 1, seen[visitor],
                duration_ms=9_000 if action == "read" else 0,
                media=opened,
                media_kind="document",
                page=place if action == "read" else None,
                network=mix.NETWORKS[number % len(mix.NETWORKS)] if action == "share" else None,
                target=FEATURES[number * visitor % len(FEATURES)] if action == "feature" else None,
                device="desktop",
                country=mix.COUNTRIES[visitor % len(mix.COUNTRIES)],
                visitor_key=visitor.to_bytes(16, "big"),
                visit_key=visit.to_bytes(16, "big"),
            )  # fmt: skip


def _media(chance: np.random.Generator, when: np.ndarray, tastes: np.ndarray) -> np.ndarray:
    """What is opened at moments from 0 to 1, by readers of tastes; the larger number is the newer media."""
    weights = 1 / np.arange(1, MEDIA + 1)
    ranks = chance.choice(MEDIA, len(when), p=weights / weights.sum())
    there = (OLD_MEDIA + (MEDIA - OLD_MEDIA) * when).astype(int)
    newest_first = there - 1 - ranks % there
    of_any_age = chance.permutation(MEDIA)[ranks] % there
    found = np.where(chance.random(len(when)) < NEW, newest_first, of_any_age)
    to_taste = found - (found - tastes) % TASTES
    return np.where((chance.random(len(when)) < TRUE_TO_TASTE) & (to_taste >= 0), to_taste, found)
