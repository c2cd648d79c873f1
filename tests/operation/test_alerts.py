"""Alerts: when they are told, by which channel, and what happens where a channel fails."""

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections

from statsproject import alarms, alerts
from statsproject.alarms import Alarm
from statsproject.environment import env_mail, env_web_address
from statsproject.models import Alert, Teller
from statsproject.tasks import ALERTS, watch_alarms
from tests.waiting import until

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NOW = datetime(2026, 3, 5, 10, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LAG = Alarm("lag", "critical", "3 accepted events are not in the answers; the oldest waits for 180 s.")
PARTS = Alarm("parts", "critical", "No pulse of beat.")


class Hook:
    """A real HTTP server; answers `status`, remembers what it took."""

    def __init__(self) -> None:
        self.status, self.taken = 200, []
        self.entered, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.entered.set()
                hook.may_answer.wait(10)
                if hook.status == 200:
                    hook.taken.append(body)
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alerts"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hook(settings, monkeypatch) -> Iterator[Hook]:
    hook = Hook()
    monkeypatch.setitem(alerts.PATIENCE, "lag", timedelta(0))
    settings.ALERT_WEBHOOK, settings.ALERT_EMAILS = hook.url, ["ops@example.org"]
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


def at(minutes: float, *standing: Alarm) -> None:
    """What the watch does, `minutes` after NOW, with these alarms."""
    found: dict[str, Alarm | None] = dict.fromkeys(("parts", "lag"))
    now = NOW + MINUTE * minutes
    alerts.record(found | {alarm.name: alarm for alarm in standing}, now)
    alerts.tell(now)


def posted(hook: Hook) -> list[tuple[str, str]]:
    return [(body["alarm"], body["state"]) for body in hook.taken]


def mailed() -> list[str]:
    host = socket.gethostname()
    return [message.subject.removeprefix(f"Affluence on {host}: ") for message in mail.outbox]


def test_an_alarm_is_told_once_when_raised_and_once_when_cleared(hook: Hook) -> None:
    at(0, LAG)
    at(1, LAG)
    at(2)
    at(3)
    assert (posted(hook), mailed()) == ([("lag", "raised"), ("lag", "cleared")], ["lag raised", "lag cleared"])


def test_of_two_workers_one_tells(hook: Hook, settings) -> None:
    settings.ALERT_EMAILS = []
    alerts.record({"lag": LAG}, NOW)
    hook.may_answer.clear()

    def work() -> None:
        alerts.tell(NOW + MINUTE)
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(2)]
    workers[0].start()
    hook.entered.wait(10)
    workers[1].start()
    workers[1].join(1)
    hook.may_answer.set()
    for worker in workers:
        worker.join()
    at(2, LAG)
    assert posted(hook) == [("lag", "raised")]


@pytest.mark.parametrize("free_at", [NOW + timedelta(minutes=3), NOW + timedelta(hours=2)])
def test_a_teller_that_died_is_waited_for_no_longer_than_its_lease(hook: Hook, free_at: datetime) -> None:
    Teller.objects.create(pk=1, free_at=free_at)
    at(0, LAG)
    first = len(posted(hook))
    at(4, LAG)
    at(5, LAG)
    assert (first, posted(hook)) == (int(free_at - NOW > alerts.TELLER_LEASE), [("lag", "raised")])


def test_what_is_told(hook: Hook) -> None:
    at(0, LAG)
    host = socket.gethostname()
    assert hook.taken == [
        {
            "alarm": "lag",
            "state": "raised",
            "severity": "critical",
            "sentence": LAG.sentence,
            "since": "2026-03-05T10:30:00+00:00",
            "host": host,
        }
    ]
    (message,) = mail.outbox
    assert (message.to, message.body) == (
        ["ops@example.org"],
        f"{LAG.sentence}\n\nThe alarm lag (critical) stands on {host} since 2026-03-05 10:30 UTC.\n"
        "What to do: docs/runbook.md#lag\n",
    )


def test_one_that_lasts_is_told_again_each_day(hook: Hook) -> None:
    for hours in range(0, 50, 5):
        at(hours * 60, LAG)
    assert posted(hook) == [("lag", "raised")] * 2


def test_one_that_does_not_hold_is_never_told(hook: Hook) -> None:
    at(0, PARTS)
    at(0.5)
    at(1, PARTS)
    at(1.5)
    assert (posted(hook), Alert.objects.count()) == ([], 0)


def test_one_that_holds_for_its_patience_is_told(hook: Hook) -> None:
    at(0, PARTS)
    at(1, PARTS)
    assert posted(hook) == [("parts", "raised")]


def test_a_channel_that_fails_is_tried_again_and_the_other_tells_nothing_twice(hook: Hook) -> None:
    hook.status = 500
    at(0, LAG)
    at(1, LAG)
    hook.status = 200
    at(2, LAG)
    at(3)
    assert (posted(hook), mailed()) == ([("lag", "raised"), ("lag", "cleared")], ["lag raised", "lag cleared"])


def test_what_was_cleared_before_a_channel_was_told_of_it_is_not_told_there(hook: Hook) -> None:
    hook.status = 500
    at(0, LAG)
    hook.status = 200
    at(1)
    assert (posted(hook), mailed()) == ([], ["lag raised", "lag cleared"])


def test_a_channel_that_nobody_answers_or_that_hangs_blocks_nobody(settings, monkeypatch) -> None:
    monkeypatch.setitem(alerts.PATIENCE, "lag", timedelta(0))
    monkeypatch.setattr(alerts, "TIMEOUT_S", 0.2)
    settings.ALERT_EMAILS = ["ops@example.org"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.ALERT_WEBHOOK = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        at(0, LAG)
    at(1, LAG)
    assert mailed() == ["lag raised"]


def test_the_task_looks_at_the_list_and_returns_at_once(hook: Hook, monkeypatch) -> None:
    monkeypatch.setattr(alarms, "look", lambda facts: {"lag": LAG})
    watch_alarms()
    until(lambda: bool(hook.taken), 10)
    assert posted(hook) == [("lag", "raised")]
    until(lambda: not ALERTS.is_busy, 10)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://localhost", ("localhost", 25, "", "", False, False)),
        ("smtp+tls://me%40x:p%3Aw@mail.example.org", ("mail.example.org", 587, "me@x", "p:w", True, False)),
        ("smtps://me:pw@mail.example.org:4650", ("mail.example.org", 4650, "me", "pw", False, True)),
    ],
)
def test_mail_is_set_by_one_url(monkeypatch, url: str, expected: tuple) -> None:
    monkeypatch.setenv("EMAIL_URL", url)
    found = env_mail("EMAIL_URL")
    names = ("HOST", "PORT", "HOST_USER", "HOST_PASSWORD", "USE_TLS", "USE_SSL")
    assert tuple(found[f"EMAIL_{name}"] for name in names) == expected


@pytest.mark.parametrize(("read", "text"), [(env_mail, "http://me:secret@x"), (env_web_address, "ftp://me:secret@x")])
def test_an_address_that_cannot_be_used_is_refused_without_its_secret(monkeypatch, read, text: str) -> None:
    monkeypatch.setenv("NAME", text)
    with pytest.raises(ImproperlyConfigured) as refused:
        read("NAME")
    assert (str(refused.value).startswith("NAME is not "), "secret" in str(refused.value)) == (True, False)


def test_mail_that_would_go_nowhere_is_an_error_at_start(settings) -> None:
    settings.ALERT_EMAILS, settings.EMAIL_BACKEND = ["ops@example.org"], env_mail("NOT_SET")["EMAIL_BACKEND"]
    with pytest.raises(SystemCheckError, match="ALERT_EMAILS is set, but no EMAIL_URL"):
        call_command("check")
