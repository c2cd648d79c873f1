"""Used features of all hubs: `GET /api/features` and the page of the admin, from one function."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from batch.models import Run
from events import catalogue
from events.models import Hub
from speed import consumer
from tests.api.test_stats_oracle import append, fresh  # noqa: F401 (a fixture)
from views_layer import seam
from views_layer.features import features

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

DAY = "from=2024-06-11&to=2024-06-12"
ROBOT = "Googlebot/2.1 (+http://www.google.com/bot.html)"


def used(hub: str, visitor: str, day: int, target: str | None = "zoom", **more: Any) -> dict[str, Any]:
    event = {"hub": hub, "action": "feature", "visitor": visitor, "occurred_at": f"2024-06-{day:02}T10:00:00Z", **more}
    return event if target is None else event | {"target": target}


EVENTS = [
    used("acme", "ann", 11),
    used("acme", "ann", 11),
    used("acme", "bob", 11),
    used("other", "ann", 11),
    used("other", "eve", 11, "print-view"),
    used("acme", "ann", 11, None),
    used("acme", "crawler", 11, user_agent=ROBOT),
    used("acme", "ann", 10),
    used("acme", "ann", 10),
    used("acme", "ann", 10, "bookmark"),
    used("other", "eve", 9, "forgotten"),
    used("acme", "ann", 11, None) | {"action": "view"},
]


@pytest.fixture
def client(fresh) -> Client:  # noqa: F811
    for slug in ("acme", "other", "silent"):
        Hub.objects.create(slug=slug, timezone="Pacific/Auckland")
    catalogue.forget()
    append(EVENTS)
    consumer.apply_new()
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def row(by: str, name: str | None, now: tuple, before: tuple, trend: float | None, **hubs: int) -> dict[str, Any]:
    counted = ("events", "visits", "visitors")
    return {
        by: name,
        **dict(zip(counted, now, strict=True)),
        "trend": trend,
        "previous": dict(zip(counted, before, strict=True)),
        "hubs": [{"hub": hub, "events": events} for hub, events in hubs.items()],
    }


@pytest.mark.parametrize("is_published", [False, True])
def test_it_sums_every_feature_and_action_over_all_hubs(client: Client, is_published: bool) -> None:
    if is_published:
        seam.run_now(Run.HOURLY)
    answer = client.get(f"/api/features?{DAY}").json()
    as_of = datetime.fromisoformat(answer["meta"].pop("as_of"))
    assert abs((timezone.now() - as_of).total_seconds()) < 60
    assert answer == {
        "query": {
            "from": "2024-06-11T00:00:00Z",
            "to": "2024-06-12T00:00:00Z",
            "timezone": "UTC",
            "robots": "exclude",
            "order": "-events",
        },
        "results": [
            row("feature", "zoom", (4, 3, 3), (2, 1, 1), 1.0, acme=3, other=1),
            row("feature", "print-view", (1, 1, 1), (0, 0, 0), None, other=1),
            row("feature", None, (1, 1, 1), (0, 0, 0), None, acme=1),
            row("feature", "bookmark", (0, 0, 0), (1, 1, 1), -1.0),
        ],
        "actions": [
            row("action", "feature", (6, 4, 4), (3, 1, 1), 1.0, acme=4, other=2),
            row("action", "view", (1, 1, 1), (0, 0, 0), None, acme=1),
        ],
        "meta": {"exact": True, "hubs": 3, "warnings": []},
    }


ORDERED = {
    "events": ["bookmark", "print-view", None, "zoom"],
    "-visitors": ["zoom", "print-view", None, "bookmark"],
    "trend": ["bookmark", "zoom", "print-view", None],
    "-trend": ["zoom", "bookmark", "print-view", None],
    "name": ["bookmark", "print-view", "zoom", None],
    "-name": ["zoom", "print-view", "bookmark", None],
}


def test_the_order_is_the_one_asked_for(client: Client) -> None:
    found = {order: client.get(f"/api/features?{DAY}&order={order}").json() for order in ORDERED}
    names = {answer["query"]["order"]: [row["feature"] for row in answer["results"]] for answer in found.values()}
    assert names == ORDERED


def test_all_has_nothing_before_it(client: Client) -> None:
    found = client.get("/api/features?period=all&order=name&robots=include").json()
    assert [(entry["feature"], entry["events"], entry["trend"], entry["previous"]) for entry in found["results"]] == [
        ("bookmark", 1, None, None),
        ("forgotten", 1, None, None),
        ("print-view", 1, None, None),
        ("zoom", 7, None, None),
        (None, 1, None, None),
    ]


def test_a_running_period_is_compared_with_as_much_of_the_one_before(client: Client) -> None:
    append(
        [
            used("acme", "ann", day, "clock", occurred_at=f"2024-06-{day}T{hour}:30:00Z")
            for day in (11, 12)
            for hour in (11, 13)
        ]
    )
    consumer.apply_new()
    found = features(QueryDict("period=today"), datetime(2024, 6, 12, 12, tzinfo=UTC))
    clock = next(entry for entry in found["results"] if entry["feature"] == "clock")
    # Elapsed are 12 hours: of 12 June up to noon, against those before midnight.
    assert (found["query"]["from"], clock["previous"]["events"]) == ("2024-06-12T00:00:00Z", 1)


WRONG = {
    "period=never": ("invalid_period", "period"),
    "period=7d&from=2024-06-11": ("invalid_period", "period"),
    "to=2024-06-11": ("missing_from", "from"),
    "from=x": ("invalid_from", "from"),
    "timezone=Mars": ("invalid_timezone", "timezone"),
    "robots=some": ("invalid_robots", "robots"),
    "order=-shares": ("invalid_order", "order"),
    "hub=acme": ("unknown_parameter", "hub"),
}


def test_a_question_that_cannot_be_answered_is_named(client: Client) -> None:
    answers = {query: client.get(f"/api/features?{query}") for query in WRONG}
    errors = {query: answer.json()["error"] for query, answer in answers.items()}
    assert {query: (error["code"], error["field"]) for query, error in errors.items()} == WRONG
    pages = [client.get(f"/admin/features/?{query}").status_code for query in WRONG]
    assert {*pages, *(answer.status_code for answer in answers.values())} == {400}


def test_a_hub_that_keeps_no_numbers_of_the_range_is_left_out_and_named(client: Client) -> None:
    Hub.objects.filter(slug="other").update(rows_since=datetime(2024, 6, 20, tzinfo=UTC))
    found = client.get(f"/api/features?{DAY}").json()
    assert [(entry["feature"], entry["events"]) for entry in found["results"]] == [
        ("zoom", 3),
        (None, 1),
        ("bookmark", 0),
    ]
    assert [warning.partition(":")[0] for warning in found["meta"]["warnings"]] == ["other"]


def test_it_is_for_staff(client: Client) -> None:
    ann = Client()
    ann.force_login(User.objects.create_user("ann"))
    answers = [asker.get("/api/features") for asker in (Client(), ann)]
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [
        (401, "not_authenticated"),
        (403, "staff_only"),
    ]


def test_the_page_shows_the_same(client: Client) -> None:
    page = client.get(f"/admin/features/?{DAY}&order=events").content.decode()
    rows = [page.index(name) for name in (">bookmark<", ">print-view<", ">Not named<", ">zoom<")]
    assert rows == sorted(rows)
    assert ["100% <span" in page, "up from 2<" in page, "acme, other" in page, "none now" in page] == [True] * 4


def test_a_name_that_is_a_script_is_shown_as_text(client: Client) -> None:
    append([used("acme", "ann", 11, "<script>alert(1)</script>")])
    consumer.apply_new()
    page = client.get(f"/admin/features/?{DAY}").content.decode()
    assert ("<script>alert" in page, "&lt;script&gt;alert" in page) == (False, True)
