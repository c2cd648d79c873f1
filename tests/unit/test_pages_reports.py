"""The pages of reports and of notes, and what staff see of both."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone

from events.models import Hub, Membership
from speed import consumer
from tests.api.test_stats_oracle import append, fresh  # noqa: F401 (a fixture)
from views_layer.links import token_of
from views_layer.models import Mail, Note, ShareLink, Subscription

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

FORM = {"address": "bob@example.org", "kind": "hourly", "language": "fr", "factor": "2.5", "floor": "30"}


@pytest.fixture
def acme(fresh) -> Hub:  # noqa: F811
    return Hub.objects.create(slug="acme", timezone="Europe/Paris")


@pytest.fixture
def anna(acme: Hub) -> Client:
    return member(acme, "anna")


def member(hub: Hub, name: str) -> Client:
    client = Client()
    user = User.objects.create_user(name)
    Membership.objects.create(user=user, hub=hub)
    client.force_login(user)
    return client


def test_a_customer_subscribes_an_address_once(acme: Hub, anna: Client) -> None:
    answers = [
        anna.post("/hubs/acme/reports", FORM | {"address": address})
        for address in ("bob@example.org", "BOB@example.org")
    ]
    (made,) = Subscription.objects.all()
    assert (
        [answer.status_code for answer in answers],
        "bob@example.org was asked already, and has not confirmed yet." in answers[1].content.decode(),
    ) == (
        [302, 400],
        True,
    )
    found = (made.hub, made.address, made.kind, made.language, str(made.factor), made.floor, made.created_by.username)
    assert found == (acme, "bob@example.org", "hourly", "fr", "2.5", 30, "anna")


@pytest.mark.parametrize(
    "wrong",
    [{"address": "bob"}, {"kind": "yearly"}, {"language": "xx"}, {"factor": "1"}, {"floor": "0"}, {"floor": "1" * 30}],
)
def test_it_refuses_what_cannot_be_sent(anna: Client, wrong: dict) -> None:
    assert anna.post("/hubs/acme/reports", FORM | wrong).status_code == 400
    assert Subscription.objects.count() == 0


def test_it_says_where_mail_is_not_set_up(acme: Hub, anna: Client, settings) -> None:
    said = []
    for backend in ("dummy", "locmem"):
        settings.EMAIL_BACKEND = f"django.core.mail.backends.{backend}.EmailBackend"
        said.append("Sending mail is not set up" in anna.get("/hubs/acme/reports").content.decode())
    assert said == [True, False]


def test_it_shows_what_was_sent_and_what_was_not(acme: Hub, anna: Client) -> None:
    now = timezone.now()
    made = Subscription.objects.create(hub=acme, address="bob@example.org", kind="weekly")
    fields = {"subscription": made, "due_at": now, "free_at": now, "until": now + timedelta(days=1)}
    Mail.objects.create(period="2026-11-02", subject="acme: 12 visits", sent_at=now, **fields)
    Mail.objects.create(period="2026-11-09", error="refused", tries=1, **fields)
    Mail.objects.create(period="2026-11-16", error="refused", tries=9, **fields | {"until": now})
    page = anna.get("/hubs/acme/reports").content.decode()
    assert [text in page for text in ("acme: 12 visits", ">sent ", "could not be sent yet", "could not be sent<")] == [
        True
    ] * 4


def test_a_customer_ends_a_subscription_of_the_own_hub_alone(acme: Hub, anna: Client) -> None:
    hubs = (acme, Hub.objects.create(slug="other"))
    for hub in hubs:
        made = Subscription.objects.create(hub=hub, address="bob@example.org", kind="weekly")
        anna.post("/hubs/acme/reports", {"end": made.public_id})
    ended = dict(Subscription.objects.filter(ended_at__isnull=False).values_list("hub__slug", "is_unsubscribed"))
    assert ended == {"acme": False}


def test_a_customer_makes_and_removes_notes_of_the_own_hub_alone(acme: Hub, anna: Client) -> None:
    other = Note.objects.create(hub=Hub.objects.create(slug="other"), day=date(2026, 11, 1), text="Theirs")
    anna.post("/hubs/acme/notes", {"day": "2026-11-20", "text": "<b>Launch</b>"})
    made = Note.objects.get(hub=acme)
    page = anna.get("/hubs/acme/notes").content.decode()
    for note in (made, other):
        anna.post("/hubs/acme/notes", {"remove": note.pk})
    assert (made.day, made.text, made.created_by.username) == (date(2026, 11, 20), "<b>Launch</b>", "anna")
    assert ("&lt;b&gt;Launch" in page, [note.text for note in Note.objects.all()]) == (True, ["Theirs"])


@pytest.mark.parametrize("wrong", [{"text": "x" * 201}, {"text": ""}, {"day": "2026-02-30"}, {"day": ""}])
def test_it_refuses_what_is_no_note(acme: Hub, anna: Client, wrong: dict) -> None:
    assert anna.post("/hubs/acme/notes", {"day": "2026-11-20", "text": "Launch"} | wrong).status_code == 400


def noted(page: str) -> tuple[bool, bool]:
    """Whether a note is in the list under the chart, and at its bucket in the table behind it."""
    return (
        '<span class="note-mark"' in page,
        'data-notes="Launch' in page and '<span class="bucket-note">Launch' in page,
    )


@pytest.mark.parametrize("query", ["", "interval=hour", "period=28d&interval=week", "period=12mo"])
def test_notes_stand_under_the_chart_and_in_its_table(acme: Hub, anna: Client, query: str) -> None:
    append(
        [{"hub": "acme", "action": "view", "media": "cat-1", "visitor": "ann", "occurred_at": "2024-10-01T10:00:00Z"}]
    )
    consumer.apply_new()
    Note.objects.create(hub=acme, day=date(2024, 10, 2), text="Launch")
    Note.objects.create(hub=acme, day=date(2024, 10, 8), text="After it")
    dates = "&from=2024-10-01&to=2024-10-08" if "period" not in query else "&from=2024-10-01&to=2024-11-01"
    query = query.replace("period=28d&", "").replace("period=12mo", "interval=month")
    page = anna.get(f"/hubs/acme/consultation?{query}{dates}").content.decode()
    assert (noted(page), page.count("After it") > 0) == ((True, True), "11-01" in dates)


def test_a_link_to_the_whole_hub_shows_notes_and_one_to_a_part_does_not(acme: Hub) -> None:
    append(
        [{"hub": "acme", "action": "view", "media": "cat-1", "visitor": "ann", "occurred_at": "2024-10-01T10:00:00Z"}]
    )
    consumer.apply_new()
    Note.objects.create(hub=acme, day=date(2024, 10, 2), text="Launch")
    links = [ShareLink.objects.create(hub=acme, name="x", filters=filters) for filters in ({}, {"media": ["cat-1"]})]
    query = "consultation?from=2024-10-01&to=2024-10-08"
    pages = [Client().get(f"/s/{token_of(link)}/{query}").content.decode() for link in links]
    assert [(noted(page), "Add a note" in page) for page in pages] == [((True, True), False), ((False, False), False)]


# Staff


@pytest.fixture
def root(acme: Hub) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root", email="root@example.org"))
    return client


@pytest.fixture
def weekly(acme: Hub) -> Subscription:
    append(
        [{"hub": "acme", "action": "view", "media": "cat-1", "visitor": "ann", "occurred_at": "2024-10-01T10:00:00Z"}]
    )
    consumer.apply_new()
    return Subscription.objects.create(hub=acme, address="bob@example.org", kind="weekly", language="fr")


def test_staff_see_how_a_mail_would_look(root: Client, weekly: Subscription) -> None:
    address = f"/admin/views_layer/subscription/{weekly.pk}/preview/"
    html, text = root.get(address), root.get(f"{address}?text")
    assert (html["Content-Type"], "Se désabonner" in html.content.decode()) == ("text/html; charset=utf-8", True)
    assert (text["Content-Type"], "<" in text.content.decode()) == ("text/plain; charset=utf-8", False)
    assert (Mail.objects.count(), mail.outbox) == (0, [])


def test_an_alert_of_a_hub_without_a_past_has_no_preview(root: Client, acme: Hub) -> None:
    made = Subscription.objects.create(hub=acme, address="bob@example.org", kind="hourly", language="fr")
    page = root.get(f"/admin/views_layer/subscription/{made.pk}/preview/").content.decode()
    assert page == "Il n’y a pas encore de chiffres des semaines précédentes pour comparer."


@pytest.mark.parametrize(("email", "sent"), [("root@example.org", [["root@example.org"]]), ("", [])])
def test_staff_send_themselves_a_test(root: Client, weekly: Subscription, email: str, sent: list) -> None:
    User.objects.update(email=email)
    form = {"action": "send_test", "_selected_action": [weekly.pk]}
    page = root.post("/admin/views_layer/subscription/", form, follow=True).content.decode()
    assert ([message.to for message in mail.outbox], Mail.objects.count()) == (sent, 0)
    assert ("your account has no e-mail address" in page) == (not email)


def test_staff_end_a_subscription_and_change_nothing_of_it(root: Client, weekly: Subscription) -> None:
    form = {"action": "end", "_selected_action": [weekly.pk]}
    answers = [
        root.post(f"/admin/views_layer/subscription/{weekly.pk}/change/", {"address": "eve@example.org"}).status_code,
        root.post("/admin/views_layer/subscription/", form).status_code,
    ]
    weekly.refresh_from_db()
    assert (answers, weekly.address, weekly.ended_at > datetime(2026, 1, 1, tzinfo=UTC)) == (
        [403, 302],
        "bob@example.org",
        True,
    )
