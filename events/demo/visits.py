"""Visits of the demo: what a reader does from the first page on, as events that the collector would accept."""

import itertools
import math
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from events.demo.catalogue import CATALOGUE, FEATURES, PRODUCTS, SEARCHES, Medium
from events.demo.readers import CHANNELS, NETWORKS, REFERRERS_OF_NETWORKS, Channel, Reader, pick

DAY_MS = 24 * 3600 * 1000
STRETCH_MS = 30_000
ROBOT_SHARE, RETURN_SHARE, HUB_FIRST_SHARE = 0.025, 0.42, 0.55
LIST_SHARE, FOLLOWED, FOLLOWED_WHEN_POPULAR = 0.45, 0.1, 0.055
CHANNEL_WEIGHTS = list(itertools.accumulate(channel.weight for channel in CHANNELS))

Fact = dict[str, object]


@dataclass(frozen=True, order=True)
class Arrival:
    """A visit to come: when, and by which shared token (None: by a channel)."""

    at: int
    token: str | None = None
    network: str | None = None
    medium: int | None = None


class Audience:
    """Tells visits one after another; the same seed tells the same ones. Times are in milliseconds.

    `prefix` begins every id, so that two audiences never share a visitor, visit, event or token.
    """

    def __init__(self, hub: str, began_at: int, prefix: str, seed: str) -> None:
        self.hub = hub
        self.began_at = began_at
        self.prefix = prefix
        self.chance = random.Random(seed)
        self.readers: list[Reader] = []
        self.visit_count = self.token_count = 0
        self._weights: tuple[int, list[float]] = (-1, [])

    def visit(self, arrival: Arrival) -> tuple[list[Fact], list[Arrival]]:
        """The events of one visit, in order of time, and the visits that its shares bring."""
        self.visit_count += 1
        reader = self._reader(arrival)
        visit = Visit(self, reader, arrival, f"{self.prefix}{self.visit_count}")
        visit.crawl() if reader.is_robot else visit.read()
        return visit.facts, visit.brought

    def medium_at(self, at: int) -> Medium:
        """A media that is online, by its appeal; one that was launched days ago draws most."""
        day = (at - self.began_at) // DAY_MS
        if self._weights[0] != day:
            self._weights = day, list(itertools.accumulate(pull(medium, day) for medium in CATALOGUE))
        return self.chance.choices(CATALOGUE, cum_weights=self._weights[1])[0]

    def token(self) -> str:
        self.token_count += 1
        return f"{self.prefix}s{self.token_count}"

    def _reader(self, arrival: Arrival) -> Reader:
        if arrival.token is None and self.chance.random() < ROBOT_SHARE:
            return Reader.robot(self.chance)
        if arrival.token is None and self.readers and self.chance.random() < RETURN_SHARE:
            recent = min(len(self.readers), int(self.chance.expovariate(1 / 250)) + 1)
            return self.readers[-recent]
        reader = Reader.named(f"{self.prefix}v{len(self.readers) + 1}")
        self.readers.append(reader)
        return reader


def pull(medium: Medium, day: int) -> float:
    """How much a media draws on a day of the demo; 0 before its launch. Day 0 is 90 days before its end."""
    since = day - (90 - medium.age)
    return 0.0 if since < 0 else medium.appeal * (1 + 5 * math.exp(-since / 5))


class Visit:
    """One visit while it is told."""

    def __init__(self, audience: Audience, reader: Reader, arrival: Arrival, name: str) -> None:
        self.audience, self.reader, self.arrival, self.name = audience, reader, arrival, name
        self.chance = audience.chance
        self.at = arrival.at
        self.facts: list[Fact] = []
        self.brought: list[Arrival] = []
        self.previous: str | None = None
        self.origin = self._origin()

    def crawl(self) -> None:
        """A robot opens media, one after another, and reads nothing."""
        for _ in range(self.chance.randint(1, 8)):
            self._wait(1, 4)
            self._open(self.audience.medium_at(self.at))

    def read(self) -> None:
        """A person looks at the hub or comes straight to a media, and reads on as long as patience lasts."""
        if self.arrival.medium is not None:
            self._enjoy(CATALOGUE[self.arrival.medium])
        elif self.chance.random() < HUB_FIRST_SHARE:
            self._add("view")
            if self.chance.random() < 0.22:
                return
            if self.chance.random() < 0.12:
                self._search()
            self._wait(3, 25)
            self._enjoy(self.audience.medium_at(self.at))
        else:
            self._enjoy(self.audience.medium_at(self.at))
        while self.chance.random() < 0.18 + 0.3 * self.reader.patience:
            self._wait(4, 40)
            self._enjoy(self.audience.medium_at(self.at))

    def _origin(self) -> Fact:
        """What every event of the visit says of the reader and the way here."""
        reader = self.reader
        origin: Fact = {"hub": self.audience.hub, "visit": self.name, "user_agent": reader.user_agent}
        origin |= {"visitor": reader.name, "country": reader.country, "language": reader.language}
        if self.arrival.token is not None:
            referrer = REFERRERS_OF_NETWORKS.get(self.arrival.network or "")
            channel = Channel(0, referrer, "mail" if self.arrival.network == "email" else None)
            origin["via"] = self.arrival.token
        elif reader.is_robot:
            return origin
        else:
            channel = self.chance.choices(CHANNELS, cum_weights=CHANNEL_WEIGHTS)[0]
        said = {"referrer": channel.referrer, "source": channel.source, "intermediary": channel.intermediary}
        return origin | {name: value for name, value in said.items() if value is not None}

    def _wait(self, least: float, most: float) -> int:
        """Let time pass; returns the milliseconds."""
        passed = int(self.chance.triangular(least, most, least + (most - least) / 4) * 1000)
        self.at += passed
        return passed

    def _add(self, action: str, **more: object) -> None:
        self.facts.append({
            **self.origin,
            "id": f"{self.name}-{len(self.facts)}",
            "action": action,
            "occurred_at": datetime.fromtimestamp(self.at / 1000, UTC).isoformat(timespec="milliseconds"),
            **more,
        })  # fmt: skip

    def _open(self, medium: Medium) -> None:
        more: Fact = {"pages": medium.pages} if medium.pages else {}
        if self.previous is not None and self.previous != medium.key:
            more["previous"] = self.previous
        self._add("view", media=medium.key, media_kind=medium.kind, title=medium.title, **more)
        self.previous = medium.key

    def _enjoy(self, medium: Medium) -> None:
        self._open(medium)
        {"document": self._leaf, "video": self._watch, "image": self._look, "link": self._follow}[medium.kind](medium)
        self._engage(medium)
        self._be_led_on(medium)

    def _leaf(self, medium: Medium) -> None:
        """Page by page: each page loses some readers, the first ones most; some jump from the contents."""
        assert medium.pages is not None
        page = 1
        if self.chance.random() < 0.08:
            self._feature("table-of-contents", medium)
            page = self.chance.randint(2, medium.pages)
        for turned in itertools.count():
            duration = min(self._wait(1.5, 10 + 22 * self.reader.patience), 120_000)
            self._add("read", media=medium.key, page=page, duration_ms=duration)
            if self.chance.random() < 0.045:
                self._click(medium, page)
            stays = 0.72 if turned < 2 else 0.86 + 0.1 * self.reader.patience
            page += 1
            if page > medium.pages or self.chance.random() > stays:
                break

    def _watch(self, medium: Medium) -> None:
        """Stretch by stretch, as the tracker tells a video: its pages are of 30 seconds."""
        assert medium.seconds is not None
        self._add("play", media=medium.key)
        watched = int(medium.seconds * 1000 * min(1.0, self.chance.betavariate(1.2, 1.1) + 0.1))
        for stretch, start in enumerate(range(0, watched, STRETCH_MS), 1):
            duration = min(STRETCH_MS, watched - start)
            self.at += duration
            self._add("read", media=medium.key, page=stretch, duration_ms=duration)

    def _look(self, medium: Medium) -> None:
        self._add("read", media=medium.key, duration_ms=self._wait(2, 30))

    def _follow(self, medium: Medium) -> None:
        if self.chance.random() < 0.8:
            self._wait(1, 6)
            self._add("click", media=medium.key, target=f"https://www.maison-lumiere.example/{medium.key}")

    def _engage(self, medium: Medium) -> None:
        if self.chance.random() < 0.14:
            self._feature(pick(self.chance, FEATURES), medium)
        if medium.kind in ("document", "image"):
            if self.chance.random() < (0.12 if "price" in medium.key or "tarif" in medium.key else 0.05):
                self._wait(1, 8)
                self._add("download", media=medium.key)
            if self.chance.random() < 0.018:
                self._wait(1, 8)
                self._add("print", media=medium.key)
        if self.chance.random() < (0.09 if self.arrival.token is not None else 0.05):
            self._share(medium)

    def _be_led_on(self, medium: Medium) -> None:
        """Many see the list of recommendations below a media, and a few of these follow it. One reader in ten is held out."""
        if self.chance.random() > LIST_SHARE:
            return
        is_held_out = zlib.crc32(self.reader.name.encode()) % 10 == 0
        self._feature("recommendations-holdout" if is_held_out else "recommendations", medium)
        other = self.audience.medium_at(self.at)
        if other != medium and self.chance.random() < (FOLLOWED_WHEN_POPULAR if is_held_out else FOLLOWED):
            self._wait(1, 6)
            begins = "recommendation-holdout:" if is_held_out else "recommendation:"
            self._add("click", media=medium.key, target=begins + other.key)
            self._enjoy(other)

    def _click(self, medium: Medium, page: int) -> None:
        product = self.chance.choice(PRODUCTS)
        self._add(
            "click",
            media=medium.key,
            page=page,
            target=f"https://www.maison-lumiere.example/produits/{product}",
            properties={"product": product, "in_stock": self.chance.random() < 0.85},
        )

    def _feature(self, name: str, medium: Medium) -> None:
        self._wait(1, 5)
        self._add("feature", media=medium.key, target=name)

    def _search(self) -> None:
        self._wait(3, 12)
        found = max(0, int(self.chance.gauss(9, 6)))
        self._add("search", target=self.chance.choice(SEARCHES), properties={"results": found})

    def _share(self, medium: Medium) -> None:
        """Share, and bring readers over the following days: most bring none, a few many."""
        self._wait(2, 12)
        network, token = pick(self.chance, NETWORKS), self.audience.token()
        self._add("share", media=medium.key, network=network, share=token)
        for _ in range(min(30, int(self.chance.paretovariate(1.25)) - 1 + (self.chance.random() < 0.5))):
            later = self.at + int(self.chance.expovariate(1 / (1.4 * DAY_MS))) + 60_000
            self.brought.append(Arrival(later, token, network, CATALOGUE.index(medium)))


def launches(day: int) -> float:
    """How many visits more the launches of recent days bring, as a part of an ordinary day."""
    return sum(
        medium.appeal / 60 * math.exp(-(day - 90 + medium.age) / 3) for medium in CATALOGUE if day >= 90 - medium.age
    )


def in_order(audience: Audience, arrivals: list[Arrival], until: int) -> Iterator[Fact]:
    """The events of these visits and of those they bring, up to a time, sorted by time."""
    waiting = sorted(arrivals, reverse=True)
    facts: list[Fact] = []
    while waiting:
        told, brought = audience.visit(waiting.pop())
        facts += told
        if brought:
            waiting = sorted(waiting + [arrival for arrival in brought if arrival.at < until], reverse=True)
    ended = datetime.fromtimestamp(until / 1000, UTC).isoformat(timespec="milliseconds")
    return iter(
        sorted((fact for fact in facts if str(fact["occurred_at"]) < ended), key=lambda fact: str(fact["occurred_at"]))
    )
