"""The page of recommendations: what it shows of a small hub, to whom, and as a file."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core import management
from django.test import Client
from django.utils import timezone

from events.models import Hub
from insights.recommendations.followed import Group, Uplift, uplift
from speed.consumer import apply_new
from tests.customer import customer_of
from tests.statements import new_hub
from views_layer.links import token_of
from views_layer.models import ShareLink

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("redis_url")]
PAGE = "/hubs/acme/recommendations?period=7d"


def send(folder: Path, events: list[dict]) -> None:
    """Import events of acme, a second apart, thirty hours ago."""
    start = timezone.now() - timedelta(hours=30)
    file = folder / "events.jsonl"
    common = {"hub": "acme"}
    file.write_text(
        "".join(
            json.dumps(common | event | {"occurred_at": (start + timedelta(seconds=number)).isoformat()}) + "\n"
            for number, event in enumerate(events)
        )
    )
    management.call_command("import_events", str(file))
    apply_new()


def view(visitor: str, media: str) -> dict:
    return {"action": "view", "visitor": visitor, "media": media, "title": f"The {media}"}


def shown(visitor: str, name: str, count: int) -> list[dict]:
    return [{"action": "feature", "visitor": visitor, "media": "a", "target": name}] * count


def click(visitor: str, media: str, target: str) -> dict:
    return {"action": "click", "visitor": visitor, "media": media, "target": target}


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return new_hub(monkeypatch)


@pytest.fixture
def read(acme: Hub, tmp_path: Path) -> Hub:
    """Four read a and b, three c and d, one `rare`; `gone` was followed from a once, and robots follow nothing."""
    events = [view(visitor, media) for visitor in "uvwx" for media in "ab"]
    events += [view(visitor, media) for visitor in "klm" for media in "cd"]
    events += [view("m", "rare"), view("n", "a")]
    events += [click("u", "a", "recommendation:b"), click("u", "a", "recommendation:b")]
    events += [click("v", "a", "recommendation:b"), click("k", "c", "recommendation:d")]
    events += [click("v", "a", "recommendation:gone"), click("v", "a", "https://elsewhere.example/")]
    events += [click("w", "a", "recommendation-holdout:c")]
    events += shown("u", "recommendations", 4) + shown("w", "recommendations-holdout", 2)
    send(tmp_path, events)
    return acme


@pytest.fixture
def customer(acme: Hub) -> Client:
    return customer_of(acme)


def lines(page) -> dict[str, list[tuple[str, str, str, str]]]:
    return {
        title: [(line.label, line.note, line.clicks, line.readers) for line in found]
        for title, _url, found in page.context["lists"]
    }


def test_it_shows_what_goes_with_each_media_and_how_often_it_was_followed(read: Hub, customer: Client) -> None:
    page = customer.get(PAGE)
    found = lines(page)
    assert page.status_code == 200
    assert [*found] == ["The a", "The b", "The c", "The d"], "most read first, and not what one visitor opened"
    assert found["The a"][0] == ("The b", "", "3", "2")
    assert found["The c"][0] == ("The d", "", "1", "1")
    assert {line[:2] for line in found["The a"][1:]} == {("The c", "popular"), ("The d", "popular")}
    assert {line.label for line in page.context["popular"]} == {"The a", "The b", "The c", "The d"}
    assert page.context["lists"][0][2][0].url.startswith("/hubs/acme/media/b?")
    assert page.context["trust"].verdict == "Exact."


def test_it_counts_lists_and_clicks_of_both_groups(read: Hub, customer: Client) -> None:
    groups = customer.get(PAGE).context["groups"]
    assert [(row["shown"], row["followed"], row["rate"]) for row in groups["rows"]] == [
        ("4", "5", "125.0%"),
        ("2", "1", "50.0%"),
    ]
    assert groups["verdict"] == "Too early to compare: each group needs 100 lists shown in this period."


def test_it_compares_the_groups_once_there_are_lists_enough(acme: Hub, customer: Client, tmp_path: Path) -> None:
    events = [view(visitor, media) for visitor in "uvw" for media in "ab"]
    events += shown("u", "recommendations", 200) + shown("v", "recommendations-holdout", 100)
    events += [click("u", "a", "recommendation:b")] * 90 + [click("v", "a", "recommendation-holdout:b")] * 15
    send(tmp_path, events)
    verdict = "Recommendations were followed 200% more often than what is popular."
    assert customer.get(PAGE).context["groups"]["verdict"] == verdict


@pytest.mark.parametrize(
    ("group", "held_out", "expected"),
    [
        (Group(99, 50), Group(1_000, 10), None),
        (Group(1_000, 50), Group(99, 10), None),
        (Group(1_000, 50), Group(100, 0), None),
        (Group(1_000, 400), Group(100, 10), Uplift(3.0, False)),
        (Group(100, 10), Group(100, 8), Uplift(0.25, True)),
    ],
)
def test_groups_are_compared_where_there_is_something_to_compare(group, held_out, expected) -> None:
    assert uplift(group, held_out) == (expected and pytest.approx(expected))


def test_its_table_is_a_file_with_all_that_was_followed(read: Hub, customer: Client) -> None:
    answer = customer.get(f"{PAGE}&format=csv")
    found = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))
    assert answer["Content-Disposition"] == 'attachment; filename="acme-recommendations.csv"'
    assert found[:2] == [
        ["Media", "Title", "Place", "Recommended media", "Title of the recommended media", "Strength", "Clicks", "Readers"],
        ["a", "The a", "1", "b", "The b", "1.0", "3", "2"],
    ]  # fmt: skip
    assert found[-1] == ["a", "The a", "", "gone", "gone", "", "1", "1"]
    assert sum(int(row[6]) for row in found[1:]) == 5


def test_a_search_finds_a_media_and_pages_lead_on(acme: Hub, customer: Client, tmp_path: Path) -> None:
    send(tmp_path, [view(visitor, f"m{number:02}") for visitor in "uvw" for number in range(23)])
    first = customer.get(PAGE)
    assert (len(lines(first)), [*lines(first)][-1]) == (20, "The m19")
    assert [*lines(customer.get(first.context["next_url"]))] == ["The m20", "The m21", "The m22"]
    assert [*lines(customer.get(f"{PAGE}&search=m07"))] == ["The m07"]
    none = customer.get(f"{PAGE}&search=nothing").content.decode()
    assert "No media is found by these words." in none


def test_it_says_how_lists_are_made(read: Hub, customer: Client) -> None:
    model = customer.get(PAGE).context["model"]
    assert (model["name"], model["score"]) == ("neighbours", ""), "one day alone is scored on none"


def test_a_hub_without_an_audience_is_told_so(acme: Hub, customer: Client, tmp_path: Path) -> None:
    assert "No media has readers enough yet" in customer.get(PAGE).content.decode()
    send(tmp_path, [view("u", "a"), view("v", "a")])
    assert "once 3 different visitors" in customer.get(PAGE).content.decode()


def test_it_is_in_french(read: Hub, customer: Client) -> None:
    page = customer.get(f"{PAGE}&lang=fr", headers={"Accept-Language": "fr"}).content.decode()
    assert "Ce qui va avec chaque média" in page
    assert "Trop tôt pour comparer" in page


def test_a_link_that_shows_a_part_has_no_such_page(read: Hub) -> None:
    whole = f"/s/{token_of(ShareLink.objects.create(hub=read, name='all'))}"
    part = f"/s/{token_of(ShareLink.objects.create(hub=read, name='part', filters={'media': ['a']}))}"
    assert Client().get(f"{whole}/recommendations").status_code == 200
    assert Client().get(f"{part}/recommendations").status_code == 404
    assert "recommendations" not in Client().get(f"{part}/consultation").content.decode()


def test_it_refuses_a_period_that_there_is_not(read: Hub, customer: Client) -> None:
    assert customer.get("/hubs/acme/recommendations?period=never").status_code == 400
