"""The demo: always the same history, believable, and accepted by the normaliser as it stands."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from events.demo.catalogue import CATALOGUE
from events.demo.history import append, history
from events.demo.traffic import Traffic, instant
from events.demo.visits import Fact
from events.models import Hub


@pytest.fixture(scope="module")
def hub() -> Hub:
    return Hub(
        slug="demo",
        title="Maison Lumière",
        timezone="Europe/Paris",
        created_at=datetime(2026, 11, 24, 9, 30, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def facts(hub: Hub) -> list[Fact]:
    return list(history(hub))


def test_the_history_is_the_same_at_every_call(hub: Hub, facts: list[Fact]) -> None:
    assert list(history(hub)) == facts


def test_the_history_is_of_ninety_days_and_in_order(facts: list[Fact]) -> None:
    times = [str(fact["occurred_at"]) for fact in facts]
    assert (times == sorted(times), times[0][:10], times[-1] < "2026-11-24T09:30", 60_000 < len(times) < 100_000) == (
        True,
        "2026-08-26",
        True,
        True,
    )


def test_every_action_and_way_to_arrive_occurs(facts: list[Fact]) -> None:
    actions = Counter(fact["action"] for fact in facts)
    said = {name for fact in facts for name in fact}
    assert (set(actions), said >= {"referrer", "source", "intermediary", "via", "share", "previous", "properties"}) == (
        {"view", "read", "play", "click", "search", "share", "download", "print", "feature"},
        True,
    )


def test_a_video_is_told_by_stretches_of_half_a_minute_and_no_longer_than_it_is(facts: list[Fact]) -> None:
    seconds = {medium.key: medium.seconds for medium in CATALOGUE if medium.seconds}
    watched: dict[tuple, list[Fact]] = {}
    for fact in facts:
        if fact["action"] == "read" and fact.get("media") in seconds:
            watched.setdefault((fact["visit"], fact["media"]), []).append(fact)
    assert {media for _visit, media in watched} == set(seconds)
    for (_visit, media), told in watched.items():
        assert max(fact["page"] for fact in told) <= -(-seconds[media] // 30)
        assert all(0 < fact["duration_ms"] <= 30_000 for fact in told)


def test_recommendations_are_followed_more_often_than_what_is_popular(facts: list[Fact]) -> None:
    """So that the page of the demo has something to tell."""
    targets = Counter(str(fact["target"]).partition(":")[0] for fact in facts if "target" in fact)
    rates = [
        targets["recommendation"] / targets["recommendations"],
        targets["recommendation-holdout"] / targets["recommendations-holdout"],
    ]
    assert targets["recommendations-holdout"] > 350
    assert 0.03 < rates[1] < rates[0] < 0.12


@pytest.mark.django_db(databases=["default", "log"])
def test_the_normaliser_takes_it_once(hub: Hub, facts: list[Fact]) -> None:
    assert [append(facts[:3_000], hub), append(facts[:3_000], hub)] == [(3_000, 0), (0, 3_000)]


def test_live_traffic_is_of_about_one_event_a_second_and_never_ahead_of_time(hub: Hub) -> None:
    now = 1_795_513_000_000
    traffic = Traffic(hub, now)
    sent = [fact for second in range(1_200) for fact in traffic.due_by(now + second * 1_000)]
    assert (
        0.5 <= len(sent) / 1_200 <= 2,
        max(map(instant, sent)) <= now + 1_200_000,
        len({fact["id"] for fact in sent}),
    ) == (
        True,
        True,
        len(sent),
    )
