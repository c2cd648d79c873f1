"""The rebuild, and the questions of a panel over 30 days: a hub of 1 million events beside one of 100,000.

The events are appended to the log as normalised chunks, past intake and consumer, which have figures of their own.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from statistics import median

from django.conf import settings
from django.test import Client
from django.utils import timezone

from aggregations.buckets import HOUR
from batch import archive
from batch.cover import cover
from batch.models import Run
from batch.view_store import view_store
from bench import house, mix
from bench.figures import Figures, Options, at_least, at_most, quantile, say, seconds_of
from bench.hour import scan_seconds
from events.cuts import published_cut
from events.models import Hub
from views_layer import gather, seam
from views_layer.merged import MergedRows

DAY_MS = 86_400_000
DAYS = 30
QUESTIONS = {
    "by_day": "metrics=visits,visitors,views,avg_visit_duration_ms&interval=day&period=30d",
    "by_media": "metrics=visits,visitors,views,avg_visit_duration_ms&by=media&period=30d&limit=50",
    "by_country": "metrics=visits,visitors&by=country&period=30d",
}
"""Each falls to rows of one rollup: the hub's, that of 2,000 media, a small one."""
RAW_QUESTION = "metrics=visits,visitors&by=media,country&period=30d&limit=50"
RAW_FIELDS = ("hub", "occurred_at", "is_bot", "media", "country", "visit", "visitor")
"""What the raw question has to read."""
HUBS = {"large": 1_000_000, "small": 100_000}
SECONDS_A_QUESTION = 6.0
ASKED_AT_LEAST, ASKED_AT_MOST = 5, 40


def measure(options: Options) -> Figures:
    """The rebuild of both hubs; each question first after a new epoch, and repeated."""
    house.migrate()
    keys = {slug: house.new_hub(slug)["read"] for slug in HUBS}
    now = int(time.time() * 1000)
    counts = {}
    with house.a_redis():
        for slug, wanted in HUBS.items():
            size = options.scaled(wanted, wanted // 100)
            counts[slug] = mix.append(mix.events(slug, size, now - DAYS * DAY_MS, now), 1_000)
            say(f"hub {slug}: {counts[slug]} events in the log")
        house.publish_log(timezone.now())
        scanning = scan_seconds(archive.paths(archive.visible(1)))
        cpu_began = time.process_time()
        running = seconds_of(lambda: seam.run_now(Run.REBUILD))
        total = sum(counts.values())
        say(f"rebuilt {total} events in {running:.1f} s, {time.process_time() - cpu_began:.1f} s of a core")
        figures: Figures = {
            "rebuild": at_least(200_000, total / running, "events/s", total / scanning, "DuckDB's scan of all columns")
        }
        return figures | _asked(options, keys, counts)


def _asked(options: Options, keys: dict[str, str], counts: dict[str, int]) -> Figures:
    figures: Figures = {}
    for name, question in QUESTIONS.items():
        rollup = {"by_day": "hub"}.get(name, name.removeprefix("by_"))
        first = {slug: _times(options, _asker(slug, keys[slug], question), forget) for slug in HUBS}
        again = {slug: _times(options, _asker(slug, keys[slug], question)) for slug in HUBS}
        fetching = _fetch_ms("large", rollup)
        for kind, times in (("first", first), ("again", again)):
            figures |= _quantiles(
                f"panel_{name}_{kind}", times["large"], 50, fetching, "fetching the same rows from SQLite"
            )
        growth, events = median(first["large"]) / median(first["small"]), counts["large"] / counts["small"]
        figures[f"panel_{name}_growth"] = at_most(2, growth, f"times for {events:.0f} times the events", 1, "no growth")
    raw = _times(options, lambda: _ask("large", keys["large"], RAW_QUESTION, "raw"))
    scanning = scan_seconds(archive.paths(archive.visible(_epoch(), "large")), RAW_FIELDS) * 1000
    return figures | _quantiles("panel_raw", raw, 300, scanning, "DuckDB's scan of the same columns of its files")


def _quantiles(name: str, times: list[float], target: float, limit: float, limit_of: str) -> Figures:
    say(
        f"{name}: p50 {quantile(times, 0.5):.1f} ms, p95 {quantile(times, 0.95):.1f} ms of {len(times)}; limit {limit:.1f} ms"
    )
    return {
        f"{name}_p50": at_most(None, quantile(times, 0.5), "ms", limit, limit_of),
        f"{name}_p95": at_most(target, quantile(times, 0.95), "ms", limit, limit_of),
    }


def forget() -> None:
    """Drop the merged rows that the process keeps: a new epoch that touches an hour in range makes the key another."""
    gather._merged_rows = MergedRows()


@cache
def client() -> Client:
    """Django's handler without a socket; made once, since each loads the middleware anew."""
    settings.ALLOWED_HOSTS = ["*"]
    return Client()


def _epoch() -> int:
    published = published_cut()
    assert published is not None
    return published.epoch


def _asker(slug: str, key: str, question: str) -> Callable[[], None]:
    return lambda: _ask(slug, key, question)


def _times(options: Options, ask: Callable[[], None], before: Callable[[], None] | None = None) -> list[float]:
    """Milliseconds of each ask, after one that warms the process; as many as fit in SECONDS_A_QUESTION."""
    ask()
    times: list[float] = []
    least, most = (1, 2) if options.is_quick else (ASKED_AT_LEAST, ASKED_AT_MOST)
    began = time.perf_counter()
    while len(times) < least or (len(times) < most and time.perf_counter() - began < SECONDS_A_QUESTION):
        if before:
            before()
        times.append(seconds_of(ask) * 1000)
    return times


def _ask(slug: str, key: str, question: str, source: str = "views+buffers") -> None:
    """Ask the API, through Django's handler, and look whether the answer came from where it should."""
    answer = client().get(f"/api/hubs/{slug}/stats?{question}", headers={"Authorization": f"Bearer {key}"})
    found = answer.json()
    if answer.status_code != 200 or found["meta"]["source"] != source or not found["results"]:
        raise AssertionError(f"{question} answered {answer.status_code}: {str(found)[:500]}")


def _fetch_ms(slug: str, rollup: str) -> float:
    """How long the bytes of the rows of the same 30 days take to be read."""
    hub, store = Hub.objects.get(slug=slug), view_store()
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    hours = (int((end - timedelta(days=DAYS)).timestamp()) // 3600, int(end.timestamp()) // 3600)
    grains = ("day", HOUR)
    found = cover(store, hub.slug, rollup, [hours], _epoch(), hub.zone, grains)
    size = sum(len(payload) for payload in store.fetch(found))
    say(f"{rollup}: {len(found)} rows of {size / 1e6:.2f} MB")
    return min(seconds_of(lambda: store.fetch(found)) for _ in range(5)) * 1000
