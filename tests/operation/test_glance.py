"""The home of the admin: the pipeline at a glance, with every part up, and with Redis down."""

from datetime import datetime, timedelta

import pytest
import redis
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from aggregations.event import Event
from batch.models import Audit, Errand, Mismatch, Run
from events.log import Account, Rejection, event_log
from events.models import RejectedEvent
from speed import consumer
from statsproject import glance, pulse
from statsproject.celery import store_schedule
from statsproject.glance import Figure, Work
from tests import caches, log
from tests.simulation.world import empty
from views_layer import seam

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def now(redis_url: str, monkeypatch) -> datetime:
    """A pipeline of one published epoch in which all is well, at this moment."""
    empty(redis_url)
    RejectedEvent.objects.all().delete()
    caches.renew(monkeypatch)
    store_schedule()
    append(timezone.now(), 3)
    seam.run_now(Run.HOURLY)
    with redis.Redis.from_url(redis_url) as client:
        for part in pulse.PARTS:
            pulse.beat_once(part, client)
    return timezone.now()


def append(at: datetime, count: int) -> None:
    received_at = int(at.timestamp() * 1000)
    log.append([Event("acme", "e", "view", received_at, received_at, 1, 1, 1)] * count, received_at)


def figures(now: datetime) -> dict[str, Figure]:
    return {figure.title: figure for figure in glance.glance(now).figures}


def told(now: datetime) -> dict[str, tuple[str, str, str]]:
    return {name: (found.value, found.sentence, found.tone) for name, found in figures(now).items()}


def test_each_figure_says_its_state_in_words(now: datetime) -> None:
    run, audit = Run.objects.get(), Audit.objects.get()
    Run.objects.update(published_at=run.claimed_at + timedelta(seconds=4.25))
    Audit.objects.update(audited_at=now - timedelta(minutes=12))
    found = told(now)
    cut_at = seam.status(now)["cut_at"][11:19]
    active, rate, head, batch = (
        found.pop(title) for title in ("Active buffer", "Ingest rate", "Log head", "Age of batch")
    )
    assert found == {
        "Lag": ("0 events", "Every accepted event is in the answers.", "calm"),
        "Frozen buffer": ("None", "Nothing waits: every epoch that was cut is published.", "calm"),
        "Last run": ("4.2 s", f"The hourly run of epoch 1: 3 events, {run.row_count} rows.", "calm"),
        "Audit": ("Equal", f"All {audit.compared} states of epoch 1 were equal, 12 minutes ago.", "calm"),
        "Rejected events": ("0", "None waits for replay.", "calm"),
    }
    assert (batch[1].endswith(" old: in time. Epoch 1 is published."), batch[2]) == (True, "calm")
    assert active == ("0 bytes", f"It is fed since the cut at {cut_at} UTC: 0 lists.", "calm")
    assert (rate[1].startswith("3 accepted in this hour, 0 in the one before"), head[0]) == (True, "main 1")


def test_where_all_is_well_the_verdict_says_so(now: datetime) -> None:
    seen = glance.glance(now)
    assert (seen.verdict, seen.tone, seen.alarms, seen.work) == ("The pipeline is healthy.", "calm", [], [])


def test_what_is_wrong_is_said_by_its_alarm(now: datetime) -> None:
    Mismatch.objects.create(audit=Audit.objects.get(), hub="acme", rollup="hub", stored_state=b"", batch_state=b"x")
    seen = glance.glance(now)
    (alarm,) = seen.alarms
    assert (seen.verdict, seen.tone) == ("The pipeline is unhealthy: 1 alarm stands.", "critical")
    assert told(now)["Audit"][1:] == (alarm.sentence, "critical")


def test_without_redis_it_is_told_all_the_same_and_says_so(now: datetime, monkeypatch) -> None:
    monkeypatch.setattr(pulse, "felt", lambda: {**dict.fromkeys(pulse.PARTS, False), "redis": False})
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    answers = [client.get(path) for path in ("/admin/", "/admin/pipeline/", "/admin/pipeline/charts/")]
    found = told(now)
    sentence = "Redis does not answer: answers end at the last cut, and nothing is folded."
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [sentence in answer.content.decode() for answer in answers] == [True, True, False]
    assert {name: found[name] for name in ("Active buffer", "Frozen buffer")} == {
        "Active buffer": ("–", sentence, "critical"),
        "Frozen buffer": ("–", sentence, "critical"),
    }
    assert found["Last run"][2] == "calm"


def test_a_redis_that_goes_between_two_questions_takes_the_size_of_the_buffers_with_it(now, monkeypatch) -> None:
    def gone() -> None:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(seam, "buffer_sizes", gone)
    assert told(now)["Active buffer"] == ("–", "It cannot be read.", "calm")


def test_a_figure_that_cannot_be_read_says_so_and_leaves_the_others(now: datetime, monkeypatch) -> None:
    def broken(facts: glance.Facts) -> glance.Told:
        raise ValueError("no")

    monkeypatch.setattr(glance, "FIGURES", (("Lag", "lag", broken), *glance.FIGURES[3:4]))
    assert [(figure.value, figure.sentence) for figure in glance.glance(now).figures][:1] == [
        ("–", "This could not be read (ValueError).")
    ]


def test_an_epoch_that_waits_after_failures_is_told(now: datetime) -> None:
    append(now, 1)
    consumer.apply_new()
    cut = seam.swap(event_log(), now)
    Run.objects.create(epoch=cut.epoch, kind="hourly", claimed_at=now, alive_at=now, failed_at=now, error="no room")
    value, sentence, _ = told(now)["Frozen buffer"]
    assert (value != "None", "which has failed 1 time: " in sentence, sentence[:13]) == (True, True, "Epoch 2 waits")


def test_it_tells_what_batch_does_and_who_asked(now: datetime) -> None:
    asked_at = now.replace(hour=8, minute=30, second=5)
    Errand.objects.create(kind="rebuild", asked_at=asked_at, asked_by="ann", begun_at=now, alive_at=now)
    run = {"epoch": 2, "kind": "rebuild", "step": "recompute acme 2026-01-01 media", "done": 9, "total": 36}
    Run.objects.create(claimed_at=now - timedelta(seconds=70), alive_at=now, **run)
    assert glance.glance(now).work == [
        Work("Rebuild, asked for by ann at 08:30:05 UTC: under way.", 0, 0),
        Work("The rebuild run of epoch 2, for 1 min: recompute acme 2026-01-01 media.", 9, 36),
    ]


def test_an_errand_that_nobody_begins_makes_ask_for_the_worker(now: datetime) -> None:
    Errand.objects.create(kind="daily", asked_at=now - timedelta(minutes=3), asked_by="ann")
    (work,) = glance.glance(now).work
    assert work.sentence.endswith("waits for the worker since 3 min. Is worker-batch running?")


def test_runs_and_schedules_have_their_state_in_words(now: datetime) -> None:
    old = now - timedelta(hours=2)
    Run.objects.create(epoch=2, kind="daily", claimed_at=old, alive_at=old, failed_at=old + timedelta(seconds=90))
    Run.objects.create(epoch=2, kind="daily", claimed_at=old, alive_at=old)
    PeriodicTask.objects.filter(name="Watch the alarms").update(enabled=False)
    PeriodicTask.objects.create(name="Mine", task="x", interval_id=PeriodicTask.objects.all()[0].interval_id)
    seen = glance.glance(now)
    assert [(line.cells[0], line.cells[2], line.state) for line in seen.runs[:2]] == [
        ("daily 2", "0.0 s", "stopped"),
        ("daily 2", "1 min", "failed"),
    ]
    assert {line.cells[0]: (line.state, line.tone) for line in seen.schedules} == {
        "Fold new events into the buffers": ("in time", "calm"),
        "Catch up with runs that are due": ("in time", "calm"),
        "Start the run of the full hour": ("in time", "calm"),
        "Send reports and alerts of hubs": ("in time", "calm"),
        "Watch the alarms": ("'Watch the alarms' is disabled.", "warning"),
        "Mine": ("enabled", "calm"),
    }


def test_the_charts_are_the_accounts_of_24_hours(now: datetime) -> None:
    hour = int(now.timestamp()) // 3_600
    with event_log().writer() as writer:
        for back, account in ((23, Account(7, 5, 0, 2)), (24, Account(9, 9, 0, 0))):
            writer.account("acme", hour - back, account)
        writer.reject([Rejection("acme", "invalid_page", "no", b"{}", 1)])
    found = {chart.name: chart for chart in glance.charts(now)}
    accepted = found["accepted"].hours
    assert (len(accepted), accepted[0][1], accepted[-1][1]) == (24, 5, 3)
    assert (found["rejected"].hours[0][1], found["runs"].hours[-1][1] > 0) == (2, True)
    first = f"{now - timedelta(hours=23):%H}:00"
    assert found["accepted"].sentence == f"8 accepted in 24 hours, most in the hour of {first} UTC (5)."


def test_the_home_of_who_may_see_no_pipeline_is_empty(now: datetime) -> None:
    user = User.objects.create_user("sam", is_staff=True)
    client = Client()
    client.force_login(user)
    before = client.get("/admin/").content.decode()
    user.user_permissions.add(Permission.objects.get(codename="view_run"))
    after = client.get("/admin/").content.decode()
    assert ['id="glance"' in page for page in (before, after)] == [False, True]
    assert "errands/rebuild" not in after
