"""Share links: what their holders see, and what ends them."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core import management
from django.test import Client
from django.utils import timezone

from events.catalogue import forget
from events.models import Hub
from speed.consumer import apply_new
from tests.caches import renew
from tests.customer import customer_of
from views_layer.links import lock, token_of
from views_layer.models import ShareLink

pytestmark = [pytest.mark.django_db(databases="__all__", transaction=True), pytest.mark.usefixtures("redis_url")]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub with three events: two of cat-1, one of cat-2."""
    renew(monkeypatch)
    forget()
    hub = Hub.objects.create(slug="acme", title="Acme", timezone="Europe/Paris")
    common = {"hub": "acme", "action": "view", "occurred_at": (timezone.now() - MINUTE).isoformat()}
    events = [
        common | {"media": media, "title": f"Title of {media}", "visitor": visitor, "country": country}
        for media, visitor, country in (("cat-1", "a", "FR"), ("cat-1", "b", "DE"), ("cat-2", "c", "FR"))
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, events)))
    management.call_command("import_events", str(file))
    apply_new()
    return hub


def link_to(hub: Hub, password: str = "", **fields) -> ShareLink:
    link = ShareLink(hub=hub, name="For the printer", **fields)
    lock(link, password)
    link.save()
    return link


def pages(link: ShareLink) -> str:
    return f"/s/{token_of(link)}/"


def asked(link: ShareLink, query: str):
    return Client(headers={"Authorization": f"Bearer {token_of(link)}"}).get(f"/api/hubs/acme/stats?period=7d&{query}")


def test_a_link_leads_to_the_panel_with_the_state_of_its_address(client: Client, acme: Hub) -> None:
    link = link_to(acme)
    assert client.get(f"/s/{token_of(link)}?period=28d")["Location"] == f"{pages(link)}consultation?period=28d"


def test_every_address_of_its_pages_stays_below_the_link(client: Client, acme: Hub) -> None:
    page = client.get(f"{pages(link_to(acme))}consultation").content.decode()
    assert "/hubs/" not in page
    assert "Log out" not in page


def test_the_forced_filters_cannot_be_removed(client: Client, acme: Hub) -> None:
    link = link_to(acme, filters={"media": ["cat-1"]})
    whole = [client.get(f"{pages(link)}consultation/media{query}").content.decode() for query in ("", "?media=cat-2")]
    assert [("Title of cat-1" in page, "Title of cat-2" in page) for page in whole] == [(True, False)] * 2


def test_filters_of_the_viewer_narrow_the_forced_ones(client: Client, acme: Hub) -> None:
    link = link_to(acme, filters={"media": ["cat-1", "cat-2"]})
    page = client.get(f"{pages(link)}consultation/media?media=cat-2&country=FR").content.decode()
    assert ("Title of cat-1" in page, "Title of cat-2" in page) == (False, True)


def test_a_narrowed_link_shows_nothing_of_the_whole_hub(client: Client, acme: Hub) -> None:
    home = pages(link_to(acme, filters={"media": ["cat-1"]}))
    assert [client.get(home + page).status_code for page in ("live", "restatements")] == [404, 404]
    assert f"{home}live" not in client.get(f"{home}consultation").content.decode()


@pytest.mark.parametrize(
    ("query", "results"),
    [
        ("metrics=visitors", [{"visitors": 2}]),
        ("metrics=visitors&country=FR", [{"visitors": 1}]),
        ("metrics=visitors&by=media", [{"media": "cat-1", "visitors": 2}]),
    ],
)
def test_the_api_answers_a_token_within_its_filters(acme: Hub, query: str, results: list[dict]) -> None:
    link = link_to(acme, filters={"media": ["cat-1"]})
    assert asked(link, query).json()["results"] == results


def test_the_api_refuses_a_filter_beyond_those_of_the_token(acme: Hub) -> None:
    answer = asked(link_to(acme, filters={"media": ["cat-1"]}), "metrics=visitors&media=cat-2")
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        {
            "code": "invalid_media",
            "detail": "media 'cat-2' is not what this share link shows; use 'cat-1'.",
            "field": "media",
        },
    )


@pytest.mark.parametrize(
    "ended",
    [
        {"revoked_at": timezone.now() - MINUTE},
        {"expires_at": timezone.now() - MINUTE},
    ],
)
def test_a_link_that_has_ended_looks_like_none(client: Client, acme: Hub, ended: dict) -> None:
    link = link_to(acme, **ended)
    assert client.get(f"{pages(link)}consultation").status_code == 404
    assert asked(link, "metrics=visits").status_code == 401


def test_a_token_that_was_made_up_is_none(client: Client, acme: Hub) -> None:
    link = link_to(acme)
    assert client.get(f"/s/{link.public_id}.{'x' * 43}/consultation").status_code == 404


def test_a_password_is_asked_for_once(client: Client, acme: Hub) -> None:
    link = link_to(acme, password="printer")
    page = f"{pages(link)}consultation?period=28d"
    asks = client.get(page)["Location"]
    assert client.post(asks, {"password": "guess"}).status_code == 400
    assert client.post(asks, {"password": "printer"})["Location"] == page
    assert client.get(page).status_code == 200


def test_a_new_password_closes_the_link_again(client: Client, acme: Hub) -> None:
    link = link_to(acme, password="printer")
    client.post(f"{pages(link)}unlock", {"password": "printer"})
    lock(link, "another")
    link.save()
    assert client.get(f"{pages(link)}consultation").status_code == 302


def test_a_password_cannot_be_guessed_for_long(client: Client, acme: Hub) -> None:
    link = link_to(acme, password="printer")
    tries = [client.post(f"{pages(link)}unlock", {"password": str(guess)}).status_code for guess in range(11)]
    assert tries == [400] * 10 + [429]


def test_the_password_page_leads_nowhere_else(client: Client, acme: Hub) -> None:
    link = link_to(acme, password="printer")
    answer = client.post(f"{pages(link)}unlock", {"password": "printer", "next": "https://evil.example/"})
    assert answer["Location"] == pages(link)


def test_a_link_may_stand_in_another_site_and_a_hub_may_not(client: Client, acme: Hub) -> None:
    client.force_login(User.objects.create_user("root", is_staff=True))
    answers = [client.get(f"{pages(link_to(acme))}consultation?embed=1"), client.get("/hubs/acme/consultation?embed=1")]
    assert [
        ("frame-ancestors *" in answer["Content-Security-Policy"], answer.get("X-Frame-Options")) for answer in answers
    ] == [(True, None), (False, "DENY")]
    assert "embed=1" in answers[0].content.decode()


def customer(hub: Hub) -> Client:
    return customer_of(hub)


def test_a_customer_makes_a_link_of_what_the_page_shows(acme: Hub) -> None:
    today = timezone.now().astimezone(acme.zone).date()
    form = {"name": "For the printer", "last_day": today.isoformat(), "password": "printer"}
    answer = customer(acme).post("/hubs/acme/links?period=28d&media=cat-1&country=FR", form)
    link = ShareLink.objects.get()
    assert answer["Location"] == f"/hubs/acme/links#link-{link.public_id}"
    assert (link.filters, link.created_by.username) == ({"media": ["cat-1"], "country": ["FR"]}, "anna")
    assert link.expires_at.astimezone(acme.zone).isoformat()[:16] == f"{today + timedelta(days=1)}T00:00"


def test_it_refuses_a_day_that_is_over(acme: Hub) -> None:
    answer = customer(acme).post("/hubs/acme/links", {"name": "Old", "last_day": "2020-01-01"})
    assert answer.status_code == 400
    assert "2020-01-01 is over; choose a later day, or none." in answer.content.decode()


def test_a_customer_revokes_a_link_of_the_own_hub_alone(acme: Hub) -> None:
    client = customer(acme)
    own, other = link_to(acme), link_to(Hub.objects.create(slug="other"))
    for link in (own, other):
        client.post("/hubs/acme/links", {"revoke": link.public_id})
    revoked = dict(ShareLink.objects.filter(revoked_at__isnull=False).values_list("public_id", "hub__slug"))
    assert revoked == {own.public_id: "acme"}


def test_the_page_of_links_shows_the_whole_address(acme: Hub) -> None:
    link = link_to(acme)
    assert f"http://testserver{pages(link)}" in customer(acme).get("/hubs/acme/links").content.decode()
