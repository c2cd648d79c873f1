"""Recommendations over REST: what is kept, with what the visitor has read up to this moment."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core import management
from django.test import Client
from django.utils import timezone

from events.catalogue import forget
from events.models import ApiKey, Hub
from speed.consumer import apply_new
from tests.caches import renew

pytestmark = [pytest.mark.django_db(databases="__all__", transaction=True), pytest.mark.usefixtures("redis_url")]
ADDRESS = "/api/hubs/acme/recommendations"


def opened(visitor: str, *media: str, hours: float = 30, **more: str) -> list[dict]:
    """A visitor opens some media, one an hour from so many hours ago."""
    start = timezone.now() - timedelta(hours=hours)
    return [
        {"hub": "acme", "action": "view", "visitor": visitor, "media": name}
        | {"occurred_at": (start + timedelta(minutes=number)).isoformat()}
        | more
        for number, name in enumerate(media)
    ]


def send(tmp_path: Path, events: list[dict]) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, events)))
    management.call_command("import_events", str(file))
    apply_new()


@pytest.fixture(params=["buffers", "batch"])
def reader(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A hub in which `a` and `b` go together, and `c` and `d`; `rare` has one reader; a robot opens what nobody does."""
    renew(monkeypatch)
    forget()
    hub = Hub.objects.create(slug="acme")
    events = [event for name in "uvwx" for event in opened(name, "a", "b")]
    events += [event for name in "klm" for event in opened(name, "c", "d")]
    events += opened("m", "rare") + opened("n", "a")
    for robot in "pqr":
        events += opened(robot, "a", "robots", user_agent="Googlebot/2.1 (+http://www.google.com/bot.html)")
    send(tmp_path, events)
    if request.param == "batch":
        management.call_command("run_batch", "--daily")
    return Client(headers={"Authorization": f"Bearer {ApiKey.issue(hub, ApiKey.READ)}"})


def named(client: Client, **asked: str) -> list[tuple[str, str | None]]:
    return [(row["media"], row["because"]) for row in client.get(ADDRESS, asked).json()["results"]]


def test_readers_of_a_media_also_read(reader: Client) -> None:
    answer = reader.get(ADDRESS, {"media": "a", "limit": "1"}).json()
    assert answer["results"] == [{"media": "b", "score": 1.0, "because": "a"}]
    assert set(answer) == {"results", "model", "trained_until", "meta"}
    assert (answer["meta"]["exact"], answer["meta"]["warnings"]) == (True, [])


def test_a_visitor_gets_what_goes_with_what_he_read(reader: Client) -> None:
    assert named(reader, visitor="n")[0] == ("b", "a")


def test_never_what_the_visitor_has_read_up_to_this_moment(reader: Client, tmp_path: Path) -> None:
    send(tmp_path, opened("n", "b", hours=0.1))
    assert {media for media, _ in named(reader, visitor="n")} == {"c", "d"}


@pytest.mark.parametrize("asked", [{}, {"visitor": "nobody"}, {"media": "unheard of"}])
def test_whoever_is_new_gets_what_is_popular(reader: Client, asked: dict[str, str]) -> None:
    assert sorted(named(reader, **asked)) == [("a", None), ("b", None), ("c", None), ("d", None)]


def test_a_media_that_is_new_today_is_named_once_enough_have_opened_it(reader: Client, tmp_path: Path) -> None:
    send(tmp_path, [event for name in "uv" for event in opened(name, "today", hours=0.2)])
    assert "today" not in dict(named(reader))
    send(tmp_path, opened("w", "today", hours=0.1))
    assert "today" in dict(named(reader))


def test_a_range_and_robots_are_learnt_on_the_spot(reader: Client) -> None:
    assert "robots" in dict(named(reader, robots="include"))
    assert named(reader, **{"from": (timezone.now() - timedelta(hours=2)).isoformat()}) == []


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("media=a&visitor=n", "invalid_visitor", "visitor"),
        ("limit=101", "invalid_limit", "limit"),
        ("period=never", "invalid_period", "period"),
        ("robots=some", "invalid_robots", "robots"),
        ("goal=visits", "unknown_parameter", "goal"),
    ],
)
def test_it_refuses_what_cannot_be_answered(client: Client, query: str, code: str, field: str) -> None:
    key = ApiKey.issue(Hub.objects.create(slug="acme"), ApiKey.READ)
    answer = client.get(f"{ADDRESS}?{query}", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["field"]) == (400, code, field)
