"""Journeys of readers: `GET /api/journeys`, the pages of the admin and the command, before and after publications."""

import io
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.http import QueryDict
from django.test import Client
from django.utils import timezone
from django.utils.http import urlencode

from batch.models import Learnt, Run
from events import catalogue
from events.models import Hub
from speed import consumer
from tests.api.test_stats_oracle import append, fresh  # noqa: F401 (a fixture)
from tests.plain_journeys import plain
from views_layer import seam
from views_layer.journeys import journeys

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

ROBOT = "Googlebot/2.1 (+http://www.google.com/bot.html)"
DAY = "from=2024-06-11&to=2024-06-12"


def sent(visitor: str, minute: float, action: str = "view", media: str | None = None, **more: Any) -> dict[str, Any]:
    at = datetime(2024, 6, 11, 10, tzinfo=UTC) + timedelta(minutes=minute)
    event = {"hub": "acme", "visitor": visitor, "occurred_at": at.isoformat(), "action": action, **more}
    return event if media is None else event | {"media": media}


EVENTS = [
    sent("ann", 0),
    sent("ann", 1, media="a"),
    sent("ann", 2, media="a"),
    sent("ann", 3, "feature", target="zoom"),
    sent("ann", 4, media="a"),
    sent("bob", 5, media="b"),
    sent("bob", 6, media="a"),
    sent("bob", 7, "share"),
    sent("crawler", 8, media="a", user_agent=ROBOT),
    sent("eve", 9, media="a", hub="other"),
    sent("eve", 10, media="z", hub="other"),
]


@pytest.fixture
def client(fresh) -> Client:  # noqa: F811
    for slug in ("acme", "other", "silent"):
        Hub.objects.create(slug=slug)
    catalogue.forget()
    append(EVENTS)
    consumer.apply_new()
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def rows(answer: dict[str, Any]) -> list[tuple]:
    return [(row["step"], row["probability"], row["visits"]) for row in answer["next"]]


NO_SCORE = {"top1": None, "top3": None, "log_loss": None}
TOO_FEW = "There are too few visits to hold some out and tell how well the rest predict them."


@pytest.mark.parametrize("kind", [None, Run.HOURLY, Run.DAILY])
def test_it_tells_what_follows_a_step(client: Client, kind: str | None) -> None:
    if kind:
        seam.run_now(kind)
    answer = client.get("/api/journeys?hub=acme&after=media:a").json()
    times = [datetime.fromisoformat(answer["meta"].pop(name)) for name in ("as_of", "trained_until")]
    assert all(abs((timezone.now() - at).total_seconds()) < 60 for at in times)
    assert (answer["meta"].pop("batch_until") is None) == (kind is None)
    assert answer == {
        "next": [
            {"step": step, "probability": 1 / 3, "visits": 1, "predicted": None}
            for step in ("exit", "feature:zoom", "share")
        ],
        "score": NO_SCORE | {"popularity": NO_SCORE},
        "meta": {
            "hubs": 1,
            "visits": 2,
            "exact": True,
            "provisional": True,
            "source": "learnt+raw",
            "warnings": [],
            "total_rows": 3,
            "rest": {"steps": 0, "probability": 0},
            "refused": TOO_FEW,
        },
    }


ASKED = {
    "hub=acme": [
        ("media:a", 3 / 9, 2), ("exit", 2 / 9, 2), ("feature:zoom", 1 / 9, 1), ("media:b", 1 / 9, 1), ("share", 1 / 9, 1),
        ("view", 1 / 9, 1),
    ],
    "hub=acme&after=view&after=media:a": [("feature:zoom", 1.0, 1)],
    "hub=acme&after=share": [("exit", 1.0, 1)],
    "hub=silent": [],
    "after=media:a": [("exit", 1 / 4, 1), ("feature:zoom", 1 / 4, 1), ("media:z", 1 / 4, 1), ("share", 1 / 4, 1)],
    f"hub=acme&after=media:a&{DAY}&robots=only": [("exit", 1.0, 1)],
    "hub=acme&after=media:a&robots=include": [("exit", 2 / 4, 2), ("feature:zoom", 1 / 4, 1), ("share", 1 / 4, 1)],
    "hub=acme&after=media:a&from=2024-06-11T10:03:00Z": [("exit", 1 / 2, 1), ("share", 1 / 2, 1)],
    "hub=acme&period=today": [],
}  # fmt: skip


def test_contexts_ranges_robots_and_hubs(client: Client) -> None:
    found = {query: rows(client.get(f"/api/journeys?{query}").json()) for query in ASKED}
    assert found == ASKED


def test_what_a_limit_leaves_out_is_told(client: Client) -> None:
    answer = client.get("/api/journeys?hub=acme&limit=2").json()
    rest = answer["meta"]["rest"]
    assert (len(answer["next"]), answer["meta"]["total_rows"], rest["steps"]) == (2, 6, 4)
    assert sum(row["probability"] for row in answer["next"]) + rest["probability"] == pytest.approx(1)


WRONG = {
    "hub=nowhere": (404, "not_found", None),
    "after=a&after=b&after=c": (400, "invalid_after", "after"),
    "after=": (400, "invalid_after", "after"),
    "limit=0": (400, "invalid_limit", "limit"),
    "period=never": (400, "invalid_period", "period"),
    "robots=some": (400, "invalid_robots", "robots"),
    "media=a": (400, "unknown_parameter", "media"),
}


def test_a_question_that_cannot_be_answered_is_named(client: Client) -> None:
    answers = {query: client.get(f"/api/journeys?{query}") for query in WRONG}
    found = {
        query: (answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["field"])
        for query, answer in answers.items()
    }
    assert found == WRONG


def test_it_is_for_staff(client: Client) -> None:
    ann = Client()
    ann.force_login(User.objects.create_user("ann"))
    assert [asker.get("/api/journeys").status_code for asker in (Client(), ann)] == [401, 403]


def test_late_events_and_events_since_are_in_it_whatever_was_published(client: Client) -> None:
    """Against the second opinion, on a hub that a daily run has learnt, with late events of visits it knows."""
    dice = random.Random(5)
    events = [
        sent(f"v{dice.randrange(60)}", dice.randrange(3000), *dice.choice([("view", "a"), ("view", "b"), ("share",), ("view", "c")]))
        for _ in range(500)
    ]  # fmt: skip
    kept: list[dict[str, Any]] = list(EVENTS)
    ran = iter((Run.DAILY, Run.HOURLY, Run.HOURLY, None, None))
    learnt = set()
    for first in (0, 400, 430, 460, 480):
        part = events[first : {0: 400, 400: 430, 430: 460, 460: 480, 480: 500}[first]]
        append(part)
        consumer.apply_new()
        kept += part
        if kind := next(ran):
            seam.run_now(kind)
        for after in ([], ["media:a"], ["media:b", "share"]):
            query = urlencode({"hub": "acme", "after": after, "limit": 10_000}, doseq=True)
            whole = rows(client.get(f"/api/journeys?{query}").json())
            counted = rows(client.get(f"/api/journeys?{query}&from=2020-01-01").json())
            assert whole == counted == second_opinion(after)
        learnt |= set(Learnt.objects.filter(hub="acme").values_list("epoch", flat=True))
    assert len(learnt) <= 2


def second_opinion(after: list[str]) -> list[tuple]:
    from events.log import event_log

    events = [
        {"visit": e.visit, "at": e.occurred_at, "id": e.id, "action": e.action, "media": e.media, "target": e.target}
        for chunk in event_log().read({})
        for e in chunk.events
        if e.hub == "acme" and not e.is_bot
    ]
    found = plain(events, after, int(timezone.now().timestamp() * 1000))
    return [(row["step"], row["probability"], row["visits"]) for row in found]


def test_a_visit_that_still_runs_has_no_exit_until_it_has_ended(client: Client) -> None:
    append([sent("late", 0, media="n")])
    consumer.apply_new()
    seam.run_now(Run.DAILY)
    question = QueryDict("hub=acme&after=media:n")
    began_at = datetime(2024, 6, 11, 10, tzinfo=UTC)
    found = [rows(journeys(question, began_at + timedelta(minutes=minutes))) for minutes in (29, 30)]
    assert found == [[], [("exit", 1.0, 1)]]


def walkers(count: int) -> list[dict[str, Any]]:
    """Readers who mostly go from a media to the next one."""
    dice = random.Random(2)
    found = []
    for number in range(count):
        place = dice.randrange(6)
        for step in range(dice.randrange(2, 7)):
            found.append(sent(f"w{number}", number + step / 10, media=f"m{place}"))
            place = (place + 1) % 6 if dice.random() < 0.8 else dice.randrange(6)
    return found


@pytest.fixture
def walked(client: Client) -> Client:
    append(walkers(250))
    consumer.apply_new()
    seam.run_now(Run.DAILY)
    return client


def test_a_prediction_that_beats_popularity_is_given_with_its_score(walked: Client) -> None:
    answer = walked.get("/api/journeys?hub=acme&after=media:m1&after=media:m2").json()
    assert answer["meta"]["refused"] is None
    assert answer["score"].keys() == {"top1", "top3", "log_loss", "popularity"}
    assert answer["score"]["log_loss"] < answer["score"]["popularity"]["log_loss"]
    assert (answer["next"][0]["step"], answer["next"][0]["predicted"] > 0.4) == ("media:m3", True)
    assert 0 < sum(row["predicted"] for row in answer["next"]) <= 1
    together = walked.get("/api/journeys?after=media:m1&after=media:m2").json()
    assert together["score"] == answer["score"]
    assert together["next"] == answer["next"]


def test_the_command_prints_the_scores(walked: Client) -> None:
    printed = io.StringIO()
    call_command("evaluate", "journeys", "acme", stdout=printed)
    found = json.loads(printed.getvalue())
    score = walked.get("/api/journeys?hub=acme").json()["score"]
    assert (found["hub"], found["visits"], found["refused"]) == ("acme", {"train": 202, "test": 50}, None)
    assert {name: found["model"][name] for name in ("top1", "top3", "log_loss")} == {
        name: score[name] for name in ("top1", "top3", "log_loss")
    }
    assert found["better_than"]["popularity"]["log_loss"] > 0
    with pytest.raises(CommandError, match="There is no hub 'nowhere'"):
        call_command("evaluate", "journeys", "nowhere")


def test_the_pages_show_it(walked: Client) -> None:
    home = walked.get("/admin/journeys/?hub=acme&period=all").content.decode()
    assert "media:m1" in home
    assert "feature:zoom" in home
    step = walked.get("/admin/journeys/?hub=acme&period=all&after=media:m1&after=media:m2").content.decode()
    assert "media:m3" in step
    assert [walked.get(f"/admin/journeys/?{query}").status_code for query in ("period=never", "hub=nowhere")] == [
        400,
        404,
    ]


def test_a_name_that_is_a_script_is_shown_as_text(client: Client) -> None:
    append([sent("eve", 30, media="<script>alert(1)</script>")])
    consumer.apply_new()
    page = client.get("/admin/journeys/?hub=acme&period=all").content.decode()
    assert ("<script>alert" in page, "&lt;script&gt;alert" in page) == (False, True)


def test_a_refused_prediction_says_so_on_the_page(client: Client) -> None:
    page = client.get("/admin/journeys/?hub=acme&period=all&after=media:a").content.decode()
    assert TOO_FEW in page
