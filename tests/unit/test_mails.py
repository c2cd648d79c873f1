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
    common = {"hub": "acme", "visitor": visitor, "media": media, "title": f"Catalogue {media[-1]}", "media_kind": "document"}
    common |= {"user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0"}
    start = datetime.fromisoformat(f"{day}+00:00")
    return [
        common | {"action": "view", "occurred_at": start.isoformat()} | fields,
        common | {"action": "read", "page": 2, "duration_ms": 120_000, "occurred_at": (start + MINUTE).isoformat()} | fields,
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
    made = {"address": "ann@example.org", "created_at": datetime(2024, 1, 1, tzinfo=UTC), "public_id": f"id-of-{kind}"}
    return Subscription.objects.create(hub=hub, kind=kind, **made | fields)


@pytest.fixture
def sending(settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.PUBLIC_URL, settings.SECRET_KEY = "https://stats.example.org", "golden"


def whole(message) -> dict[str, str]:
    """All of a message by part, as text."""
    headers = {name: value for name, value in message.message().items() if name not in ("Date", "Content-Type", "MIME-Version")}
    (html,) = message.alternatives
    files = {f"{name}": content if isinstance(content, str) else content.decode() for name, content, _type in message.attachments}
    headers |= {"Subject": message.subject}
    return {"headers.json": json.dumps(headers, indent=1, ensure_ascii=False), "txt": message.body, "html": html[0], **files}


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
