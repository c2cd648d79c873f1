"""Who sees which page: anonymous, customers, other customers, staff."""

from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.http import Http404
from django.test import Client

from events.models import Hub, Membership
from views_layer.access import hub_for_user, hubs_of

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("redis_url")]
PATHS = ("", "consultation", "consultation/countries", "engagement", "engagement/networks", "live", "restatements")
FRAGMENT = {"headers": {"HX-Request": "true", "HX-Current-URL": "http://testserver/hubs/acme/consultation?period=28d"}}


@pytest.fixture
def acme() -> Hub:
    return Hub.objects.create(slug="acme", title="Acme", timezone="Europe/Paris")


@pytest.fixture
def other() -> Hub:
    return Hub.objects.create(slug="other")


@pytest.fixture
def customer(acme: Hub, other: Hub) -> User:
    user = User.objects.create_user("anna")
    Membership.objects.create(user=user, hub=acme)
    return user


@pytest.fixture
def staff(acme: Hub, other: Hub) -> User:
    return User.objects.create_user("root", is_staff=True)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("path", PATHS)
def test_it_sends_the_anonymous_to_the_login_page(client: Client, acme: Hub, path: str) -> None:
    response = client.get(f"/hubs/acme/{path}?period=28d")
    assert response.status_code == 302
    assert response["Location"] == "/login?" + urlencode({"next": f"/hubs/acme/{path}?period=28d"}, safe="/")


def test_it_sends_the_whole_page_of_an_anonymous_fragment_to_the_login_page(client: Client, acme: Hub) -> None:
    response = client.get("/hubs/acme/consultation/countries", **FRAGMENT)
    assert response["HX-Redirect"] == "/login?" + urlencode({"next": "/hubs/acme/consultation?period=28d"}, safe="/")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("slug", ["other", "nowhere"])
def test_it_does_not_tell_another_hub_from_none(customer: User, slug: str, path: str) -> None:
    assert client_of(customer).get(f"/hubs/{slug}/{path}").status_code == 404


@pytest.mark.parametrize("path", PATHS[1:])
def test_it_shows_a_customer_its_hub_and_staff_any(customer: User, staff: User, path: str) -> None:
    answers = [
        client_of(customer).get(f"/hubs/acme/{path}").status_code,
        client_of(staff).get(f"/hubs/acme/{path}").status_code,
        client_of(staff).get(f"/hubs/other/{path}").status_code,
    ]
    assert answers == [200, 200, 200]


def test_it_leads_from_a_hub_to_its_consultation(customer: User) -> None:
    assert client_of(customer).get("/hubs/acme/")["Location"] == "/hubs/acme/consultation"


def test_it_leads_a_customer_from_the_root_to_the_first_hub(customer: User) -> None:
    assert client_of(customer).get("/")["Location"] == "/hubs/acme/"


def test_it_lists_every_hub_to_staff(staff: User) -> None:
    page = client_of(staff).get("/").content.decode()
    assert [f"/hubs/{slug}/" in page for slug in ("acme", "other")] == [True, True]


def test_it_tells_an_account_without_a_hub_so() -> None:
    assert "not a member of a hub" in client_of(User.objects.create_user("nobody")).get("/").content.decode()


def test_it_has_no_page_for_an_unknown_table(customer: User) -> None:
    assert client_of(customer).get("/hubs/acme/consultation/planets").status_code == 404


def test_it_logs_in_and_follows_only_a_next_of_its_own(customer: User) -> None:
    customer.set_password("a-good-password")
    customer.save()
    answers = {}
    for following in ("/hubs/acme/engagement", "https://evil.example/", "//evil.example/"):
        login = {"username": "anna", "password": "a-good-password", "next": following}
        answers[following] = Client().post("/login", login)["Location"]
    assert answers == {
        "/hubs/acme/engagement": "/hubs/acme/engagement",
        "https://evil.example/": "/",
        "//evil.example/": "/",
    }


def test_it_logs_out_by_post_only(customer: User) -> None:
    client = client_of(customer)
    assert client.get("/logout").status_code == 405
    assert client.post("/logout")["Location"] == "/login"
    assert client.get("/hubs/acme/consultation").status_code == 302


def test_it_finds_hubs_of_active_users_only(customer: User, acme: Hub) -> None:
    assert hub_for_user(customer, "acme") == acme
    with pytest.raises(Http404):
        hub_for_user(customer, "other")
    customer.is_active = False
    assert list(hubs_of(customer)) == []
