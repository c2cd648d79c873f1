"""The pages of dissemination and retribution: what they show, to whom, and as files."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core import management
from django.test import Client

from events.models import Hub
from speed.consumer import apply_new
from tests.customer import customer_of
from tests.statements import downloads, new_hub, rate, send
from views_layer.links import token_of
from views_layer.models import ShareLink
from views_layer.statements import issue

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("redis_url")]
NOW = datetime(2026, 1, 2, 9, tzinfo=UTC)
SPREAD = "/hubs/acme/dissemination?period=all"
CREDITS = "/hubs/acme/retribution?period=all&goal=download"


def shares(start: datetime) -> list[dict]:
    """The media → a → b → c, and the media → 30 more; two readers came by a, one of them shared on by b."""
    chain = [("a", None, "r1"), ("b", "a", "r2"), ("c", "b", "r3"), *((f"x{n:02}", None, "r4") for n in range(30))]
    events = [
        {"action": "share", "share": token, "visitor": visitor, "network": "link" if token == "a" else "x"}
        | ({"via": via} if via else {})
        for token, via, visitor in chain
    ]
    events.append({"action": "view", "via": "a", "visitor": "r5"})
    return [
        event | {"hub": "acme", "media": "cat-1", "occurred_at": (start + timedelta(minutes=minute)).isoformat()}
        for minute, event in enumerate(events)
    ]


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = new_hub(monkeypatch)
    file = tmp_path / "shares.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in shares(datetime(2025, 10, 3, 9, tzinfo=UTC))))
    management.call_command("import_events", str(file))
    send(tmp_path, *downloads("2025-10-05", "kiosk", 3), *downloads("2025-10-06", "zebra", 2))
    apply_new()
    rate(hub, "12.5", "2025-10-01")
    issue(hub, datetime(2025, 10, 1).date(), None, NOW)  # noqa: DTZ001
    return hub


@pytest.fixture
def customer(acme: Hub) -> Client:
    return customer_of(acme)


def rows(answer) -> list[list[str]]:
    return list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))


def own_page(acme: Hub, **filters: list[str]) -> str:
    return f"/s/{token_of(ShareLink.objects.create(hub=acme, name='own', filters=filters))}"


def test_it_shows_how_a_media_spread(customer: Client) -> None:
    page = customer.get(f"{SPREAD}&media=cat-1")
    figures = {figure["name"]: figure["text"] for figure in page.context["figures"]}
    assert page.status_code == 200
    assert figures == {
        "shares": "33", "arrivals": "3", "reach": "3", "reproduction": "6.1%", "depth": "3", "breadth": "31",
        "structural_virality": "2.10", "time_to_reshare": "1 min 00 s",
    }  # fmt: skip
    assert [(row["label"], row["shares"]) for row in page.context["networks"]] == [("X", "32"), ("Copied link", "1")]
    assert [row["shares"] for row in page.context["generations"]] == ["31", "1", "1"]
    assert page.context["spreaders"][0].readers == "3 readers"
    assert [choice.name for choice in page.context["media"]] == ["", "33"]


def test_its_tree_is_drawn_from_the_largest_branch_and_fetched_in_parts(customer: Client) -> None:
    page = customer.get(SPREAD)
    root = page.context["root"]
    assert ([leaf.token for leaf in root.children[:2]], len(root.children), root.more) == (
        ["a", "x00"],
        20,
        "11 more shares",
    )
    assert [leaf.token for leaf in root.children[0].children] == ["b"]
    assert root.children[0].children[0].children is None, "what lies below is fetched when it is opened"
    part = customer.get(root.more_url, headers={"HX-Request": "true"}).content.decode()
    assert (part.count("<li>"), "x29" in part, "<html" in part) == (11, True, False)
    below = customer.get(f"{SPREAD}&branch=b", headers={"HX-Request": "true"}).content.decode()
    assert below.startswith('<ul class="branch">')
    assert ">c<" in below
    whole = customer.get(f"{SPREAD}&branch=b")
    assert (whole.context["is_branch"], whole.context["root"].token) == (True, "b")


def test_a_share_is_told_by_network_time_and_media_and_its_token_is_a_note(customer: Client) -> None:
    told = {query: customer.get(f"{SPREAD}{query}").context["root"].children[0].label for query in ("", "&media=cat-1")}
    assert told == {
        "": "Copied link · 3 Oct 2025, 11:00 · cat-1",
        "&media=cat-1": "Copied link · 3 Oct 2025, 11:00",
    }
    branch = customer.get(f"{SPREAD}&media=cat-1&branch=b").content.decode()
    assert '<span class="clip">X · 3 Oct 2025, 11:01</span><span class="note">b</span>' in branch
    below = customer.get(f"{SPREAD}&branch=b", headers={"HX-Request": "true"}).content.decode()
    assert '<span class="clip">X · 3 Oct 2025, 11:02 · cat-1</span><span class="note">c</span>' in below


def test_each_of_its_tables_is_a_file(customer: Client) -> None:
    found = {
        name: rows(customer.get(f"{SPREAD}&format=csv&table={name}"))
        for name in ("growth", "generations", "networks", "spreaders", "tree")
    }
    assert found["networks"] == [
        ["Network", "Shares", "Arrivals", "Reach"],
        ["x", "32", "1", "1"],
        ["link", "1", "2", "2"],
    ]
    assert found["tree"][2] == ["b", "a", "2025-10-03T11:01:00+02:00", "cat-1", "x", "2", "1", "1", "1"]
    assert found["spreaders"][1] == ["a", "2025-10-03T11:00:00+02:00", "cat-1", "link", "1", "2", "3"]
    assert [len(table) for table in found.values()][1:] == [4, 3, 34, 34]
    assert sum(int(row[1]) for row in found["growth"][1:]) == 33


def test_the_table_of_arrivals_counts_the_links_that_it_shows(customer: Client) -> None:
    grids = [
        customer.get(f"/hubs/acme/engagement/shared-links?period=all{query}").context["card"]["grid"]
        for query in ("", "&via=a", "&via=a&via=", "&via=")
    ]
    assert [(grid.total, len(grid.rows)) for grid in grids] == [(2, 2), (1, 1), (1, 1), (0, 0)]


@pytest.mark.parametrize(
    ("query", "status"),
    [("branch=nobody", 404), ("format=csv&table=none", 404), ("interval=year", 400), ("period=aeon", 400)],
)
def test_it_says_what_cannot_be_shown(customer: Client, query: str, status: int) -> None:
    assert customer.get(f"/hubs/acme/dissemination?period=all&{query}").status_code == status


def test_it_shows_credits_models_paths_amounts_and_statements(customer: Client) -> None:
    page = customer.get(CREDITS)
    assert page.status_code == 200
    assert [(row["label"], row["credit"], row["part"], row["amount"]) for row in page.context["credits"]] == [
        ("kiosk", "3.00", "60%", "€0.38"),
        ("zebra", "2.00", "40%", "€0.25"),
    ]
    assert page.context["side_by_side"] == [("kiosk", ["3.00"] * 7), ("zebra", ["2.00"] * 7)]
    assert page.context["paths"] == [(["kiosk"], "3", "60%"), (["zebra"], "2", "40%")]
    assert [(row["month"], row["total"]) for row in page.context["statements"]] == [("October 2025", "€0.63")]


def test_a_statement_and_its_tables_are_files(customer: Client) -> None:
    pdf = customer.get(f"{CREDITS}&statement=2025-10&format=pdf")
    text = customer.get(f"{CREDITS}&statement=2025-10&format=csv").content.decode()
    assert (pdf["Content-Type"], pdf.content[:5], ",kiosk,3.000000,0.12500,,,0.38," in text) == (
        "application/pdf", b"%PDF-", True,
    )  # fmt: skip
    assert customer.get(f"{CREDITS}&statement=2025-11&format=pdf").status_code == 404
    assert rows(customer.get(f"{CREDITS}&format=csv&table=credits")) == [
        ["Intermediary", "Credit", "Amount", "Currency"],
        ["kiosk", "3.0", "0.38", "EUR"],
        ["zebra", "2.0", "0.25", "EUR"],
    ]
    assert rows(customer.get(f"{CREDITS}&format=csv&table=paths"))[1:] == [["kiosk", "3"], ["zebra", "2"]]


def test_an_intermediary_sees_his_own_and_nothing_of_others(acme: Hub, client: Client) -> None:
    home = own_page(acme, intermediary=["kiosk"])
    page = client.get(f"{home}/retribution?period=all&goal=download")
    files = client.get(f"{home}/retribution?period=all&format=csv&table=statements")
    assert page.status_code == 200
    assert [one["code"] for one in page.context["intermediaries"]] == ["kiosk"]
    assert page.context["intermediaries"][0]["amount"] == "€0.38"
    assert [(row["what"], row["amount"]) for row in page.context["lines"]] == [("Downloaded", "€0.38")]
    assert rows(files)[1:] == [["2025-10", "kiosk", "download", "", "3.0", "0.38", "EUR"]]
    asked = ("", "&goal=visits", "&intermediary=zebra", "&statement=2025-10&format=csv", "&statement=2025-10&format=pdf",
             "&format=csv&table=credits", "&format=csv&table=models", "&format=csv&table=paths", "&model=markov")  # fmt: skip
    answers = [client.get(f"{home}/retribution?period=all{query}") for query in asked]
    told = [answer.content if not answer.streaming else b"".join(answer.streaming_content) for answer in answers]
    # The addresses of the page in other languages hold what was asked.
    told = [text.replace(b"intermediary=zebra", b"") for text in told]
    assert not any(word in text for text in told for word in (b"zebra", b"0.63", b"0.25", b"%PDF"))


@pytest.mark.parametrize(
    ("filters", "page", "status"),
    [
        ({"media": ["cat-1"]}, "dissemination", 404),
        ({"media": ["cat-1"]}, "retribution", 404),
        ({"intermediary": ["kiosk"]}, "dissemination", 404),
        ({"intermediary": [""]}, "retribution", 404),
        ({"intermediary": ["kiosk"], "media": ["cat-1"]}, "retribution", 404),
        ({"intermediary": ["kiosk"]}, "retribution", 200),
        ({}, "dissemination", 200),
        ({}, "retribution", 200),
    ],
)
def test_a_link_opens_what_its_filters_let_through(
    acme: Hub, client: Client, filters: dict, page: str, status: int
) -> None:
    home = own_page(acme, **filters)
    tabs = [choice.url for choice in client.get(f"{home}/consultation").context["frame"].tabs]
    assert client.get(f"{home}/{page}").status_code == status
    assert any(f"/{page}" in url for url in tabs) == (status == 200)


@pytest.mark.parametrize("page", ["dissemination", "retribution"])
def test_a_hub_without_events_has_its_pages(page: str, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = new_hub(monkeypatch, "empty")
    link = ShareLink.objects.create(hub=hub, name="all")
    for period in ("7d", "all"):
        assert client.get(f"/s/{token_of(link)}/{page}?period={period}").status_code == 200
