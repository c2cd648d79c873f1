"""What staff do in the admin: issue and revoke keys, read what nobody may change."""

import json
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from events.intake import Batch, Intake
from events.log import event_log
from events.models import ApiKey, Cut, Hub, Media, Membership, RejectedCount, RejectedEvent, Removal
from events.normaliser import Caller, normalise
from events.sent import TrustedSent

pytestmark = pytest.mark.django_db(databases="__all__")
LISTS = (
    "events/hub",
    "events/membership",
    "events/apikey",
    "events/media",
    "events/rejectedevent",
    "events/rejectedcount",
    "events/removal",
    "events/cut",
    "statsproject/alert",
    "views_layer/subscription",
    "views_layer/mail",
    "views_layer/note",
    "auth/user",
    "auth/group",
    "django_celery_beat/periodictask",
    "django_celery_beat/intervalschedule",
    "django_celery_beat/crontabschedule",
)
INLINES = {
    f"{prefix}-{name}_FORMS": value
    for prefix in ("memberships", "keys")
    for name, value in {"TOTAL": "0", "INITIAL": "0", "MIN_NUM": "0", "MAX_NUM": "1000"}.items()
}


@pytest.fixture
def hub() -> Hub:
    return Hub.objects.create(slug="acme")


@pytest.fixture
def root(hub: Hub) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def shown_key(page: str) -> str:
    found = re.search(r"aff_(ingest|read)_[\w-]{43}", page)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("name", LISTS)
def test_it_lists(root: Client, hub: Hub, name: str) -> None:
    Membership.objects.create(user=User.objects.get(), hub=hub)
    ApiKey.issue(hub, ApiKey.READ)
    Media.objects.create(hub=hub, key="cat-1", first_at=timezone.now())
    Cut.objects.create(epoch=1, position={"a": 1}, cut_at=timezone.now())
    RejectedEvent.objects.create(code="invalid_page", detail="x", payload=b"{}", received_at=timezone.now())
    assert root.get(f"/admin/{name}/").status_code == 200


def test_it_shows_a_new_key_once_and_keeps_its_digest(root: Client, hub: Hub) -> None:
    form = {"hub": hub.pk, "scope": "ingest", "name": "web"}
    page = root.post("/admin/events/apikey/add/", form, follow=True).content.decode()
    assert ApiKey.objects.get().digest == ApiKey.digest_of(shown_key(page))
    assert "aff_ingest_" not in root.get("/admin/events/apikey/").content.decode()


def test_it_issues_a_key_from_the_page_of_its_hub(root: Client, hub: Hub) -> None:
    form = {"title": "Acme", "timezone": "Europe/Paris", **INLINES, "keys-TOTAL_FORMS": "1"}
    form |= {"keys-0-scope": "read", "keys-0-name": "reports", "keys-0-hub": hub.pk}
    page = root.post(f"/admin/events/hub/{hub.pk}/change/", form, follow=True).content.decode()
    key = ApiKey.objects.get()
    assert (key.digest, key.scope, key.name) == (ApiKey.digest_of(shown_key(page)), "read", "reports")


def test_it_revokes_a_key(root: Client, hub: Hub) -> None:
    ApiKey.issue(hub, ApiKey.READ)
    key = ApiKey.objects.get()
    root.post("/admin/events/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_it_shows_the_payload_of_a_rejected_event(root: Client) -> None:
    row = RejectedEvent.objects.create(
        code="invalid_page", detail="page must be 1 or more", payload=b'{"page":0}', received_at=timezone.now()
    )
    page = root.get(f"/admin/events/rejectedevent/{row.pk}/change/").content.decode()
    assert "&quot;page&quot;: 0" in page


def test_a_rejected_event_is_mended_and_replayed_and_counts_once(root: Client, hub: Hub) -> None:
    wrong = {"hub": "acme", "action": "read", "media": "a", "page": 0, "visitor": "v"}
    row = RejectedEvent.objects.create(
        hub="acme", code="invalid_page", detail="", payload=json.dumps(wrong).encode(), received_at=timezone.now()
    )
    address, replay = (
        f"/admin/events/rejectedevent/{row.pk}/change/",
        {"action": "replay", "_selected_action": [row.pk]},
    )
    refused = root.post(address, {"payload_text": json.dumps(wrong | {"ip": "192.0.2.1"})})
    for page in (1, 2):
        root.post(address, {"payload_text": json.dumps(wrong | {"page": page})})
        RejectedEvent.objects.update(replayed_at=None)  # as after a crash before it was marked
        root.post("/admin/events/rejectedevent/", replay)
    stored = [event.page for chunk in event_log().read({}) for event in chunk.events]
    assert (b"An address is never stored" in refused.content, stored) == (True, [1])


def test_what_was_replayed_is_changed_no_more(root: Client) -> None:
    row = RejectedEvent.objects.create(
        code="x", detail="", payload=b"{}", received_at=timezone.now(), replayed_at=timezone.now()
    )
    root.post(f"/admin/events/rejectedevent/{row.pk}/change/", {"payload_text": '{"a": 1}'})
    row.refresh_from_db()
    assert bytes(row.payload) == b"{}"


def test_rejected_events_are_exported_as_json_lines(root: Client) -> None:
    rows = [
        RejectedEvent.objects.create(code="invalid_page", detail="no", payload=payload, received_at=timezone.now())
        for payload in (b'{"page": 0}', b"no json")
    ]
    answer = root.post(
        "/admin/events/rejectedevent/", {"action": "export", "_selected_action": [row.pk for row in rows]}
    )
    lines = [json.loads(line) for line in answer.getvalue().decode().splitlines()]
    assert sorted((line["code"], str(line["event"])) for line in lines) == [
        ("invalid_page", "no json"),
        ("invalid_page", "{'page': 0}"),
    ]


def test_it_says_how_many_rejected_events_were_not_kept(root: Client) -> None:
    RejectedCount.objects.create(hub="acme", code="too_old", day=timezone.now(), count=2_600, public=2_500)
    pages = [root.get(f"/admin/events/{name}/").content.decode() for name in ("rejectedevent", "rejectedcount")]
    assert ("1,500 more rejected events" in pages[0], "1500" in pages[1].replace(",", "")) == (True, True)


def test_it_deletes_no_hub_and_says_why(root: Client, hub: Hub) -> None:
    page = root.get(f"/admin/events/hub/{hub.pk}/change/").content.decode()
    statuses = [
        root.post(f"/admin/events/hub/{hub.pk}/delete/", {"post": "yes"}).status_code,
        root.post(
            "/admin/events/hub/", {"action": "delete_selected", "_selected_action": [hub.pk], "post": "yes"}
        ).status_code,
    ]
    assert ("A hub cannot be deleted" in page, statuses, Hub.objects.count()) == (True, [403, 200], 1)


def test_it_leaves_a_slug_and_a_cut_as_they_are(root: Client, hub: Hub) -> None:
    cut = Cut.objects.create(epoch=1, position={}, cut_at=timezone.now())
    root.post(f"/admin/events/hub/{hub.pk}/change/", {"slug": "other", "timezone": "UTC", **INLINES})
    hub.refresh_from_db()
    assert hub.slug == "acme"
    assert root.post(f"/admin/events/cut/{cut.pk}/change/", {"position": "{}"}).status_code == 403
    assert root.get("/admin/events/cut/add/").status_code == 403


def test_staff_allow_a_hub_to_embed_recommendations(root: Client, hub: Hub) -> None:
    page = f"/admin/events/hub/{hub.pk}/change/"
    assert b"anybody can then read what is popular" in root.get(page).content
    root.post(page, {"timezone": "UTC", "embeds_recommendations": "on", **INLINES})
    hub.refresh_from_db()
    assert hub.embeds_recommendations


def test_a_visitor_is_asked_to_be_erased_once_and_by_no_name_that_is_kept(root: Client, hub: Hub) -> None:
    caller = Caller({"acme": 0}.get, is_trusted=True)
    Intake().append([Batch([normalise(TrustedSent(hub="acme", action="view", visitor="Ann"), caller, 1_000)])])
    unknown, known, again = (
        root.post("/admin/events/removal/add/", {"hub": "acme", "name": name}) for name in ("Bob", "Ann", "Ann")
    )
    told = "acme knows no visitor &#x27;Bob&#x27;" in unknown.content.decode()
    assert (told, known.status_code, again.status_code) == (True, 302, 302)
    (removal,) = Removal.objects.all()
    assert (removal.hub, removal.visitor, removal.before, removal.requested_by) == ("acme", 1, None, "root")
    pages = [root.get("/admin/events/removal/"), root.get(f"/admin/events/removal/{removal.pk}/change/")]
    assert [(page.status_code, b"asked for" in page.content or b"a visitor" in page.content) for page in pages] == [
        (200, True),
        (200, True),
    ]


def test_events_cannot_be_kept_longer_than_their_numbers(root: Client, hub: Hub) -> None:
    fields = {"slug": "acme", "timezone": "UTC", "keep_events_days": 30, "keep_rows_days": 20, **INLINES}
    page = root.post(f"/admin/events/hub/{hub.pk}/change/", fields)
    assert b"cannot be kept for 30 days where numbers are kept for 20" in page.content
    root.post(f"/admin/events/hub/{hub.pk}/change/", fields | {"keep_rows_days": 40})
    hub.refresh_from_db()
    assert (hub.keep_events_days, hub.keep_rows_days) == (30, 40)
