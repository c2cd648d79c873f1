"""Stored events a second, over HTTP, in front of a real web process, durable. Load generator and web share the cores."""

import os
import time
from collections.abc import Iterator

from django.conf import settings

from bench import house, mix
from bench.commits import durable_commits
from bench.figures import Figure, Figures, Options, at_least, at_most, quantile, say
from bench.load import Loaded, post, request_of
from events.committer import GROUP_EVENTS
from events.log import event_log
from statsproject.processes import Part, serving_parts

TARGETS = {1: 3_000, 100: 25_000}
CONNECTIONS = 48
MOST_PER_SECOND = {1: 8_000, 100: 800}
"""Requests that are built for each second of a run: more than can be answered."""
EVENT_BYTES = 90
"""Of one event in a chunk, about."""


def measure(options: Options) -> Figures:
    """One and 100 events a request, each with the consumer off and on."""
    house.migrate()
    house.new_hub()
    seconds = 0.5 if options.is_quick else 6.0
    parts = {part.name: part for part in serving_parts()}
    sizes = (1,) if options.is_quick else (1, 100)
    with house.running(parts["web"], *_bare(parts["web"])):
        _ready()
        bare = {size: _rate(_load(size, min(seconds, 3.0), seed=90)) for size in sizes}
    figures: Figures = {}
    with house.a_redis(), house.running(parts["web"]):
        _ready()
        _load(1, 0.5, seed=91)  # user agents, countries and keys are read at first use
        for size in sizes:
            figures |= _figures(f"stored_{size}_per_request", size, seconds, bare[size], seed=1)
        if not options.is_quick:
            with house.running(parts["worker-speed"]):
                time.sleep(3)
                for size in sizes:
                    figures |= _figures(f"stored_{size}_per_request_worker_on", size, seconds, bare[size], seed=2)
    return figures


def _bare(web: Part) -> list[str]:
    return [*web.command[:-1], "bench.bare:application"]


def _ready() -> None:
    body = b'{"hub":"nobody","action":"view"}'
    house.until(lambda: _is_open() and post(settings.PORT, iter([request_of(body)]), 1, 1).statuses[202] == 1, 20)


def _is_open() -> bool:
    try:
        post(settings.PORT, iter([]), 1, 1)
    except OSError:
        return False
    return True


def _load(size: int, seconds: float, seed: int) -> Loaded:
    count = max(200, int(MOST_PER_SECOND[size] * seconds))
    requests = [request_of(body) for body in mix.bodies("acme", count, size, int(time.time() * 1000) - 3_600_000, seed)]
    return post(settings.PORT, _told_when_out(requests), CONNECTIONS, seconds)


def _told_when_out(requests: list[bytes]) -> Iterator[bytes]:
    yield from requests
    say("The load generator ran out of requests; the figure is right, over a shorter time.")


def _rate(loaded: Loaded) -> float:
    return sum(loaded.statuses.values()) / loaded.seconds


def _figures(name: str, size: int, seconds: float, bare: float, seed: int) -> Figures:
    before = _stored()
    loaded = _load(size, seconds, seed)
    accepted, stored = loaded.sum_of("accepted"), _stored() - before
    if set(loaded.statuses) != {202} or accepted != stored:
        raise AssertionError(
            f"{accepted} events were accepted and {stored} are in the log; statuses {loaded.statuses}."
        )
    held = min(CONNECTIONS * size, GROUP_EVENTS)
    commits = durable_commits(held * EVENT_BYTES, min(seconds, 1.0))
    limit = min(bare * size, commits * held)
    say(
        f"{name}: {accepted / loaded.seconds:,.0f} events/s; a bare WSGI function {bare:,.0f} requests/s; "
        f"{commits:,.0f} commits/s of up to {held} events; the load generator took "
        f"{loaded.own_seconds / loaded.seconds:.0%} of one core; load average {os.getloadavg()[0]:.1f}"
    )
    limit_of = (
        f"the lower of a bare WSGI function ({bare:.0f}/s) x {size} and commits ({commits:.0f}/s) x {held} events"
    )
    rate = at_least(TARGETS[size], accepted / loaded.seconds, "events/s", limit, limit_of)
    return {name: rate, f"{name}_p95": _latency(loaded, commits)}


def _latency(loaded: Loaded, commits: float) -> Figure:
    return at_most(None, quantile(loaded.latencies, 0.95) * 1000, "ms", 1000 / commits, "one commit of a full group")


def _stored() -> int:
    log = event_log()
    return log.count_between({}, log.head())
