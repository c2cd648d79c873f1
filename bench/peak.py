"""A launch: as many requests as hundreds of connections can send, while others send, retry and ask.

Hostile connections send the hot hub's events as fast as they are answered and never wait; patient clients of other
hubs send as the tracker does, and repeat what was answered 429 or 503 with the same ids; a customer asks the panel's
questions; where there is a queue, a publisher fills it. Afterwards every 202, and every message that the broker confirmed,
must be in the numbers once.
"""

import http.client
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable
from threading import Event, Thread

import django
import psutil
from django.conf import settings
from django.utils import timezone

from batch.models import Run
from bench import house, mix
from bench.figures import Figures, Options, at_least, at_most, quantile, say
from bench.history import DAY_MS, DAYS, QUESTIONS
from bench.load import insist, post, request_of
from tests.faults.publisher import Publisher
from views_layer import seam

HOT = "launch"
QUIET = ("library", "museum", "school")
QUEUED = "archive"
"""The hub whose events come by the queue."""
PATIENT_EACH = 4
MESSAGE_EVENTS, MESSAGES_AT_MOST = 100, 30_000
USUAL, CONNECTIONS = 48, 500
BETWEEN_S = 0.25
MIB = 1024 * 1024
MEMORY_BOUND_MIB = 512
"""Of the web process: what it takes by itself, the bodies that wait (MAX_WAITING_BYTES), and what they decode to."""


class Companion(Thread):
    """Something that goes on beside the peak, until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = Event()

    def run(self) -> None:
        while not self._over.wait(BETWEEN_S):
            self.once()

    def stop(self) -> None:
        self._over.set()
        self.join()

    def once(self) -> None:
        raise NotImplementedError


class Asker(Companion):
    """A customer who looks at the panel: milliseconds of each question."""

    def __init__(self, hub: str, key: str) -> None:
        super().__init__()
        self._hub, self._headers = hub, {"Authorization": f"Bearer {key}"}
        self._connection = http.client.HTTPConnection("127.0.0.1", settings.PORT, timeout=60)
        self.times: list[float] = []

    def once(self) -> None:
        for question in QUESTIONS.values():
            began = time.perf_counter()
            self.ask(question)
            self.times.append((time.perf_counter() - began) * 1000)

    def ask(self, question: str) -> dict:
        """The answer to a question; raises AssertionError where it is refused."""
        self._connection.request("GET", f"/api/hubs/{self._hub}/stats?{question}", headers=self._headers)
        answer = self._connection.getresponse()
        found = json.loads(answer.read())
        if answer.status != 200:
            raise AssertionError(f"{question} answered {answer.status}: {found}")
        return found

    def events(self) -> int:
        """All events of the hub, over a new connection: the server closes those that have been still for long."""
        self._connection.close()
        return self.ask("metrics=events&period=all&robots=include")["results"][0]["events"]


class Patient(Companion):
    """A client that sends one event at a time and repeats it, as told by Retry-After, until it is answered 202."""

    def __init__(self, hub: str, number: int) -> None:
        super().__init__()
        self.hub, self._number = hub, number
        self._connection = http.client.HTTPConnection("127.0.0.1", settings.PORT, timeout=60)
        self.accepted = self.repeated = 0

    def once(self) -> None:
        event = {"hub": self.hub, "id": f"{time.time_ns():x}-{self._number}", "action": "view", "media": "a"}
        while True:
            try:
                self._connection.request("POST", "/api/events", json.dumps(event | {"visitor": f"p{self._number}"}))
                answer = self._connection.getresponse()
                found = json.loads(answer.read())
            except (OSError, http.client.HTTPException):
                self._connection.close()
                self.repeated += 1
                continue
            if answer.status == 202:
                self.accepted += found["accepted"] + found["duplicates"]
                return
            if answer.status not in (429, 503):
                raise AssertionError(f"An event was answered {answer.status}: {found}")
            self.repeated += 1
            time.sleep(float(answer.headers["Retry-After"]))


class QueuePublisher(Companion):
    """A client that publishes messages of many events, each until the broker has confirmed it."""

    def __init__(self) -> None:
        super().__init__()
        start = int(time.time() * 1000) - 3_600_000
        self._bodies = mix.bodies(QUEUED, MESSAGES_AT_MOST, MESSAGE_EVENTS, start, seed=83)
        self._publisher = Publisher(settings.AMQP_URL)
        self.accepted = 0

    def run(self) -> None:
        while not self._over.is_set():
            self.once()

    def once(self) -> None:
        body = next(self._bodies)
        while not self._publisher.publish(body):
            time.sleep(BETWEEN_S)
        self.accepted += MESSAGE_EVENTS


class Memory(Companion):
    """The least and the most that the web process took, in MiB."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        super().__init__()
        (self._web,) = [
            process for process in processes if "granian" in " ".join(process.cmdline()) and process.children()
        ]
        self._processes = [self._web, *self._web.children()]
        self.most = self.least = self._taken()

    def once(self) -> None:
        self.most = max(self.most, self._taken())

    def _taken(self) -> float:
        return sum(process.memory_info().rss for process in self._processes) / MIB


def measure(options: Options) -> Figures:
    """Attempts and stored events of the peak, the panel's questions meanwhile, memory, lag, and what was found afterwards."""
    seconds = options.scaled(120, 2)
    house.migrate()
    keys = {slug: house.new_hub(slug)["read"] for slug in (HOT, *QUIET, QUEUED)}
    known = _with_history(QUIET[0], options.scaled(100_000, 1_000))
    with house.serving(dict(os.environ) | {"DEMO": "0"}):
        house.until(house.is_serving, 60)
        askers = {slug: Asker(slug, key) for slug, key in keys.items()}
        _hammer(0.5, USUAL, seed=80)
        alone = _panel_alone(askers[QUIET[0]], min(seconds, 5))
        usual = _hammer(min(seconds, 5), USUAL, seed=81)
        capacity = usual[202] / min(seconds, 5)
        say(f"capacity {capacity:,.0f} requests/s from {USUAL} connections; panel alone p95 {alone:.0f} ms")
        _drained()
        before = {slug: asker.events() for slug, asker in askers.items()}
        memory, patient = (
            Memory(house.marked_processes()),
            [Patient(slug, n) for slug in QUIET for n in range(PATIENT_EACH)],
        )
        publishers = [QueuePublisher()] if settings.AMQP_URL else []
        beside = [memory, askers[QUIET[0]], *patient, *publishers]
        for companion in beside:
            companion.start()
        peak = _hammer(seconds, CONNECTIONS, seed=82)
        for companion in beside:
            companion.stop()
        expected = {HOT: peak[202], QUEUED: sum(publisher.accepted for publisher in publishers)}
        expected |= {slug: sum(p.accepted for p in patient if p.hub == slug) for slug in QUIET}
        lag = _counted(expected, lambda: {slug: asker.events() - before[slug] for slug, asker in askers.items()})
    if known > before[QUIET[0]]:
        raise AssertionError(f"{known} events were in the log, and {before[QUIET[0]]} in the numbers.")
    say(f"{sum(expected.values()):,} events accepted, {expected[QUEUED]:,} of them by the queue: 0 lost, 0 doubled")
    attempts = sum(peak.values()) / seconds
    say(
        f"{attempts:,.0f} requests/s offered, {peak}; lag 0 after {lag:.1f} s; repeats {sum(p.repeated for p in patient)}"
    )
    asked = askers[QUIET[0]].times
    return {
        "peak_offered": at_least(None, attempts / capacity, "times the capacity", 1, "the capacity"),
        "peak_stored": at_least(None, peak[202] / seconds, "requests/s", capacity, "the capacity"),
        "peak_panel_p95": at_most(300, quantile(asked, 0.95), "ms", alone, "the same questions on an idle machine"),
        "peak_memory": at_most(MEMORY_BOUND_MIB, memory.most, "MiB", memory.least, "the web process before the peak"),
        "peak_lag": at_most(60, lag, "s until all of it is in the numbers", seconds, "the peak itself"),
    }


def _with_history(hub: str, size: int) -> int:
    """Give a hub 30 days of events, with their rows; returns how many."""
    now = int(time.time() * 1000)
    with house.a_redis():
        count = mix.append(mix.events(hub, size, now - DAYS * DAY_MS, now), 1_000)
        house.publish_log(timezone.now())
        seam.run_now(Run.REBUILD)
    return count


def _drained() -> float:
    """Seconds until every 202 is in the numbers."""
    return house.until(lambda: seam.status(timezone.now())["lag_events"] == 0, 300, pause=0.2)


def _counted(expected: dict[str, int], found: Callable[[], dict[str, int]]) -> float:
    """Seconds until all that was accepted is in the numbers. Raises AssertionError where it is not, or not alone."""
    try:
        lag = house.until(lambda: found() == expected, 300, pause=0.2)
    except TimeoutError:
        raise AssertionError(f"{expected} were accepted, and {found()} are in the numbers.") from None
    _drained()
    if (at_last := found()) != expected:
        raise AssertionError(f"{expected} were accepted, and {at_last} are in the numbers.")
    return lag


def _panel_alone(asker: Asker, seconds: float) -> float:
    """The p95 of the panel's questions while nothing else happens, in ms."""
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        asker.once()
    times, asker.times = asker.times, []
    return quantile(times, 0.95)


def _hammer(seconds: float, connections: int, seed: int) -> Counter[int]:
    """Statuses of what hostile connections sent from a process of their own; at the end also of what had no answer."""
    with multiprocessing.get_context("spawn").Pool(1, initializer=django.setup) as pool:
        return pool.apply_async(_statuses, (seconds, connections, seed)).get(timeout=seconds + 300)


def _statuses(seconds: float, connections: int, seed: int) -> Counter[int]:
    start = int(time.time() * 1000) - 3_600_000
    requests = (request_of(body) for body in mix.bodies(HOT, 1_000_000, 1, start, seed))
    loaded = post(settings.PORT, requests, connections, seconds)
    loaded.statuses[202] += insist(settings.PORT, loaded.unanswered)
    return loaded.statuses
