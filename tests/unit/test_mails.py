"""Reports and alerts of hubs by e-mail: what they say, when they are due, that each is sent once, and how they end."""

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from smtplib import SMTPDataError, SMTPServerDisconnected
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connections
from django.test import Client

from batch.models import Restatement
from events.catalogue import forget
from events.models import Hub
from speed import consumer
from tests.api.test_stats_oracle import append, fresh  # noqa: F401 (a fixture)
from views_layer import ask
from views_layer.mails import alert, post
from views_layer.mails.message import token_of
from views_layer.mails.periods import last_due, name_of, named
from views_layer.models import Mail, Subscription

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

MONDAY = datetime(2024, 11, 4, 7, 0, tzinfo=UTC)
"""8:00 in Paris, on a Monday."""
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
GOLDEN = Path(__file__).parents[1] / "golden" / "mails"
KINDS = Subscription


# When


@pytest.mark.parametrize(
    ("zone", "kind", "now", "name", "due_at"),
    [
        ("Europe/Paris", "weekly", "2024-11-04T06:59:59", "2024-10-21", "2024-10-28T07:00"),
        ("Europe/Paris", "weekly", "2024-11-04T07:00:00", "2024-10-28", "2024-11-04T07:00"),
        ("Europe/Paris", "weekly", "2024-10-27T12:00:00", "2024-10-14", "2024-10-21T06:00"),
        ("Asia/Kolkata", "weekly", "2024-11-04T02:29:59", "2024-10-21", "2024-10-28T02:30"),
        ("Asia/Kolkata", "weekly", "2024-11-04T02:30:00", "2024-10-28", "2024-11-04T02:30"),
        ("America/Los_Angeles", "weekly", "2024-11-04T15:59:59", "2024-10-21", "2024-10-28T15:00"),
        ("America/Los_Angeles", "weekly", "2024-11-04T16:00:00", "2024-10-28", "2024-11-04T16:00"),
        ("America/Los_Angeles", "monthly", "2024-11-01T14:59:59", "2024-09-01", "2024-10-01T15:00"),
        ("America/Los_Angeles", "monthly", "2024-11-01T15:00:00", "2024-10-01", "2024-11-01T15:00"),
        ("America/Los_Angeles", "daily", "2024-11-04T08:04:59", "2024-11-02", "2024-11-03T07:05"),
        ("America/Los_Angeles", "daily", "2024-11-04T08:05:00", "2024-11-03", "2024-11-04T08:05"),
        ("Asia/Kolkata", "hourly", "2024-11-04T10:34:59", "2024-11-04T14:00+05:30", "2024-11-04T09:35"),
        ("Asia/Kolkata", "hourly", "2024-11-04T10:35:00", "2024-11-04T15:00+05:30", "2024-11-04T10:35"),
        ("Europe/Paris", "hourly", "2024-10-27T01:05:00", "2024-10-27T02:00+02:00", "2024-10-27T01:05"),
        ("Europe/Paris", "hourly", "2024-10-27T02:05:00", "2024-10-27T02:00+01:00", "2024-10-27T02:05"),
    ],
)
def test_a_period_is_due_by_the_clock_of_the_hub(zone: str, kind: str, now: str, name: str, due_at: str) -> None:
    found = last_due(kind, ZoneInfo(zone), datetime.fromisoformat(f"{now}+00:00"))
    assert (name_of(kind, found, ZoneInfo(zone)), f"{found.due_at:%Y-%m-%dT%H:%M}") == (name, due_at)
    assert named(kind, name, ZoneInfo(zone)) == found


def test_a_week_with_a_change_of_clocks_is_an_hour_longer() -> None:
    found = named("weekly", "2024-10-21", ZoneInfo("Europe/Paris"))
    assert found.end - found.start == timedelta(hours=169)


# What


def visit(day: str, visitor: str, media: str = "cat-1", **fields: Any) -> list[dict]:
    """A visit of two minutes: a media is opened, and its second page read."""
    common = {
        "hub": "acme",
        "visitor": visitor,
        "media": media,
        "title": f"Catalogue {media[-1]}",
        "media_kind": "document",
    }
    common |= {"user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0"}
    start = datetime.fromisoformat(f"{day}+00:00")
    return [
        common | {"action": "view", "occurred_at": start.isoformat()} | fields,
        common
        | {"action": "read", "page": 2, "duration_ms": 120_000, "occurred_at": (start + MINUTE).isoformat()}
        | fields,
    ]


@pytest.fixture
def acme(fresh) -> Hub:  # noqa: F811
    """A hub of Paris: two visits in the week from 21 October, four in the next, one share; one number was restated.

    Of the week's visits two lie at its ends: the first and the last hour of local time, which is another day in UTC.
    """
    forget()
    hub = Hub.objects.create(slug="acme", title="Acme & Sons", timezone="Europe/Paris")
    share = {"action": "share", "network": "linkedin"}
    append(
        [
            *visit("2024-10-22T10:00:00", "ann"),
            *visit("2024-10-27T22:30:00", "bob"),
            *visit("2024-10-27T23:30:00", "ann", referrer="https://www.linkedin.com/feed/"),
            *visit("2024-10-30T10:00:00", "cid", "cat-2", referrer="https://www.linkedin.com/feed/"),
            visit("2024-10-30T10:02:00", "cid", "cat-2")[0] | share,
            *visit("2024-10-31T10:00:00", "dan", source="newsletter"),
            *visit("2024-11-03T22:30:00", "ann"),
            *visit("2024-11-03T23:30:00", "eve"),
        ]
    )
    consumer.apply_new()
    Restatement.objects.create(
        hub="acme", metric="visits", day_start=datetime(2024, 10, 21, 22, tzinfo=UTC),
        day_end=datetime(2024, 10, 22, 22, tzinfo=UTC), old=3, new=1, reason=Restatement.ERASED, epoch=1,
        restated_at=datetime(2024, 10, 29, 12, tzinfo=UTC),
    )  # fmt: skip
    return hub


def subscription(hub: Hub, kind: str = KINDS.WEEKLY, **fields: Any) -> Subscription:
    began_at = fields.get("created_at", datetime(2024, 1, 1, tzinfo=UTC))
    made = {
        "address": "ann@example.org",
        "created_at": began_at,
        "confirmed_at": began_at,
        "public_id": f"id-of-{kind}",
    }
    return Subscription.objects.create(hub=hub, kind=kind, **made | fields)


@pytest.fixture
def sending(settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.PUBLIC_URL, settings.SECRET_KEY = "https://stats.example.org", "golden"


def whole(message) -> dict[str, str]:
    """All of a message by part, as text."""
    headers = {
        name: value for name, value in message.message().items() if name not in ("Date", "Content-Type", "MIME-Version")
    }
    (html,) = message.alternatives
    files = {
        f"{name}": content if isinstance(content, str) else content.decode()
        for name, content, _type in message.attachments
    }
    headers |= {"Subject": message.subject}
    return {
        "headers.json": json.dumps(headers, indent=1, ensure_ascii=False),
        "txt": message.body,
        "html": html[0],
        **files,
    }


@pytest.mark.parametrize(
    ("name", "kind", "language", "now"),
    [
        ("weekly_en", KINDS.WEEKLY, "en", MONDAY),
        ("weekly_fr", KINDS.WEEKLY, "fr", MONDAY),
        ("monthly_en", KINDS.MONTHLY, "en", datetime(2024, 11, 1, 7, tzinfo=UTC)),
    ],
)
def test_the_whole_report(acme: Hub, sending, name: str, kind: str, language: str, now: datetime) -> None:
    subscription(acme, kind, language=language)
    post.carry_out(now)
    (message,) = mail.outbox
    assert whole(message) == golden(name, whole(message))


def golden(name: str, found: dict[str, str]) -> dict[str, str]:
    """The parts of a mail as they are kept; UPDATE_GOLDEN=1 keeps those found, to be read before they are committed."""
    if os.environ.get("UPDATE_GOLDEN"):
        for part, text in found.items():
            (GOLDEN / f"{name}.{part}").write_text(text, encoding="utf-8", newline="")
    return {path.name.removeprefix(f"{name}."): path.read_bytes().decode() for path in sorted(GOLDEN.glob(f"{name}.*"))}


def test_a_file_of_media_that_is_cut_is_told(acme: Hub, sending, monkeypatch) -> None:
    monkeypatch.setattr("views_layer.mails.report.ROWS_OF_FILE", 1)
    subscription(acme, KINDS.WEEKLY)
    post.carry_out(MONDAY)
    sent = whole(mail.outbox[0])
    assert len(sent["acme-2024-10-28-media.csv"].splitlines()) == 2
    told = "The file of media has the first 1 of 2; the panel saves them all."
    assert [part for part, text in sent.items() if told in text] == ["txt", "html"]


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize(
    ("visits", "earlier", "direction"),
    [(90, [20, 30, 25, 24], alert.UP), (5, [20, 30, 25, 24], alert.DOWN), (0, [20, 30, 25, 24], alert.DOWN)],
)
def test_the_whole_alert(sending, language: str, visits: int, earlier: list[int], direction: str) -> None:
    hub = Hub(slug="acme", title="Acme & Sons", timezone="Europe/Paris")
    found = Mail(
        subscription=Subscription(hub=hub, kind="hourly", language=language, address="ann@example.org", public_id="id"),
        period="2024-10-30T10:00+01:00",
        facts={"visits": visits, "earlier": earlier, "usual": 24.5, "direction": direction},
    )
    message = post.compose(found, MONDAY)
    name = f"alert_{language}_{visits}"
    assert whole(message) == golden(name, whole(message))


# Once


def tried() -> dict[str, Any]:
    """What is kept of the one mail that there is."""
    (row,) = Mail.objects.values("tries", "claimed_at", "sent_at", "free_at", "error")
    return row


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/Los_Angeles"])
def test_ticks_of_two_weeks_send_a_report_each_monday_at_eight(fresh, sending, zone: str) -> None:  # noqa: F811
    subscription(Hub.objects.create(slug="acme", timezone=zone), created_at=MONDAY - 3 * DAY)
    for halves in range(-12, 2 * 24 * 8):
        post.carry_out(MONDAY + halves * 30 * MINUTE)
    sent = Mail.objects.order_by("sent_at").values_list("period", "sent_at")
    assert [(period, f"{at.astimezone(ZoneInfo(zone)):%a %d %H:%M}") for period, at in sent] == [
        ("2024-10-28", "Mon 04 08:00"),
        ("2024-11-04", "Mon 11 08:00"),
    ]
    assert len(mail.outbox) == 2


def test_of_workers_that_race_one_sends(acme: Hub, sending) -> None:
    subscription(acme)
    gate = threading.Barrier(4)

    def work() -> None:
        gate.wait(10)
        post.carry_out(MONDAY)
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    post.carry_out(MONDAY + MINUTE)
    assert (len(mail.outbox), tried()["tries"], tried()["sent_at"]) == (1, 1, MONDAY)


def test_a_claim_of_a_row_that_was_claimed_meanwhile_is_none(acme: Hub, sending) -> None:
    subscription(acme)
    post.plan(MONDAY)
    first, second = Mail.objects.get(), Mail.objects.get()
    assert [post._claim(first, MONDAY), post._claim(second, MONDAY)] == [True, False]


class Killed(BaseException):
    """The worker ends here."""


def test_a_mail_whose_worker_was_killed_is_sent_after_its_lease(acme: Hub, sending, monkeypatch) -> None:
    subscription(acme)
    with monkeypatch.context() as killing:
        killing.setattr(EmailBackend, "send_messages", lambda self, messages: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            post.carry_out(MONDAY)
    assert tried() == {"tries": 1, "claimed_at": MONDAY, "sent_at": None, "free_at": MONDAY + post.LEASE, "error": ""}
    post.carry_out(MONDAY + post.LEASE - MINUTE)
    before = len(mail.outbox)
    post.carry_out(MONDAY + post.LEASE)
    assert (before, len(mail.outbox), tried()["tries"], tried()["sent_at"]) == (0, 1, 2, MONDAY + post.LEASE)
    assert mail.outbox[0].message()["Message-ID"] == "<id-of-weekly.20241028@localhost>"


def failing(error: Exception) -> Any:
    def send_messages(self: EmailBackend, messages: list) -> int:
        raise error

    return send_messages


def test_what_fails_is_told_and_tried_again_ever_later(acme: Hub, sending, monkeypatch) -> None:
    subscription(acme)
    tries = []
    with monkeypatch.context() as broken:
        broken.setattr(EmailBackend, "send_messages", failing(ConnectionRefusedError("refused")))
        for minutes in range(0, 40, 1):
            post.carry_out(MONDAY + minutes * MINUTE)
            tries.append(tried()["tries"])
    assert [tries.index(number) for number in (1, 2, 3, 4)] == [0, 5, 15, 35]
    assert tried()["error"] == "refused"
    post.carry_out(MONDAY + 75 * MINUTE)
    assert (len(mail.outbox), tried()["error"], tried()["sent_at"]) == (1, "", MONDAY + 75 * MINUTE)


@pytest.mark.parametrize(
    ("error", "tries"),
    [(SMTPDataError(550, b"no such mailbox"), [1, 1]), (SMTPServerDisconnected("gone"), [1, 0])],
)
def test_a_refused_mail_holds_up_no_other_and_a_dead_server_all(
    acme: Hub, sending, monkeypatch, error: Exception, tries: list[int]
) -> None:
    subscription(acme)
    subscription(acme, KINDS.MONTHLY)
    monkeypatch.setattr(EmailBackend, "send_messages", failing(error))
    post.carry_out(MONDAY)
    assert [*Mail.objects.order_by("pk").values_list("tries", flat=True)] == tries


def test_a_report_that_nobody_takes_is_given_up_before_the_next(acme: Hub, sending, monkeypatch) -> None:
    subscription(acme)
    with monkeypatch.context() as broken:
        broken.setattr(EmailBackend, "send_messages", failing(ConnectionRefusedError("refused")))
        post.carry_out(MONDAY)
    post.carry_out(MONDAY + 6 * DAY)
    assert (len(mail.outbox), tried()["sent_at"]) == (0, None)


def test_a_new_subscription_waits_for_its_first_monday(acme: Hub, sending) -> None:
    subscription(acme, created_at=MONDAY + MINUTE)
    post.carry_out(MONDAY + 2 * MINUTE)
    assert Mail.objects.count() == 0


def test_without_a_mail_server_nothing_is_planned(acme: Hub, settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    subscription(acme)
    post.carry_out(MONDAY)
    assert Mail.objects.count() == 0


def test_a_report_waits_for_the_pipeline(acme: Hub, sending, monkeypatch) -> None:
    subscription(acme)
    behind = "2024-11-03T20:00:00Z"
    with monkeypatch.context() as late:
        late.setattr("views_layer.ask.utc", lambda at, plain=ask.utc: behind if at == MONDAY else plain(at))
        post.carry_out(MONDAY)
    waited = tried()["error"]
    post.carry_out(MONDAY + 5 * MINUTE)
    assert (waited, len(mail.outbox)) == (
        "The numbers end at 2024-11-03 20:00 UTC, before the period does; it is told when they do not.",
        1,
    )


# Alerts


@pytest.mark.parametrize(
    ("visits", "usual", "direction"),
    [
        (60, 20.0, "up"), (59, 20.0, ""), (19, 0.0, ""), (20, 0.0, "up"), (60, 0.5, "up"),
        (20, 60.0, "down"), (21, 60.0, ""), (0, 20.0, "down"), (0, 19.5, ""), (0, 0.0, ""),
    ],
)  # fmt: skip
def test_an_hour_is_judged(visits: int, usual: float, direction: str) -> None:
    assert alert.judged(visits, usual, factor=3.0, floor=20) == direction


WEDNESDAY = datetime(2024, 10, 30, 9, tzinfo=UTC)
"""10:00 in Paris; an hour earlier in UTC than on the Wednesdays of summer time before."""


@pytest.fixture
def usual(fresh) -> Hub:  # noqa: F811
    """A hub whose Wednesdays have 4, 2, 3 and 3 visits from 10:00 to 11:00, and one visit before all of that."""
    forget()
    hub = Hub.objects.create(slug="acme", timezone="Europe/Paris")
    events = visit("2024-09-01T10:00:00", "ann")
    for day, count in (("2024-10-02", 3), ("2024-10-09", 3), ("2024-10-16", 2), ("2024-10-23", 4)):
        for visitor in range(count):
            events += visit(f"{day}T08:{10 + visitor}:00", f"{visitor}")
    append(events)
    consumer.apply_new()
    return hub


def test_it_is_compared_with_the_same_local_hour(usual: Hub) -> None:
    found = alert.look(
        subscription(usual, KINDS.HOURLY, floor=3),
        last_due("hourly", usual.zone, WEDNESDAY + HOUR + 5 * MINUTE),
        MONDAY,
    )
    assert found == alert.Finding(visits=0, earlier=[4, 2, 3, 3], usual=3.0, direction="down")


def test_a_day_is_compared_with_the_same_weekday(usual: Hub) -> None:
    found = alert.look(subscription(usual, KINDS.DAILY, floor=3), named("daily", "2024-10-30", usual.zone), MONDAY)
    assert found == alert.Finding(visits=0, earlier=[4, 2, 3, 3], usual=3.0, direction="down")


def test_a_hub_without_two_weeks_has_no_usual_number(usual: Hub) -> None:
    assert alert.look(subscription(usual, KINDS.DAILY), named("daily", "2024-09-08", usual.zone), MONDAY) is None


def test_weeks_whose_events_are_no_more_count_for_nothing(usual: Hub) -> None:
    """The hours of a zone off the full hour are counted from the raw events."""
    append(visit("2024-10-09T08:45:00", "late"))
    consumer.apply_new()
    Hub.objects.update(timezone="Asia/Kolkata", events_since=datetime(2024, 10, 12, tzinfo=UTC))
    usual.refresh_from_db()
    period = named("hourly", "2024-10-30T13:00+05:30", usual.zone)
    found = alert.look(subscription(usual, KINDS.HOURLY), period, MONDAY)
    assert found == alert.Finding(visits=0, earlier=[4, 2], usual=3.0, direction="")


def test_an_alert_is_told_once_and_then_is_quiet_for_a_day(usual: Hub, sending) -> None:
    subscription(usual, KINDS.HOURLY, floor=3)
    append([event for number in range(12) for event in visit(f"2024-10-30T14:{10 + number}:00", f"new-{number}")])
    consumer.apply_new()
    for minutes in range(0, 12 * 60, 10):
        post.carry_out(WEDNESDAY + minutes * MINUTE)
    assert [(row.period, row.facts["direction"]) for row in Mail.objects.all()] == [("2024-10-30T10:00+01:00", "down")]
    assert [message.subject for message in mail.outbox] == ["acme: no visits, Wed 30 Oct, 10:00–11:00"]


def test_a_spike_is_an_alert(usual: Hub, sending) -> None:
    subscription(usual, KINDS.HOURLY, floor=3)
    append([event for number in range(12) for event in visit(f"2024-10-30T09:{10 + number}:00", f"new-{number}")])
    consumer.apply_new()
    post.carry_out(WEDNESDAY + HOUR + 5 * MINUTE)
    (message,) = mail.outbox
    assert message.subject == "acme: many more visits than usual (12), Wed 30 Oct, 10:00–11:00"


def test_a_pipeline_that_is_behind_is_no_drop(usual: Hub, sending, monkeypatch) -> None:
    subscription(usual, KINDS.HOURLY, floor=3)
    now = WEDNESDAY + HOUR + 5 * MINUTE
    monkeypatch.setattr("views_layer.ask.utc", lambda at, plain=ask.utc: plain(WEDNESDAY if at == now else at))
    post.carry_out(now)
    assert (Mail.objects.count(), Subscription.objects.get().planned_until) == (0, None)


# Ending


@pytest.mark.parametrize("body", [{"List-Unsubscribe": "One-Click"}, {}])
def test_one_click_ends_a_subscription_and_looking_does_not(acme: Hub, sending, body: dict) -> None:
    made = subscription(acme)
    address = f"/unsubscribe/{token_of(made)}"
    client = Client(enforce_csrf_checks=True)
    pages = [client.get(address), client.post(address, body), client.post(address, body)]
    made.refresh_from_db()
    post.carry_out(MONDAY)
    told = ["gets this no more" in page.content.decode() for page in pages]
    assert (told, bool(made.ended_at), made.is_unsubscribed, len(mail.outbox)) == ([False, True, True], True, True, 0)


def test_a_mail_that_waits_is_not_sent_to_who_has_left(acme: Hub, sending) -> None:
    made = subscription(acme)
    post.plan(MONDAY)
    Client().post(f"/unsubscribe/{token_of(made)}")
    post.send_due(MONDAY)
    assert mail.outbox == []


def test_a_token_that_was_made_up_ends_nothing(acme: Hub) -> None:
    made = subscription(acme)
    assert Client().post(f"/unsubscribe/{made.public_id}.{'x' * 43}").status_code == 404
