"""Live traffic of the demo: visits as they would come, posted over HTTP to the collector."""

import heapq
import itertools
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime

import msgspec
from django.conf import settings

from events.demo.history import DAYS, milliseconds
from events.demo.people import ingest_key
from events.demo.readers import Reader
from events.demo.visits import DAY_MS, Arrival, Audience, Fact
from events.models import Hub

logger = logging.getLogger(__name__)

VISITS_A_SECOND = 0.25
BURST_SECONDS = 20.0
LONGEST_WAIT_SECONDS = 10.0
MAX_EVENTS = 500


class Traffic:
    """The events that are due, of visits that overlap. `now` is in milliseconds."""

    def __init__(self, hub: Hub, now: int) -> None:
        began_at = milliseconds(hub.created_at) - DAYS * DAY_MS
        self.audience = Audience(hub.slug, began_at, prefix=f"l{now:x}-", seed=f"live {now}")
        # People of the history come back; a reader is the same wherever the name is.
        self.audience.readers = [Reader.named(f"hv{number}") for number in range(1, 2_001)]
        self.order = itertools.count()
        self.due: list[tuple[int, int, Fact]] = []
        self.next_visit_at = now

    def due_by(self, now: int) -> list[Fact]:
        """The events since the last call up to now, at most MAX_EVENTS of them."""
        while self.next_visit_at <= now:
            self._begin(self.next_visit_at)
            burst = 1.8 if int(self.next_visit_at / 1000 / BURST_SECONDS) % 3 == 0 else 0.6
            self.next_visit_at += int(self.audience.chance.expovariate(VISITS_A_SECOND * burst) * 1000)
        facts: list[Fact] = []
        while self.due and self.due[0][0] <= now and len(facts) < MAX_EVENTS:
            facts.append(heapq.heappop(self.due)[2])
        return facts

    def _begin(self, at: int) -> None:
        facts, brought = self.audience.visit(Arrival(at))
        for arrival in brought[:1]:  # of those a share brings, one comes while somebody is looking
            told, _ = self.audience.visit(Arrival(at + 60_000, arrival.token, arrival.network, arrival.medium))
            facts += told
        for fact in facts:
            heapq.heappush(self.due, (instant(fact), next(self.order), fact))


def instant(fact: Fact) -> int:
    """When an event occurred, in milliseconds."""
    return milliseconds(datetime.fromisoformat(str(fact["occurred_at"])))


def post(url: str, key: str, facts: list[Fact]) -> None:
    """Post events. Raises OSError where they were not accepted: refused, 429, 503, no answer."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, msgspec.json.encode({"events": facts}), headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        answer.read()


def send_for_ever(hub: Hub, pause: Callable[[float], None] = time.sleep) -> None:
    """Post what is due every half second. What was not accepted is posted again; the ids make that safe."""
    url, key = f"http://{_address()}/api/events", ingest_key(hub)
    traffic, wait = Traffic(hub, int(time.time() * 1000)), 0.5
    facts: list[Fact] = []
    while True:
        facts = facts or traffic.due_by(int(time.time() * 1000))
        try:
            if facts:
                post(url, key, facts)
            facts, wait = [], 0.5
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError) and error.code in (400, 401, 403, 413):
                raise
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
            if wait > 2:  # a start or a restart of the web server takes less
                logger.warning("%s events wait %.0f s: %s", len(facts), wait, error)
        pause(wait)


def _address() -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.HOST, settings.HOST)  # noqa: S104
    return f"{host}:{settings.PORT}"
