"""Random questions about random events, in every state of the pipeline: each answer is the oracle's, to the last row."""

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.http import QueryDict
from django.utils import timezone
from django.utils.http import urlencode

from batch.models import Run
from events.intake import Batch, Intake
from events.log import event_log
from events.models import Hub
from events.normaliser import Caller, normalise
from events.sent import TrustedSent, checked_or_reject
from speed import consumer
from tests import caches, oracle
from tests.rows import lose_rows
from views_layer import ask, seam
from views_layer.question import TIME_DIMENSIONS

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NOW = datetime(2024, 11, 4, 15, 37, 12, 345000, tzinfo=UTC)
RECEIVED = oracle.ms(NOW) + 3_600_000
HUBS = {"acme": "Europe/Paris", "howe": "Australia/Lord_Howe", "kath": "Asia/Kathmandu"}
ZONES = ["Europe/Paris", "UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "America/New_York"]
DAYS = [
    "2023-02-28", "2023-03-01", "2023-03-30", "2023-11-04", "2024-02-28", "2024-02-29", "2024-03-01", "2024-03-09",
    "2024-03-10", "2024-03-30", "2024-03-31", "2024-04-01", "2024-04-06", "2024-04-07", "2024-06-15", "2024-09-30",
    "2024-10-01", "2024-10-05", "2024-10-06", "2024-10-26", "2024-10-27", "2024-10-28", "2024-10-31", "2024-11-02",
    "2024-11-03", "2024-11-03", "2024-11-04", "2024-11-04",
]  # fmt: skip
"""Days on which clocks change in the zones, their neighbours, a leap day, and some others."""

METRICS = [
    "events", "views", "visits", "visitors", "new_visitors", "returning_visitors", "page_reads", "duration_ms",
    "engaged_visits", "shares", "downloads", "prints", "clicks", "searches", "plays", "avg_visit_duration_ms",
    "visits_per_visitor", "bounce_rate",
]  # fmt: skip
DIMENSIONS = [
    "media", "page", "network", "action", "device", "browser", "os", "country", "language", "source", "intermediary", "via",
    "visit_number", "target", "previous", "hour_of_day", "weekday", "properties.plan", "properties.a/b~'c",
]  # fmt: skip
AGENTS = [
    None,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5"
    " Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
]
PROPERTIES = [
    "pro",
    "free",
    "1",
    1,
    1.5,
    -3,
    True,
    False,
    "true",
    1e16,
    2.5e-7,
    12345678901234567,
    "é ☃ 😀",
    'a"b\\c',
    "",
    0,
]


def random_event(rng: random.Random, hub: str) -> dict[str, Any]:
    def maybe(values: list, share: float = 0.6) -> Any:
        return rng.choice(values) if rng.random() < share else None

    at = oracle.ms(datetime.fromisoformat(f"{rng.choice(DAYS)}T00:00:00+00:00"))
    if rng.random() < 0.5:
        at += rng.randrange(86_400_000)
    else:
        at += rng.randrange(96) * 900_000 + rng.choice([-1, 0, 0, 1])
    event = {
        "hub": hub,
        "occurred_at": (oracle.EPOCH + at * oracle.MS).isoformat(),
        "action": rng.choice(
            ["view", "view", "view", "read", "read", "share", "download", "print", "click", "search", "play"]
        ),
        "media": maybe(["cat-1", "cat-2", "Æther", "10"], 0.8),
        "page": maybe([1, 2, 3, 10, 11], 0.4),
        "duration_ms": maybe([1, 9_999, 10_000, 3_600_000], 0.4),
        "visitor": maybe([f"visitor {n}" for n in range(12)], 0.9),
        "visit": maybe(["one", "two"], 0.2),
        "visit_number": maybe([1, 2, 7], 0.2),
        "network": maybe(["mastodon", "x"], 0.3),
        "via": maybe(["t1", "t2"], 0.2),
        "target": maybe(["https://example.org/?a=1&b=2", "zoom"], 0.3),
        "previous": maybe(["cat-1"], 0.15),
        "source": maybe(["letter"], 0.2),
        "referrer": maybe(["https://www.google.com/", "https://blog.example/x", "nonsense"], 0.3),
        "intermediary": maybe(["kiosk-7", "kiosk-8"], 0.3),
        "user_agent": rng.choice(AGENTS),
        "ip": rng.choice(["192.0.2.1", "192.0.2.2"]),
        "country": maybe(["FR", "CA", "AU"]),
        "language": maybe(["fr", "en"]),
        "properties": {
            "plan": rng.choice(PROPERTIES),
            **({"a/b~'c": rng.choice(PROPERTIES)} if rng.random() < 0.3 else {}),
        }
        if rng.random() < 0.7
        else None,
    }
    return {name: value for name, value in event.items() if value is not None}


def append(items: list[dict[str, Any]]) -> None:
    caller = Caller(lambda hub: 0, True)
    drafts = [normalise(checked_or_reject(item, TrustedSent), caller, RECEIVED) for item in items]
    intake = Intake()
    for first in range(0, len(drafts), 60):
        intake.append([Batch(drafts[first : first + 60])])


def random_range(rng: random.Random) -> list[tuple[str, str]]:
    kind = rng.random()
    if kind < 0.45:
        return [
            ("period", rng.choice(["today", "yesterday", "24h", "7d", "28d", "30d", "12mo", "month", "year", "all"]))
        ]
    day = datetime.fromisoformat(f"{rng.choice(DAYS)}T00:00:00")
    later = day + timedelta(days=rng.choice([1, 1, 2, 7, 40, 200]))
    if kind < 0.75:
        return [("from", f"{day:%Y-%m-%d}"), ("to", f"{later:%Y-%m-%d}")]
    start = day + timedelta(minutes=rng.choice([0, 30, 90, 15, 1433]), milliseconds=rng.choice([0, 0, 1, 999]))
    end = start + timedelta(minutes=rng.choice([20, 60, 61, 150, 1440, 10_000]), milliseconds=rng.choice([0, 1]))
    offset = rng.choice(["Z", "+05:45", "", "-03:30"])
    return [("from", start.isoformat() + offset), ("to", end.isoformat() + offset)]


def random_question(rng: random.Random, values: dict[str, list[str]]) -> list[tuple[str, str]]:
    metrics = rng.sample(METRICS, rng.choice([1, 2, 3, len(METRICS)]))
    span = random_range(rng)
    pairs = [("metrics", ",".join(metrics)), *span]
    if rng.random() < 0.6:
        pairs.append(("timezone", rng.choice(ZONES)))
    is_long = dict(span).get("period") in ("12mo", "year", "all")
    interval = rng.choice([None, None, "hour", "day", "week", "month"])
    if interval == "hour" and is_long and rng.random() < 0.9:
        interval = "week"
    if interval:
        pairs.append(("interval", interval))
    by = rng.sample(DIMENSIONS, rng.choice([0, 0, 1, 1, 1, 2, 2, 3]))
    if rng.random() < 0.15:
        by = ["media", rng.choice(["page", "network"])]
    if by:
        pairs.append(("by", ",".join(by)))
    for name in rng.sample(DIMENSIONS, rng.choice([0, 0, 0, 1, 1, 2])):
        pairs += [(name, value) for value in rng.sample(values[name], min(len(values[name]), rng.choice([1, 2, 3])))]
    if rng.random() < 0.4:
        pairs.append(("robots", rng.choice(["exclude", "include", "only"])))
    if "previous" not in by and rng.random() < 0.35:
        pairs.append(("compare", rng.choice(["previous", "weekdays", "year"])))
    if rng.random() < 0.5:
        names = rng.sample([*metrics, *by, *(["time"] if interval else [])], 1)
        pairs.append(("order", ",".join(rng.choice(["", "-"]) + name for name in names)))
    return pairs


def filter_values(events: list[Any], zone: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in DIMENSIONS:
        values = [oracle.value_of(event, name, oracle.ZoneInfo(zone)) for event in events]
        texts = {v if isinstance(v, str) else json.dumps(v) for v in values if v is not None}
        # A value that no event has, but of the dimension's range.
        found[name] = [*sorted(texts), "", "7" if name in TIME_DIMENSIONS else "77"]
    return found


def answered(hub: Hub, pairs: list[tuple[str, str]], limit: int | None) -> dict[str, Any]:
    """All pages of an answer joined."""
    rows: list[Any] = []
    extra = [("limit", str(limit))] if limit else []
    while True:
        found = ask.answer(hub, QueryDict(urlencode([*pairs, *extra])), NOW)
        rows += found["results"]
        cursor = found["meta"]["next_cursor"]
        if cursor is None:
            assert found["meta"]["total_rows"] == len(rows)
            query = found["query"]
            return {"from": query["from"], "to": query["to"], "results": rows, "totals": found["totals"]}
        assert len(found["results"]) == limit
        extra = [("limit", str(limit)), ("cursor", cursor)]


def log_events(hub: str) -> list[Any]:
    return [event for chunk in event_log().read({}) for event in chunk.events if event.hub == hub]


class Questions:
    """Questions with the oracle's answers, asked again in every state."""

    def __init__(self, rng: random.Random, counts: dict[str, int]) -> None:
        self._hubs = {slug: Hub.objects.get(slug=slug) for slug in counts}
        self._asked = [
            (slug, random_question(rng, filter_values(log_events(slug), zone)), rng.choice([None, None, 2, 3]))
            for slug, zone in HUBS.items()
            for _ in range(counts[slug])
        ]
        self.sources: Counter = Counter()

    def __len__(self) -> int:
        return len(self._asked)

    def wrong(self, state: str, every: int = 1) -> list[str]:
        """The questions whose answer is not the oracle's."""
        events = {slug: log_events(slug) for slug in self._hubs}
        found = []
        for slug, pairs, pages in self._asked[::every]:
            expected = oracle.ask(events[slug], HUBS[slug], pairs, NOW)
            count = len(expected["results"])
            limit = max(1, -(-count // pages)) if pages and count <= 10_000 else None
            try:
                given: Any = answered(self._hubs[slug], pairs, limit)
            except Exception as error:  # every question is asked, so that one fault hides no other
                given = f"{type(error).__name__}: {error}"
            if json.dumps(given) != json.dumps(expected):
                found.append(f"{state}: {slug} {urlencode(pairs)} limit={limit}\n  {difference(given, expected)}")
        return found


def difference(given: Any, expected: Any) -> str:
    if not isinstance(given, dict):
        return given
    for part in ("from", "to", "totals"):
        if json.dumps(given[part]) != json.dumps(expected[part]):
            return f"{part}: {given[part]} is not {expected[part]}"
    for number, (one, other) in enumerate(zip(given["results"], expected["results"], strict=False)):
        if json.dumps(one) != json.dumps(other):
            return f"row {number}: {one} is not {other} ({len(given['results'])}, {len(expected['results'])} rows)"
    return f"{len(given['results'])} rows are not {len(expected['results'])}"


@pytest.fixture
def fresh(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No buffers, and nothing kept from another log."""
    caches.renew(monkeypatch)


@pytest.mark.parametrize("seed", [1])
def test_it_answers_as_the_oracle_in_every_state(fresh, seed):
    rng = random.Random(seed)
    for slug, zone in HUBS.items():
        Hub.objects.create(slug=slug, timezone=zone)
    hubs = ["acme"] * 4 + ["howe"] * 2 + ["kath"]
    append([random_event(rng, rng.choice(hubs)) for _ in range(900)])
    questions = Questions(rng, {"acme": 150, "howe": 110, "kath": 60})
    assert len(questions) >= 300

    consumer.apply_new()
    wrong = questions.wrong("only buffers")
    seam.swap(event_log(), timezone.now())
    wrong += questions.wrong("frozen buffer", every=6)
    seam.run_now(Run.HOURLY)
    wrong += questions.wrong("hourly batch")
    append([random_event(rng, rng.choice(hubs)) for _ in range(80)])
    seam.run_now(Run.DAILY)
    append([random_event(rng, rng.choice(hubs)) for _ in range(80)])
    consumer.apply_new()
    wrong += questions.wrong("late events in rows and in buffers")
    lose_rows()
    wrong += questions.wrong("no view store", every=6)
    seam.run_now(Run.REBUILD)
    wrong += questions.wrong("rebuild")
    assert not wrong, f"{len(wrong)} answers are wrong:\n" + "\n".join(wrong[:40])
    assert seam.status(timezone.now())["mismatches"] == 0
