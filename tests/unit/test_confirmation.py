"""Whether an address wants the mails that somebody else has ordered for it: asked once, and sent nothing else before."""

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone

from events.models import Hub, Membership
from tests.api.test_stats_oracle import fresh  # noqa: F401 (a fixture)
from tests.unit.test_mails import DAY, MINUTE, MONDAY, acme, golden, sending, subscription, whole  # noqa: F401 (fixtures)
from views_layer.mails import confirmation, post
from views_layer.mails.message import token_of as leaving_token
from views_layer.models import Mail, Subscription

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

FORM = {"address": "bob@example.org", "kind": "weekly", "language": "fr"}


@pytest.fixture
def anna(acme: Hub) -> Client:  # noqa: F811
    """A member of the hub, with an address of her own."""
    client = Client()
    user = User.objects.create_user("anna", email="Anna@example.org")
    Membership.objects.create(user=user, hub=acme)
    client.force_login(user)
    return client


def waiting(hub: Hub, **fields: Any) -> Subscription:
    """A subscription whose address was asked on Monday."""
    made = subscription(hub, confirmed_at=None, **fields)
    confirmation.ask(made, MONDAY - 3 * DAY)
    made.refresh_from_db()
    return made


def link_of(made: Subscription) -> str:
    """The address that confirms, valid for a week from now."""
    return f"/confirm/{confirmation.token_of(made, timezone.now() + confirmation.LASTS)}"


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_whole_question(sending, language: str) -> None:  # noqa: F811
    hub = Hub(slug="acme", title="Acme & Sons", timezone="Europe/Paris")
    asked = Subscription(hub=hub, kind="weekly", language=language, address="ann@example.org", public_id="id")
    message = post.compose(
        Mail(subscription=asked, period="2024-11-04T07:00:00+00:00", asks=True, due_at=MONDAY), MONDAY
    )
    name = f"confirmation_{language}"
    assert whole(message) == golden(name, whole(message))


def test_another_address_is_asked_once_and_has_nothing_before_it_confirms(acme, sending, anna) -> None:  # noqa: F811
    anna.post("/hubs/acme/reports", FORM)
    made = Subscription.objects.get()
    assert [mail["subject"] for mail in anna.get("/hubs/acme/reports").context["rows"][0]["mails"]] == [
        "Request for confirmation"
    ]
    for minutes in range(3):
        post.carry_out(timezone.now() + minutes * MINUTE)
    for weeks in range(3):
        post.carry_out(timezone.now() + weeks * 7 * DAY)
    (question,) = mail.outbox
    link = next(word for word in question.body.split() if "/confirm/" in word).removeprefix("https://stats.example.org")
    assert (question.to, made.confirmed_at, "?" in question.body) == (["bob@example.org"], None, True)
    reader = Client(enforce_csrf_checks=True)
    looked = reader.get(link)
    made.refresh_from_db()
    assert (looked.status_code, "<button" in looked.content.decode(), made.confirmed_at) == (200, True, None)
    confirmed = [reader.post(link) for _ in range(2)]
    made.refresh_from_db()
    told = ["C’est confirmé." in page.content.decode() for page in confirmed]
    assert (told, made.confirmed_at is not None) == ([True, True], True)


def test_its_first_report_is_of_the_period_that_ends_after_it_confirmed(acme: Hub, sending) -> None:  # noqa: F811
    made = waiting(acme)
    confirmation.confirm(made, MONDAY - MINUTE)
    late = waiting(acme, kind="monthly")
    confirmation.confirm(late, MONDAY - MINUTE)
    post.carry_out(MONDAY)
    assert [*Mail.objects.filter(asks=False).values_list("subscription__kind", "period")] == [("weekly", "2024-10-28")]
    assert [message.subject for message in mail.outbox] == ["Acme & Sons, 28 Oct – 3 Nov 2024: 4 visits"]


@pytest.mark.parametrize("address", ["Anna@example.org", "anna@EXAMPLE.org"])
def test_the_own_address_is_confirmed_at_once(acme: Hub, sending, anna: Client, address: str) -> None:  # noqa: F811
    anna.post("/hubs/acme/reports", FORM | {"address": address})
    post.carry_out(timezone.now())
    assert (Subscription.objects.get().confirmed_at is not None, Mail.objects.count(), mail.outbox) == (True, 0, [])


def test_who_has_no_address_confirms_none(acme: Hub, anna: Client) -> None:  # noqa: F811
    User.objects.update(email="")
    anna.post("/hubs/acme/reports", FORM)
    assert Subscription.objects.get().confirmed_at is None


def test_a_link_that_is_over_made_up_or_of_another_kind_confirms_nothing(acme: Hub) -> None:  # noqa: F811
    made = subscription(acme, confirmed_at=None)
    tokens = [
        confirmation.token_of(made, timezone.now() - MINUTE),
        f"{made.public_id}.9999999999.{'x' * 43}",
        leaving_token(made),
    ]
    assert [Client().post(f"/confirm/{token}").status_code for token in tokens] == [404] * 3
    made.refresh_from_db()
    assert made.confirmed_at is None


def test_one_that_has_ended_is_not_revived(acme: Hub) -> None:  # noqa: F811
    made = subscription(acme, confirmed_at=None, ended_at=MONDAY)
    page = Client().post(link_of(made)).content.decode()
    made.refresh_from_db()
    assert ("gets this no more" in page, made.confirmed_at) == (True, None)


def test_a_question_is_not_sent_to_who_has_confirmed_or_left_meanwhile(acme: Hub, sending) -> None:  # noqa: F811
    for kind in ("weekly", "monthly"):
        waiting(acme, kind=kind)
    Subscription.objects.filter(kind="weekly").update(confirmed_at=MONDAY)
    Client().post(f"/unsubscribe/{leaving_token(Subscription.objects.get(kind='monthly'))}")
    post.send_due(MONDAY - 2 * DAY)
    assert mail.outbox == []


def again(client: Client, made: Subscription) -> tuple[int, int]:
    """The status of asking again, and how many questions there are then."""
    status = client.post("/hubs/acme/reports", {"again": made.public_id}).status_code
    return status, Mail.objects.filter(asks=True).count()


def grow_older(by: timedelta) -> None:
    for made in Subscription.objects.exclude(asked_at=None):
        Subscription.objects.filter(pk=made.pk).update(asked_at=made.asked_at - by)
    for asked in Mail.objects.all():
        Mail.objects.filter(pk=asked.pk).update(due_at=asked.due_at - by, period=f"question {asked.pk}")


def test_it_is_asked_again_after_ten_minutes_and_three_times_a_day(acme: Hub, anna: Client) -> None:  # noqa: F811
    anna.post("/hubs/acme/reports", FORM)
    made = Subscription.objects.get()
    found = [again(anna, made)]
    for _ in range(3):
        grow_older(confirmation.PAUSE)
        found.append(again(anna, made))
    grow_older(DAY - 3 * confirmation.PAUSE)
    found.append(again(anna, made))
    assert found == [(429, 1), (302, 2), (302, 3), (429, 3), (302, 4)]


def test_an_address_is_asked_three_times_a_day_also_by_subscriptions_made_anew(acme, anna) -> None:  # noqa: F811
    statuses = []
    for address in ("bob@example.org", "BOB@example.org", "bob@example.org", "bob@example.org"):
        statuses.append(anna.post("/hubs/acme/reports", FORM | {"address": address}).status_code)
        Subscription.objects.filter(ended_at=None).update(ended_at=timezone.now())
    assert (statuses, Mail.objects.count(), Subscription.objects.count()) == ([302, 302, 302, 400], 3, 3)


def test_who_has_refused_is_asked_no_more_by_that_hub(acme: Hub, anna: Client) -> None:  # noqa: F811
    anna.post("/hubs/acme/reports", FORM)
    leaving = f"/unsubscribe/{leaving_token(Subscription.objects.get())}"
    said = Client().get(leaving).content.decode()
    Client().post(leaving)
    page = anna.post("/hubs/acme/reports", FORM | {"kind": "daily"}).content.decode()
    assert ("la question ne sera plus posée" in said, "wants no mails of this hub" in page) == (True, True)
    assert (Subscription.objects.count(), Mail.objects.count()) == (1, 1)


def test_of_two_that_ask_at_once_one_does(acme: Hub) -> None:  # noqa: F811
    first, second = (waiting(acme) if number == 0 else Subscription.objects.get() for number in range(2))
    now = MONDAY + DAY
    confirmation.ask(first, now)
    confirmation.ask(second, now)
    assert Mail.objects.count() == 2


def test_a_customer_asks_for_the_own_hub_alone(acme: Hub, anna: Client) -> None:  # noqa: F811
    other = subscription(Hub.objects.create(slug="other"), confirmed_at=None)
    assert again(anna, other) == (302, 0)


def test_the_page_says_what_waits_and_until_when(acme: Hub, anna: Client) -> None:  # noqa: F811
    made = waiting(acme)
    pages = []
    for asked_at in (timezone.now(), datetime(2024, 11, 1, tzinfo=UTC)):
        Subscription.objects.update(asked_at=asked_at)
        pages.append(anna.get("/hubs/acme/reports").content.decode())
    confirmation.confirm(made, MONDAY)
    pages.append(anna.get("/hubs/acme/reports").content.decode())
    told = [(f'name="again" value="{made.public_id}"' in page, "ended on 8 Nov 2024" in page) for page in pages]
    assert (told, ["Waiting for confirmation" in page for page in pages]) == (
        [(True, False), (True, True), (False, False)],
        [True, True, False],
    )


def test_a_question_keeps_no_alert_quiet(acme: Hub) -> None:  # noqa: F811
    made = waiting(acme, kind="hourly")
    assert post._is_quiet(made, MONDAY - 3 * DAY) is False


def test_subscriptions_of_before_are_confirmed_by_the_migration(acme: Hub) -> None:  # noqa: F811
    made = subscription(acme, confirmed_at=None)
    migration = import_module("views_layer.migrations.0006_confirmed_subscriptions")
    migration.confirm_those_of_before(apps, connection.schema_editor())
    made.refresh_from_db()
    assert made.confirmed_at == made.created_at
