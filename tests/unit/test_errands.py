"""Errands: batch work that people ask for, entered once, carried out by the tick, kept in the log of the admin."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from aggregations.event import Event
from batch import ledger
from batch.models import Errand, Run
from events.cuts import published_cut
from events.log import event_log
from events.models import ApiKey, Cut, Hub, RejectedEvent
from speed import consumer
from statsproject import pulse, staff
from tests import caches, log
from tests.simulation.world import ROLLUPS, empty
from views_layer import errands, seam
from views_layer.tasks import reconcile

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)
NOW = datetime(2026, 3, 5, 10, 30, tzinfo=UTC)
EVENT_AT = int(datetime(2026, 3, 3, 9, 15, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(autouse=True)
def world(redis_url: str, monkeypatch) -> None:
    empty(redis_url)
    for module in ("batch.run", "speed.folding"):
        monkeypatch.setattr(f"{module}.ROLLUPS", ROLLUPS)
    caches.renew(monkeypatch)
    log.append([Event("acme", "e", "view", EVENT_AT, EVENT_AT, 1, 1, 1, media="m")])


@pytest.fixture
def sent(monkeypatch) -> list[bool]:
    """How often the worker was woken; nobody hears it here."""
    woken: list[bool] = []
    monkeypatch.setattr(reconcile, "apply_async", lambda retry: woken.append(retry))
    return woken


def of_role(role: str) -> Client:
    user = User.objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def said(answer) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


@pytest.mark.parametrize(("kind", "ran"), [("hourly", "hourly"), ("daily", "daily"), ("rebuild", "rebuild")])
def test_what_was_asked_for_is_done_and_published(kind: str, ran: str) -> None:
    errands.ask(kind, "ann", NOW)
    errands.carry_out(timezone.now())
    errand = Errand.objects.get()
    assert (errand.epoch, errand.error, errand.ended_at is not None) == (1, "", True)
    assert list(Run.objects.filter(published_at__isnull=False).values_list("epoch", "kind")) == [(1, ran)]


def test_a_swap_freezes_and_leaves_the_run_to_the_tick() -> None:
    consumer.apply_new()
    errands.ask("swap", "ann", NOW)
    errands.carry_out(timezone.now())
    waits = Cut.objects.get(epoch=1).published_at
    reconcile()
    assert (waits, published_cut().epoch, Errand.objects.get().epoch) == (None, 1, 1)


def test_a_retry_waits_for_no_pause() -> None:
    consumer.apply_new()
    cut = seam.swap(event_log(), timezone.now())
    now = timezone.now()
    for _ in range(5):
        Run.objects.create(epoch=cut.epoch, kind="hourly", claimed_at=now, alive_at=now, failed_at=now)
    seam.reconcile(now)
    before = published_cut()
    errands.ask("retry", "ann", now)
    errands.carry_out(now)
    assert (before, published_cut().epoch, Errand.objects.get().epoch) == (None, 1, 1)


def test_a_retry_of_nothing_does_nothing() -> None:
    errands.ask("retry", "ann", NOW)
    errands.carry_out(timezone.now())
    assert list(Errand.objects.values_list("epoch", "error")) == [(None, "")]


def test_an_errand_that_fails_says_why_and_the_tick_goes_on(monkeypatch) -> None:
    def broken() -> int:
        raise OSError("no room")

    monkeypatch.setitem(errands.DOES, "rebuild", broken)
    errands.ask("rebuild", "ann", NOW)
    reconcile()
    assert Errand.objects.get().error == "OSError: no room"
    assert published_cut().epoch == 1


def test_a_second_one_is_refused_while_the_first_is_open() -> None:
    errands.ask("rebuild", "ann", NOW)
    with pytest.raises(errands.AskedAlready) as refused:
        errands.ask("daily", "bob", NOW)
    assert str(refused.value) == (
        "ann asked for a rebuild at 10:30:00 UTC, which has not begun yet; ask again when it is over."
    )
    errands.carry_out(timezone.now())
    assert errands.ask("swap", "bob", timezone.now()).kind == "swap"


def test_one_whose_process_stopped_is_over_and_says_so() -> None:
    gone_at = NOW - ledger.LEASE - timedelta(seconds=1)
    Errand.objects.create(kind="daily", asked_at=NOW, asked_by="ann", begun_at=gone_at, alive_at=gone_at)
    assert errands.open_errand(NOW) is None
    errands.ask("daily", "bob", NOW)
    assert list(Errand.objects.values_list("asked_by", "error")) == [("bob", ""), ("ann", errands.STOPPED)]


def test_a_run_keeps_how_much_of_it_is_done() -> None:
    seam.run_now(Run.REBUILD)
    run = Run.objects.get()
    assert (run.done, run.total) == (len(ROLLUPS), len(ROLLUPS))


def test_an_operator_asks_once_and_the_log_of_the_admin_knows_who(sent: list[bool]) -> None:
    client = of_role("operator")
    pages = [client.post("/admin/errands/daily/", follow=True) for _ in range(2)]
    entry = LogEntry.objects.get()
    assert [said(page)[0][:22] for page in pages] == ["Daily run: asked for. ", "operator asked for a d"]
    assert (entry.user.username, entry.get_change_message(), entry.object_id) == (
        "operator",
        "Asked for: Daily run.",
        str(Errand.objects.get().pk),
    )
    assert sent == [False]


def test_a_rebuild_is_confirmed_first(sent: list[bool]) -> None:
    client = of_role("operator")
    asked = client.post("/admin/errands/rebuild/")
    before = Errand.objects.count()
    client.post("/admin/errands/rebuild/", {"confirmed": "yes"})
    assert (asked.status_code, b"Rebuild?" in asked.content, before) == (200, True, 0)
    assert [errand.kind for errand in Errand.objects.all()] == ["rebuild"]


def test_a_get_asks_and_does_nothing_and_an_unknown_errand_is_none(sent: list[bool]) -> None:
    client = of_role("operator")
    statuses = [client.get(f"/admin/errands/{kind}/").status_code for kind in ("hourly", "rebuild", "nothing")]
    assert (statuses, Errand.objects.count()) == ([200, 200, 404], 0)


def test_an_errand_needs_a_token_of_the_page(sent: list[bool]) -> None:
    of_role("operator")
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="operator"))
    assert (client.post("/admin/errands/daily/").status_code, Errand.objects.count()) == (403, 0)


def test_support_asks_for_nothing(sent: list[bool]) -> None:
    client = of_role("support")
    assert [client.get("/admin/").status_code, client.post("/admin/errands/daily/").status_code] == [200, 403]
    assert b"/admin/errands/" not in client.get("/admin/").content


def test_without_redis_it_is_entered_and_says_that_nobody_can_be_woken(sent: list[bool], monkeypatch) -> None:
    monkeypatch.setattr(pulse, "felt", lambda: {**dict.fromkeys(pulse.PARTS, False), "redis": False})
    page = of_role("operator").post("/admin/errands/daily/", follow=True)
    assert said(page) == ["Daily run: asked for. The worker cannot be woken; it begins when the broker answers again."]
    assert (Errand.objects.count(), sent) == (1, [])


def test_the_admin_lists_errands_and_runs_with_their_state(sent: list[bool]) -> None:
    errands.ask("daily", "ann", NOW)
    now = timezone.now()
    Run.objects.create(epoch=2, kind="daily", claimed_at=now, alive_at=now, done=3, total=9)
    client = of_role("support")
    pages = [client.get(f"/admin/batch/{name}/").content.decode() for name in ("errand", "run")]
    assert ["waits" in pages[0], "3 of 9" in pages[1]] == [True, True]


@pytest.mark.parametrize(("role", "is_led"), [("operator", True), ("owner", True), ("support", False)])
def test_a_failed_run_whose_epoch_waits_leads_to_its_retry(sent: list[bool], role: str, is_led: bool) -> None:
    consumer.apply_new()
    seam.run_now(Run.HOURLY)
    cut = seam.swap(event_log(), timezone.now())
    now = timezone.now()
    of_before = {"kind": "hourly", "claimed_at": now, "alive_at": now, "failed_at": now}
    over, failed = (Run.objects.create(epoch=epoch, **of_before) for epoch in (cut.epoch - 1, cut.epoch))
    client, link = of_role(role), 'href="/admin/errands/retry/"'
    listed, of_failed, of_over = (
        client.get(f"/admin/batch/run/{path}").content.decode().count(link)
        for path in ("", f"{failed.pk}/change/", f"{over.pk}/change/")
    )
    assert (listed, of_failed, of_over) == ((1, 1, 0) if is_led else (0, 0, 0))
    client.post("/admin/errands/retry/")
    errands.carry_out(timezone.now())
    assert published_cut().epoch == (cut.epoch if is_led else cut.epoch - 1)


def test_every_kind_is_offered_and_can_be_done() -> None:
    assert {asked.kind for asked in staff.ERRANDS} == {kind for kind, _ in Errand.KINDS} == {*errands.DOES}


def test_actions_of_lists_are_in_the_log_of_the_admin(sent: list[bool]) -> None:
    hub = Hub.objects.get(slug="acme")
    ApiKey.issue(hub, ApiKey.READ)
    row = RejectedEvent.objects.create(
        hub="acme", code="x", detail="", payload=json.dumps({"hub": "acme"}).encode(), received_at=NOW
    )
    client = of_role("owner")
    client.post("/admin/events/apikey/", {"action": "revoke", "_selected_action": [ApiKey.objects.get().pk]})
    client.post("/admin/events/rejectedevent/", {"action": "replay", "_selected_action": [row.pk]})
    found = [(entry.user.username, entry.get_change_message()) for entry in LogEntry.objects.order_by("pk")]
    assert found == [("owner", "Revoked."), ("owner", "Replayed.")]
