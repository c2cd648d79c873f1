"""The load: clients that send a seeded mix of events, as the tracker would, and remember what was accepted.

A request without an answer, or answered 5xx or 429, is sent again with the same ids until it is answered 202; what a
broker does not confirm is published again likewise. So every event that was sent is known to be in the log once, as it
was first accepted, or to come there from the queue.
"""

import json
import queue
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.faults.publisher import Publisher
from tests.faults.stack import Stack, until, wait

HUBS = {"acme": "Europe/Paris", "kiosk": "Asia/Kolkata", "lone": "UTC"}
"""Hubs and their zones. The readers of `lone` have no visitor: there only sums are compared."""
NAMELESS = "lone"
ACTIONS = ("view", "view", "view", "read", "read", "read", "share", "download", "click", "search")
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Googlebot/2.1")
DAY_MS = 86_400_000
QUEUED = 0.3
"""The part of the requests that goes into the queue, where there is one."""


@dataclass
class Facts:
    """What the oracle needs of an accepted event."""

    hub: str
    id: str
    occurred_at: int
    action: str
    media: str | None
    visitor: str
    visit: str
    duration_ms: int


@dataclass
class Request:
    """Events that are sent together, until they are taken."""

    hub: str
    events: list[dict[str, Any]]
    new: list[Facts]
    duplicates: int = 0
    invalid: int = 0
    tries: int = 0
    is_for_queue: bool = False


@dataclass
class Tally:
    """How the clients fared."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    retries: int = 0
    by_status: dict[int, int] = field(default_factory=dict)
    confirmed: int = 0
    unconfirmed: int = 0
    wrong: list[str] = field(default_factory=list)


class Load:
    """Threads that send `per_second` events, part of them to the queue of the stack that has one.

    `take` is told of every accepted request, one at a time, and whether it may still wait in that queue.
    """

    def __init__(
        self,
        stack: Stack,
        keys: dict[str, str],
        seed: int,
        per_second: float,
        take: Callable[[list[Facts], bool], None],
    ) -> None:
        self._stack, self._keys, self._take = stack, keys, take
        self._queue_url = stack.environment.get("AMQP_URL", "")
        self._random = random.Random(seed)
        self._per_second = per_second
        self._number = 0
        self._sent: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._waiting: queue.Queue[Request] = queue.Queue(maxsize=8)
        self.open = 0
        self.tally = Tally()
        self.behind_ms = 0
        """How far behind the world's time events occur, at least: a part whose clock is slow would clamp newer ones."""
        for work in (self._make, *[self._send] * 4):
            threading.Thread(target=work, daemon=True).start()

    def go_on(self) -> None:
        self._wanted.set()

    def pause(self, seconds: float) -> None:
        """Stop, and return when everything that was sent is accepted. Raises NotSo."""
        with self._lock:
            self._wanted.clear()
        until(lambda: self.open == 0, seconds, "every event accepted")

    def _make(self) -> None:
        while True:
            self._wanted.wait()
            with self._lock:
                # Looked at with the lock held, so that a pause sees every request that will be sent.
                if not self._wanted.is_set():
                    continue
                request = self._request()
                self.open += 1
            self._waiting.put(request)
            wait(self._random.uniform(0.5, 1.5) * len(request.events) / self._per_second)

    def _request(self) -> Request:
        random = self._random
        hub = random.choice(list(HUBS))
        request = Request(hub, [], [])
        for _ in range(random.choice((1, 2, 3, 5, 8, 20))):
            chance = random.random()
            if chance < 0.03:
                request.events.append(self._event(hub)[0] | {"page": 0})
                request.invalid += 1
            elif chance < 0.09 and (again := self._repeated(hub)):
                request.events.append(again)
                request.duplicates += 1
            else:
                event, facts = self._event(hub)
                request.events.append(event)
                request.new.append(facts)
        request.is_for_queue = bool(self._queue_url) and random.random() < QUEUED
        return request

    def _repeated(self, hub: str) -> dict[str, Any] | None:
        """An accepted event with other words: the first one counts."""
        if not self._sent:
            return None
        event = self._random.choice(self._sent)
        return event | {"action": "print", "duration_ms": 7} if event["hub"] == hub else None

    def _event(self, hub: str) -> tuple[dict[str, Any], Facts]:
        random = self._random
        self._number += 1
        now = int(self._stack.now() * 1000) - self.behind_ms
        occurred_at = now - random.randrange(60_000)
        chance = random.random()
        if chance < 0.2:
            occurred_at -= random.randrange(30 * 3_600_000)
        elif chance < 0.23:
            occurred_at -= random.randrange(10 * DAY_MS)
        visitor = f"v-{random.randrange(300)}"
        facts = Facts(
            hub,
            f"{hub}-{self._number}",
            occurred_at,
            random.choice(ACTIONS),
            random.choice([None, *(f"m-{n}" for n in range(8))]),
            visitor,
            f"{visitor}.{random.randrange(4)}" if random.random() < 0.9 else "same",
            0,
        )
        event: dict[str, Any] = {"hub": hub, "id": facts.id, "action": facts.action}
        event["occurred_at"] = datetime.fromtimestamp(occurred_at / 1000, UTC).isoformat(timespec="milliseconds")
        event["user_agent"] = AGENTS[random.random() < 0.05]
        if facts.media:
            event |= {"media": facts.media, "media_kind": "document", "title": f"Catalogue {facts.media}"}
        if facts.action == "read":
            facts.duration_ms = random.randrange(20_000)
            event |= {"page": random.randrange(1, 30), "duration_ms": facts.duration_ms}
        if facts.action == "share":
            event |= {"network": random.choice(("linkedin", "mastodon"))}
        if hub != NAMELESS:
            event |= {"visitor": facts.visitor, "visit": facts.visit}
        else:
            event |= {"ip": f"198.51.100.{random.randrange(256)}"}
        return event, facts

    def _send(self) -> None:
        publisher = Publisher(self._queue_url)
        while True:
            request = self._waiting.get()
            while not (self._is_confirmed(request, publisher) if request.is_for_queue else self._is_taken(request)):
                request.tries += 1
                wait(0.3)
            with self._lock:
                self.open -= 1

    def _is_confirmed(self, request: Request, publisher: Publisher) -> bool:
        is_confirmed = publisher.publish(json.dumps({"events": request.events}).encode())
        with self._lock:
            self.tally.confirmed += is_confirmed
            self.tally.unconfirmed += not is_confirmed
            if is_confirmed:
                self._count(request)
        return is_confirmed

    def _is_taken(self, request: Request) -> bool:
        status, answer = self._stack.request("/api/events", {"events": request.events}, self._keys[request.hub])
        with self._lock:
            self.tally.by_status[status] = self.tally.by_status.get(status, 0) + 1
            if status != 202:
                self.tally.retries += 1
                if 400 <= status < 500 and status != 429:
                    self.tally.wrong.append(f"{status} {answer} for {request.events[:2]}")
                return False
            self._remember(request, answer)
            return True

    def _remember(self, request: Request, answer: dict[str, Any]) -> None:
        found = (answer["accepted"], answer["duplicates"], len(answer["rejected"]))
        wanted = (len(request.new), request.duplicates, request.invalid)
        again = (0, len(request.new) + request.duplicates, request.invalid)
        if found != wanted and not (request.tries and found == again):
            self.tally.wrong.append(f"accepted, duplicates, rejected are {found}, not {wanted}, at try {request.tries}")
        new = {facts.id for facts in request.new}
        self._sent = [*self._sent[-200:], *(event for event in request.events if event["id"] in new)]
        self._count(request)

    def _count(self, request: Request) -> None:
        self.tally.accepted += len(request.new)
        self.tally.duplicates += request.duplicates
        self.tally.rejected += request.invalid
        self._take(request.new, request.is_for_queue)
