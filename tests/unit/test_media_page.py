"""The page of a media: what it shows, of whom, and to whom."""

import csv
import io
import json
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from django.core import management
from django.test import Client
from django.utils import timezone

from events.catalogue import forget
from events.models import Hub
from speed.consumer import apply_new
from tests.caches import renew
from tests.customer import customer_of
from views_layer.links import token_of
from views_layer.models import ShareLink

pytestmark = [pytest.mark.django_db(databases="__all__", transaction=True), pytest.mark.usefixtures("redis_url")]

SPRING = "2026/été 100% <b>?#&"
OTHERS = ("autumn", "winter", "summer")
HEADING = [
    "Page", "Readers", "Part", "Reads", "Mean time", "Median time", "Started here", "Stopped here", "Read again", "Clicks",
    "Clicks per reader",
]  # fmt: skip


def visit(visitor: str, media: str, steps: list[dict], **fields) -> list[dict]:
    """A visit within one minute, half an hour ago, of a document of three pages: a step each second."""
    start = (timezone.now() - timedelta(minutes=30)).replace(second=0)
    common = {"hub": "acme", "visitor": visitor, "visit": visitor, "media": media} | fields
    opened = {"action": "view", "title": f"Title of {media}", "media_kind": "document", "pages": 3}
    return [
        common | step | {"occurred_at": (start + timedelta(seconds=second)).isoformat()}
        for second, step in enumerate([opened, *steps])
    ]


def reads(*pages: int, spent: int = 1000) -> list[dict]:
    return [{"action": "read", "page": page, "duration_ms": spent} for page in pages]


EVENTS = [
    *visit("ann", SPRING, [*reads(1, 2, 1), {"action": "click", "page": 2, "target": "https://shop.example/"}], country="FR"),
    *visit("ben", SPRING, reads(1, 3, spent=4000), country="DE"),
    *visit("cas", SPRING, [], country="FR"),
    *visit("dan", SPRING, [], country="FR"),
]  # fmt: skip


def imported(tmp_path: Path, events: list[dict]) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, events)))
    management.call_command("import_events", str(file))
    apply_new()


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    renew(monkeypatch)
    forget()
    hub = Hub.objects.create(slug="acme", title="Acme", timezone="Europe/Paris")
    imported(tmp_path, EVENTS)
    return hub


@pytest.fixture
def anna(acme: Hub) -> Client:
    return customer_of(acme)


def page(key: str, home: str = "/hubs/acme/") -> str:
    return f"{home}media/{quote(key, safe='')}"


def lines(answer) -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))


def test_the_curve_page_by_page(anna: Client) -> None:
    # Four visitors. Ann: 1, 2, 1, and a click on 2; Ben: 1, 3; the others read nothing.
    assert lines(anna.get(page(SPRING), {"format": "pages"})) == [
        HEADING,
        ["1", "2", "0.5", "3", "3000.0", "3000", "2", "1", "1", "0", "0.0"],
        ["2", "1", "0.25", "1", "1000.0", "1000", "0", "0", "0", "1", "1.0"],
        ["3", "1", "0.25", "1", "4000.0", "4000", "0", "1", "0", "0", "0.0"],
    ]


@pytest.mark.parametrize("query", [{"country": "FR"}, {"hour_of_day": range(24), "country": "FR"}])
def test_the_filters_of_the_page_hold_for_the_turns_too(anna: Client, query: dict) -> None:
    assert lines(anna.get(page(SPRING), {"format": "pages"} | query))[1:] == [
        ["1", "1", "0.3333333333333333", "2", "2000.0", "2000", "1", "1", "1", "0", "0.0"],
        ["2", "1", "0.3333333333333333", "1", "1000.0", "1000", "0", "0", "0", "1", "1.0"],
        ["3", "0", "0.0", "0", "", "", "0", "0", "0", "0", ""],
    ]


def test_three_similar_media_are_compared_with(anna: Client, tmp_path: Path) -> None:
    text = "Not compared: fewer than 3 other media of the same kind and a similar length were visited."
    assert text in anna.get(page(SPRING)).content.decode()
    imported(tmp_path, [event for key in OTHERS for event in visit(f"reader of {key}", key, reads(1, 2))])
    assert "Compared with 3 media of the same kind and a similar length." in anna.get(page(SPRING)).content.decode()
    compared = lines(anna.get(page(SPRING), {"format": "pages"}))
    assert [row[3] for row in compared] == ["Similar media", "1.0", "1.0", "0.0"]


def test_a_video_is_told_by_stretches(anna: Client, acme: Hub) -> None:
    acme.media.update(kind="video")
    told = anna.get(page(SPRING)).content.decode()
    assert "Stretches of 30 s" in told
    assert "Every figure, stretch by stretch" in told
    assert "Pages seen" not in told


@pytest.mark.parametrize(
    ("kind", "has_curve"), [("document", True), ("video", True), ("image", False), ("link", False)]
)
def test_what_has_no_pages_has_no_curve(anna: Client, tmp_path: Path, kind: str, has_curve: bool) -> None:
    at = (timezone.now() - timedelta(minutes=30)).isoformat()
    opened = {"hub": "acme", "action": "view", "visitor": "eve", "media": "shop", "media_kind": kind}
    imported(tmp_path, [opened | {"occurred_at": at}])
    told = anna.get(page("shop")).content.decode()
    assert ('data-metric="visits"' in told, 'id="reading"' in told) == (True, has_curve)


def test_it_says_what_was_removed(anna: Client, acme: Hub) -> None:
    since = timezone.now() - timedelta(minutes=5)
    Hub.objects.update(events_since=since)
    text = anna.get(page(SPRING)).content.decode()
    assert f"Raw events before {since.astimezone(acme.zone):%H:%M} were removed" in text
    assert lines(anna.get(page(SPRING), {"format": "pages"}))[1][5:9] == [""] * 4


def test_the_table_of_media_leads_to_it(anna: Client) -> None:
    text = anna.get("/hubs/acme/consultation/media").content.decode()
    assert f'href="{page(SPRING)}?"' in text
    # Views, visits, visitors, active time, pages, completion (4 pages seen of 4 visitors times 3), part.
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", text)
    assert cells == ["4", "4", "4", "11 s", "3", "33%", "100%"]


def test_the_csv_of_the_table_has_kind_pages_and_completion(anna: Client) -> None:
    assert lines(anna.get("/hubs/acme/consultation/media", {"format": "csv"}))[1] == [
        SPRING, f"Title of {SPRING}", "document", "4", "4", "4", "11000", "3", "0.3333333333333333",
    ]  # fmt: skip


def test_its_tables_stay_with_the_media(anna: Client) -> None:
    text = anna.get(f"/hubs/acme/media-tables/countries/{quote(SPRING, safe='')}").content.decode()
    assert f'href="{page(SPRING)}?country=FR"' in text


@pytest.mark.parametrize("key", ["nothing", "autumn"])
def test_a_media_that_nobody_knows_is_not_found(anna: Client, key: str) -> None:
    assert anna.get(page(key)).status_code == 404


def test_a_link_that_shows_one_media_shows_its_page_alone(client: Client, acme: Hub, tmp_path: Path) -> None:
    imported(tmp_path, [event for key in OTHERS for event in visit(f"reader of {key}", key, reads(1, 2))])
    link = ShareLink.objects.create(hub=acme, name="One", filters={"media": [SPRING], "country": ["FR"]})
    home = f"/s/{token_of(link)}/"
    answers = [client.get(page(key, home)) for key in (SPRING, "autumn")]
    assert [answer.status_code for answer in answers] == [200, 404]
    text = answers[0].content.decode()
    assert ("Of 3 visitors, 33% saw page 1" in text, "Not compared" in text, "/hubs/" in text) == (True, True, False)


def test_weekdays_and_hours_are_coloured(anna: Client) -> None:
    text = anna.get("/hubs/acme/consultation/hours").content.decode()
    assert re.findall(r'<td class="heat-([1-5])" title="[^"]*: (\d+)">', text) == [("5", "4")]
    exported = lines(anna.get("/hubs/acme/consultation/hours", {"format": "csv"}))
    assert (exported[0], len(exported), exported[1][2]) == (["Weekday", "Hour", "Visits"], 2, "4")
