"""The list of recommendations for pages of other sites: who has it, what it names, and who is held out."""

import gzip
import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import management
from django.test import Client
from django.utils import timezone

from aggregations.buckets import instant_ms
from events.collector import address_of, user_agent_of
from events.models import Hub
from events.normaliser import Caller, lot, normalise
from events.sent import Sent
from events.served import served
from events.throttle import Throttle
from insights.recommendations import followed
from speed.consumer import apply_new
from tests.statements import new_hub
from views_layer.embed import lists, views
from views_layer.embed.lists import HELD_OUT, RECOMMENDED, Displays, group_of

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("redis_url")]
ADDRESS = "/embed/recommendations"
SOURCE = views.SCRIPT.read_text(encoding="utf-8")
DOCS = (Path(__file__).resolve().parents[2] / "docs" / "recommendations.md").read_text(encoding="utf-8")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = new_hub(monkeypatch)
    hub.embeds_recommendations = True
    hub.save()
    return hub


@pytest.fixture
def read(acme: Hub, tmp_path: Path) -> Hub:
    """Four read a and b, three c and d, two read both c and `rare`; p is most popular by far. `d` has no title."""
    media = {"a": "uvwx", "b": "uvwx", "c": "klm", "d": "klm", "rare": "kl", "p": "123456789"}
    start = timezone.now() - timedelta(hours=30)
    events = [
        {"hub": "acme", "action": "view", "visitor": visitor, "media": key, "media_kind": "document"}
        | ({} if key == "d" else {"title": f"The {key}"})
        | {"occurred_at": (start + timedelta(minutes=minute)).isoformat()}
        for minute, (key, visitors) in enumerate(media.items())
        for visitor in visitors
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    management.call_command("import_events", str(file))
    apply_new()
    return acme


def address_in(group: str) -> str:
    """An address whose browser of no user agent is in that group of acme today."""
    return next(
        address
        for address in (f"203.0.113.{number}" for number in range(1, 255))
        if group_of("acme", timezone.now(), address, "") == group
    )


def asked(group: str = RECOMMENDED, **parameters: str) -> dict[str, Any]:
    answer = Client(REMOTE_ADDR=address_in(group)).get(ADDRESS, {"hub": "acme"} | parameters)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_it_answers_what_goes_with_a_media(read: Hub) -> None:
    assert asked(media="a", limit="1") == {
        "group": "recommended",
        "results": [{"media": "b", "title": "The b", "kind": "document"}],
    }


def test_a_tenth_gets_what_is_popular_instead(read: Hub) -> None:
    answer = asked(HELD_OUT, media="a", limit="1")
    assert answer == {"group": "held_out", "results": [{"media": "p", "title": "The p", "kind": "document"}]}


def test_without_media_everybody_gets_what_is_popular_and_is_in_no_group(read: Hub) -> None:
    answers = [asked(group, limit="1") for group in (RECOMMENDED, HELD_OUT)]
    assert answers == [{"group": None, "results": [{"media": "p", "title": "The p", "kind": "document"}]}] * 2


@pytest.mark.parametrize("group", [RECOMMENDED, HELD_OUT])
@pytest.mark.parametrize("media", ["", "a", "c", "rare", "unheard of"])
def test_it_names_only_media_with_an_audience_and_never_the_one_that_is_read(read: Hub, group: str, media: str) -> None:
    named = {row["media"] for row in asked(group, media=media, limit="20")["results"]}
    assert named == {"a", "b", "c", "d", "p"} - {media}


@pytest.mark.parametrize("group", [RECOMMENDED, HELD_OUT])
def test_beside_a_media_without_an_audience_nobody_is_told_what_its_few_readers_also_read(
    read: Hub, group: str
) -> None:
    assert asked(group, media="rare")["results"] == asked()["results"]


def test_what_has_no_title_has_none(read: Hub) -> None:
    assert asked(media="c", limit="1")["results"] == [{"media": "d", "title": None, "kind": "document"}]


def test_a_hub_without_readers_has_an_empty_list(acme: Hub) -> None:
    assert asked(media="a") == {"group": "recommended", "results": []}


@pytest.mark.parametrize("slug", ["acme", "unknown", "acme\0", "É", "a" * 65])
def test_a_hub_that_has_not_opted_in_is_as_one_that_there_is_not(acme: Hub, client: Client, slug: str) -> None:
    Hub.objects.update(embeds_recommendations=False)
    answer = client.get(ADDRESS, {"hub": slug})
    detail = f"There is no hub {slug!r} whose recommendations may be embedded."
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": {"code": "not_found", "detail": detail, "field": None}},
    )


def test_no_hub_has_opted_in_by_itself() -> None:
    assert Hub.objects.create(slug="new").embeds_recommendations is False


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("", "missing_hub", "hub"),
        ("hub=acme&visitor=n", "unknown_parameter", "visitor"),
        ("hub=acme&period=7d", "unknown_parameter", "period"),
        ("hub=acme&limit=0", "invalid_limit", "limit"),
        ("hub=acme&limit=21", "invalid_limit", "limit"),
        ("hub=acme&limit=many", "invalid_limit", "limit"),
    ],
)
def test_it_refuses_what_it_does_not_take(acme: Hub, client: Client, query: str, code: str, field: str) -> None:
    answer = client.get(f"{ADDRESS}?{query}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == (400, code, field)
    assert answer["Access-Control-Allow-Origin"] == "*"


def test_pages_of_any_origin_may_ask_and_nothing_else(acme: Hub, client: Client) -> None:
    methods = ("get", "head", "options", "post", "put", "patch", "delete")
    answers = {method: getattr(client, method)(f"{ADDRESS}?hub=acme") for method in methods}
    statuses = {method: answer.status_code for method, answer in answers.items()}
    assert statuses == dict.fromkeys(methods, 405) | {"get": 200, "head": 200, "options": 204}
    names = ("Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Credentials")
    said = {tuple(answer.headers.get(name) for name in names) for answer in answers.values()}
    assert said == {("*", "GET, HEAD, OPTIONS", None)}
    assert answers["get"]["Cache-Control"] == "private, max-age=60"


def test_it_sets_no_cookie(acme: Hub, client: Client) -> None:
    for path in (f"{ADDRESS}?hub=acme", f"{ADDRESS}?hub=acme&lang=fr", f"{ADDRESS}.js?lang=fr"):
        assert "Set-Cookie" not in client.get(path).headers
    assert not client.cookies


def test_an_address_that_asks_too_often_is_told_when_to_ask_again(acme: Hub, monkeypatch) -> None:
    monkeypatch.setattr(views, "_addresses", Throttle(0.01, 2, clock=lambda: 0.0))
    far, near = Client(REMOTE_ADDR="203.0.113.9"), Client(REMOTE_ADDR="127.0.0.1")
    answers = [client.get(f"{ADDRESS}?hub=acme") for client in (far, far, far, near, near, near)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200, 200, 200]
    assert (answers[2]["Retry-After"], answers[2]["Access-Control-Allow-Origin"]) == ("100", "*")


ADDRESSES = [f"198.51.{number // 250}.{number % 250}" for number in range(5_000)]


def test_a_tenth_of_browsers_is_held_out() -> None:
    held_out = sum(group_of("acme", NOON, address, BROWSER) == HELD_OUT for address in ADDRESSES)
    assert 430 <= held_out <= 570, "500 of 5,000, within 3.3 standard deviations"


def test_a_browser_stays_in_its_group_all_day_and_is_drawn_anew_the_next() -> None:
    midnight = NOON.replace(hour=0)
    day = [midnight, NOON, midnight + timedelta(days=1) - timedelta(milliseconds=1)]
    groups = [[group_of("acme", at, address, BROWSER) for address in ADDRESSES] for at in day]
    assert groups[0] == groups[1] == groups[2]
    tomorrow = [group_of("acme", NOON + timedelta(days=1), address, BROWSER) for address in ADDRESSES]
    both = sum(pair == (HELD_OUT, HELD_OUT) for pair in zip(groups[0], tomorrow, strict=True))
    assert 25 <= both <= 80, "a hundredth: the days say nothing of each other"


def test_another_hub_draws_for_itself() -> None:
    groups = [tuple(group_of(hub, NOON, address, BROWSER) for hub in ("acme", "other")) for address in ADDRESSES]
    assert 25 <= groups.count((HELD_OUT, HELD_OUT)) <= 80


def test_the_group_is_of_the_visitor_that_the_collector_makes_and_tells_no_number(acme: Hub) -> None:
    """From the same address and user agent, through a hash of its own."""
    agent = f"{BROWSER}\x07" + "x" * 3_000
    for address in ADDRESSES[:12]:
        environ = {"REMOTE_ADDR": address, "HTTP_USER_AGENT": agent}
        caller = Caller({"acme": 0}.get, address=address_of(environ), user_agent=user_agent_of(environ))
        visitor = normalise(Sent(hub="acme", action="view"), caller, instant_ms(timezone.now())).visitor_key
        group = Client(**environ).get(ADDRESS, {"hub": "acme", "media": "a"}).json()["group"]
        assert group == (RECOMMENDED if lot(visitor, b"recommendations") % 10 else HELD_OUT)
        assert len({lot(visitor, b"recommendations"), lot(visitor, b"another"), int.from_bytes(visitor)}) == 3


class Clock:
    """A clock that stands."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def counted() -> tuple[list[int], Callable]:
    """How often each hub's display was made, as a list of keys, and what makes them."""
    made: list[int] = []

    def make(hub: Hub) -> Any:
        made.append(hub.pk)
        return f"{hub.pk}, {len(made)}"

    return made, make


def test_a_display_is_made_once_in_some_seconds() -> None:
    clock, (_made, make) = Clock(), counted()
    displays = Displays(make, clock)
    hubs = [Hub(pk=1), Hub(pk=2)]
    found = [displays.of(hub) for hub in (*hubs, *hubs)]
    clock.at = lists.KEPT_S
    assert [*found, displays.of(hubs[0])] == ["1, 1", "2, 2", "1, 1", "2, 2", "1, 3"]


def test_only_the_displays_asked_last_are_kept() -> None:
    made, make = counted()
    displays = Displays(make, Clock())
    for key in (1, *range(2, lists.DISPLAYS + 1), 1, lists.DISPLAYS + 1, 1, 2):
        displays.of(Hub(pk=key))
    assert made == [*range(1, lists.DISPLAYS + 2), 2]


def test_while_a_display_is_renewed_the_one_before_is_shown() -> None:
    clock, begun, may_end = Clock(), threading.Event(), threading.Event()
    made: list[str] = []

    def make(hub: Hub) -> Any:
        if made:
            begun.set()
            assert may_end.wait(10)
        made.append("new" if made else "old")
        return made[-1]

    displays = Displays(make, clock)
    displays.of(Hub(pk=1))
    clock.at = lists.KEPT_S
    renewing = threading.Thread(target=displays.of, args=(Hub(pk=1),))
    renewing.start()
    assert begun.wait(10)
    found = displays.of(Hub(pk=1))
    may_end.set()
    renewing.join()
    assert (found, displays.of(Hub(pk=1)), made) == ("old", "new", ["old", "new"])


def test_while_the_first_display_is_made_others_are_told_to_come_again(acme: Hub, client: Client, monkeypatch) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def make(hub: Hub) -> Any:
        begun.set()
        assert may_end.wait(10)
        return "made"

    displays = Displays(make)
    monkeypatch.setattr(lists, "_displays", displays)
    making = threading.Thread(target=displays.of, args=(acme,))
    making.start()
    assert begun.wait(10)
    answer = client.get(ADDRESS, {"hub": "acme"})
    may_end.set()
    making.join()
    told = (answer.status_code, answer["Retry-After"], answer.json()["error"]["code"], displays.of(acme))
    assert told == (503, "5", "not_ready", "made")


def test_a_display_that_cannot_be_made_is_tried_again() -> None:
    outcomes = [OSError("away"), "there"]

    def make(hub: Hub) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    displays = Displays(make, Clock())
    with pytest.raises(OSError, match="away"):
        displays.of(Hub(pk=1))
    assert displays.of(Hub(pk=1)) == "there"


def test_the_script_is_small_and_served_as_the_tracker_is() -> None:
    assert len(served(views.SCRIPT).zipped) <= 2_048
    client = Client(headers={"Accept-Encoding": "gzip"})
    answer, tracker = client.get(f"{ADDRESS}.js"), client.get("/tracker.js")
    same = ("Content-Type", "Content-Encoding", "Cache-Control", "Vary", "Access-Control-Allow-Origin")
    assert [answer[name] for name in same] == [tracker[name] for name in same]
    assert gzip.decompress(answer.content) == served(views.SCRIPT).plain
    again = client.get(f"{ADDRESS}.js", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_script_uses_nothing_that_keeps_or_injects() -> None:
    forbidden = r"\beval\b|new Function|innerHTML|insertAdjacent|cookie|localStorage|sessionStorage|indexedDB|\.style\b"
    assert re.findall(forbidden, SOURCE) == []


def test_the_script_and_its_guide_say_the_names_that_are_counted() -> None:
    names = {value for name, value in vars(followed).items() if name.startswith(("SHOWN", "FOLLOWED"))}
    assert len(names) == 6
    assert set(re.findall(r'"([a-z-]+:?)"', SOURCE.partition("NAMES = {")[2].partition("};")[0])) == names
    assert [name for name in names if f"`{name}" not in DOCS and f'"{name}' not in DOCS] == []


def test_the_guide_names_every_attribute() -> None:
    names = SOURCE.partition("const { ")[2].partition(" } = script.dataset")[0].split(", ")
    assert [name for name in names if f"data-{name}" not in DOCS] == []
    assert len(names) == 6
