"""Dissemination and retribution over REST."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.core import management
from django.test import Client
from django.utils import timezone

from events.catalogue import forget
from events.models import ApiKey, Hub
from insights.dissemination import LEVELS_AT_MOST
from speed.consumer import apply_new
from tests.caches import renew

pytestmark = [pytest.mark.django_db(databases="__all__", transaction=True), pytest.mark.usefixtures("redis_url")]


def sent(start: datetime) -> list[dict]:
    """A reader who comes by a kiosk shares; another arrives by that share a day later, shares on, and downloads."""
    return [
        event | {"hub": "acme", "media": "cat-1", "occurred_at": (start + timedelta(hours=hours)).isoformat()}
        for hours, event in (
            (0, {"visitor": "a", "action": "view", "intermediary": "kiosk"}),
            (0.1, {"visitor": "a", "action": "share", "share": "s1", "network": "linkedin"}),
            (24, {"visitor": "b", "action": "view", "via": "s1", "intermediary": "mail"}),
            (24.1, {"visitor": "b", "action": "share", "share": "s2", "via": "s1", "network": "x"}),
            (24.2, {"visitor": "b", "action": "download"}),
            (24.3, {"visitor": "robot", "action": "download", "user_agent": "Googlebot/2.1 (+http://www.google.com/bot.html)"}),
        )
    ]  # fmt: skip


@pytest.fixture(params=["buffers", "batch"])
def reader(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client of a hub whose last day is in the buffers alone, or published."""
    renew(monkeypatch)
    forget()
    hub = Hub.objects.create(slug="acme")
    events = sent(timezone.now() - timedelta(hours=30))
    for part in (events[:2], events[2:]):
        file = tmp_path / "events.jsonl"
        file.write_text("\n".join(map(json.dumps, part)))
        management.call_command("import_events", str(file))
        if part is not events[2:] and (request.param == "batch" or len(part) == 2):
            management.call_command("run_batch")
    apply_new()
    if request.param == "batch":
        management.call_command("run_batch")
    return Client(headers={"Authorization": f"Bearer {ApiKey.issue(hub, ApiKey.READ)}"})


def test_it_tells_how_a_media_spread(reader: Client) -> None:
    answer = reader.get("/api/hubs/acme/dissemination?media=cat-1").json()
    numbers = ("shares", "depth", "breadth", "structural_virality", "arrivals", "reach", "reproduction")
    assert [answer[name] for name in numbers] == [2, 2, 1, 4 / 3, 1, 1, 0.5]
    assert answer["top"][0] == {"share": "s1", "network": "linkedin", "readers": 1}
    assert (answer["meta"]["exact"], answer["meta"]["warnings"]) == (True, [])


def test_only_events_of_the_period_count_also_as_parents(reader: Client) -> None:
    start = (timezone.now() - timedelta(hours=12)).isoformat()
    answer = reader.get("/api/hubs/acme/dissemination", {"media": "cat-1", "from": start}).json()
    assert (answer["shares"], answer["reproduction"], answer["arrivals"]) == (1, 0.0, 1)


def test_a_chain_of_any_length_is_answered(reader: Client, tmp_path: Path) -> None:
    chain = [
        {
            "hub": "acme",
            "media": "deep",
            "action": "share",
            "share": f"s{at:04}",
            "via": f"s{at - 1:04}",
            "visitor": "a",
        }
        | {"occurred_at": (timezone.now() - timedelta(seconds=1_000 - at)).isoformat()}
        for at in range(1_000)
    ]
    file = tmp_path / "chain.jsonl"
    file.write_text("\n".join(map(json.dumps, chain)))
    management.call_command("import_events", str(file))
    apply_new()
    answer = reader.get("/api/hubs/acme/dissemination?media=deep").json()
    levels, node = 0, answer["tree"]
    while node["children"]:
        levels, [node] = levels + 1, node["children"]
    assert (answer["depth"], len(answer["top"]), levels) == (1_000, 1_000, LEVELS_AT_MOST)


def test_another_media_has_no_shares(reader: Client) -> None:
    assert reader.get("/api/hubs/acme/dissemination?media=cat-2").json()["shares"] == 0


def test_it_credits_intermediaries_without_robots(reader: Client) -> None:
    answer = reader.get("/api/hubs/acme/retribution?goal=download&model=linear").json()
    del answer["meta"]
    assert answer == {
        "goal": "download",
        "model": "linear",
        "total": 1,
        "credits": [{"intermediary": "mail", "credit": 1.0}],
    }


def test_robots_may_be_included(reader: Client) -> None:
    answer = reader.get("/api/hubs/acme/retribution?goal=download&robots=include").json()
    assert (answer["total"], {row["intermediary"] for row in answer["credits"]}) == (2, {"mail", None})


@pytest.mark.parametrize(
    ("path", "code", "field"),
    [
        ("retribution?model=best", "invalid_model", "model"),
        ("retribution?goal=Visits", "invalid_goal", "goal"),
        ("retribution?media=cat-1", "unknown_parameter", "media"),
        ("dissemination?limit=0", "invalid_limit", "limit"),
        ("dissemination?period=never", "invalid_period", "period"),
        ("dissemination?robots=some", "invalid_robots", "robots"),
    ],
)
def test_it_refuses_what_cannot_be_answered(client: Client, path: str, code: str, field: str) -> None:
    hub = Hub.objects.create(slug="acme")
    key = ApiKey.issue(hub, ApiKey.READ)
    answer = client.get(f"/api/hubs/acme/{path}", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["field"]) == (400, code, field)
