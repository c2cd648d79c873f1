"""The alarms: what raises each, what they say, and what `pipeline_status` makes of them."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from django.core.management import call_command
from django.db import DatabaseError
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from aggregations.event import Event
from batch.models import Audit, Mismatch, Run
from events.cuts import mark_published, record_cut
from events.log import Account, Rejection, event_log
from events.models import RejectedEvent, Removal
from speed import buffers, consumer, recovery
from statsproject import alarms, pulse
from statsproject.alarms import Alarm
from statsproject.celery import store_schedule
from tests import caches, log
from tests.simulation.world import empty
from views_layer import seam

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

RUNBOOK = (Path(__file__).resolve().parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")


@pytest.fixture
def now(redis_url: str, monkeypatch) -> datetime:
    """A pipeline in which all is well, at this moment."""
    empty(redis_url)
    RejectedEvent.objects.all().delete()
    caches.renew(monkeypatch)
    store_schedule()
    now = timezone.now()
    append(now)
    seam.run_now(Run.HOURLY)
    with redis.Redis.from_url(redis_url) as client:
        for part in pulse.PARTS:
            pulse.beat_once(part, client)
    return now


def append(at: datetime, count: int = 1) -> None:
    received_at = int(at.timestamp() * 1000)
    log.append([Event("acme", "e", "view", received_at, received_at, 1, 1, 1)] * count, received_at)


def standing(now: datetime) -> list[Alarm]:
    return [alarm for alarm in alarms.look(alarms.Facts(now)).values() if alarm]


def test_where_all_is_well_there_is_no_alarm(now: datetime) -> None:
    assert standing(now) == []


def test_an_event_that_is_not_folded_for_two_minutes_raises_lag(now: datetime) -> None:
    append(now, count=3)
    seconds = (60, 180)
    assert [standing(now + timedelta(seconds=s)) for s in seconds] == [
        [],
        [Alarm("lag", "critical", "3 accepted events are not in the answers; the oldest waits for 180 s.")],
    ]


def test_an_hour_that_is_not_published_raises_publication(now: datetime) -> None:
    mark = record_cut(2, {"main": 1}, datetime(2026, 3, 5, 10, tzinfo=UTC))
    mark_published(mark.epoch, mark.cut_at)
    consumer.apply_new()
    said = "The last hour was not published within 10 minutes; last published cut: 2026-03-05T10:00:00+00:00."
    assert standing(now) == [Alarm("publication", "critical", said)]


def test_a_run_that_fails_is_told_with_its_next_try(now: datetime) -> None:
    record_cut(2, {"main": 1}, now)
    recovery.ensure(event_log())
    failed_at = now - timedelta(seconds=10)
    for _ in range(3):
        Run.objects.create(
            epoch=2, kind=Run.HOURLY, claimed_at=now, alive_at=now, failed_at=failed_at, error="OSError: no"
        )
    facts = alarms.Facts(now)
    (publication,) = [check for check in alarms.CHECKS if check.name == "publication"]
    at = (failed_at + timedelta(minutes=1)).isoformat(timespec="seconds")
    assert (standing(now), publication.fine(facts)) == (
        [],
        f"Epoch 1 is published, in time. The run of epoch 2 has failed 3 times (OSError: no); it is tried again at {at} at"
        " the latest, and at once by run_batch.",
    )


def test_a_difference_raises_audit_until_it_is_acknowledged(now: datetime) -> None:
    audit = Audit.objects.get(epoch=1)
    Mismatch.objects.create(audit=audit, hub="acme", rollup="hub", stored_state=b"a", batch_state=b"b")
    before = standing(now)
    Mismatch.objects.update(acknowledged_at=now)
    said = (
        "1 states differed from the raw events, and nobody has acknowledged them; the newest is acme hub, in epoch 1."
        " Batch was published."
    )
    assert (before, standing(now)) == ([Alarm("audit", "critical", said)], [])


def test_an_event_without_account_raises_accounting(now: datetime) -> None:
    at = int(now.timestamp() * 1000)
    with event_log().writer() as writer:
        writer.append([Event("acme", "e", "view", at, at, 1, 1, 1)], at)
    consumer.apply_new()
    said = (
        "Of 1 events received in 24 hours, 1 were accepted, 0 duplicates and 0 rejected; in some hour these do not add up,"
        " or the log holds another number."
    )
    assert standing(now) == [Alarm("accounting", "critical", said)]


def test_a_part_without_pulse_raises_parts(now: datetime) -> None:
    pulse.stop("beat")
    assert standing(now) == [Alarm("parts", "critical", "No pulse of beat.")]


def test_without_redis_there_is_one_alarm_and_no_other(now: datetime, settings, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    said = "Redis does not answer: answers end at the last cut, and nothing is folded."
    assert standing(now) == [Alarm("redis", "critical", said)]


def test_buffers_that_disagree_with_the_cuts_raise_redis(now: datetime) -> None:
    ahead = buffers.Pipeline(1, 2, {"main": 9}, None, None, event_log().birth())
    buffers.install(ahead, [], buffers.pipeline())
    said = "Redis answers, but its buffers do not agree with the recorded cuts; the consumer has not mended them."
    assert standing(now) == [Alarm("redis", "critical", said)]


def test_ticks_that_are_missing_disabled_or_late_raise_schedules(now: datetime) -> None:
    missing, disabled, late, *_ = PeriodicTask.objects.order_by("name")
    missing.delete()
    PeriodicTask.objects.filter(pk=disabled.pk).update(enabled=False)
    before = datetime(2026, 3, 5, 10, tzinfo=UTC)
    PeriodicTask.objects.filter(pk=late.pk).update(last_run_at=before, date_changed=before)
    (alarm,) = standing(now)
    assert (alarm.severity, set(alarm.sentence.rstrip(".").split(". "))) == (
        "warning",
        {
            f"{missing.name!r} is missing",
            f"{disabled.name!r} is disabled",
            f"{late.name!r} was not sent since 2026-03-05 10:00 UTC",
        },
    )


@pytest.mark.parametrize(("hours", "is_raised"), [(5, False), (7, True)])
def test_a_removal_that_is_not_done_in_time_raises_removals(now: datetime, hours: int, is_raised: bool) -> None:
    removal = Removal.objects.create(hub="acme", visitor=7, requested_by="Ann")
    Removal.objects.update(requested_at=now - timedelta(hours=hours))
    raised = [alarm.sentence for alarm in standing(now) if alarm.name == "removals"]
    said = f"1 removals are not done; the oldest, removal {removal.pk}: a visitor of acme, was asked for at"
    assert [sentence.startswith(said) for sentence in raised] == [True] * is_raised


@pytest.mark.parametrize(("free", "severity"), [(2**31, None), (2**31 - 1, "warning"), (2**28 - 1, "critical")])
def test_a_full_disk_raises_disk(now: datetime, monkeypatch, free: int, severity: str | None) -> None:
    monkeypatch.setattr(alarms.Facts, "free_bytes", free)
    assert [alarm.severity for alarm in standing(now) if alarm.name == "disk"] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("rejected", "accepted", "is_raised"), [(99, 0, False), (100, 1_000, True), (100, 3_000, False)]
)
def test_many_rejected_events_raise_rejected(now: datetime, rejected: int, accepted: int, is_raised: bool) -> None:
    at = int(now.timestamp() * 1000)
    append(now - timedelta(hours=2), count=10_000)
    append(now, count=accepted)
    with event_log().writer() as writer:
        writer.account("acme", at // 3_600_000, Account(received=rejected, rejected=rejected))
        writer.reject([Rejection("acme", "unknown_hub", "", b"{}", at)] * rejected)
        writer.reject([Rejection("acme", "unknown_hub", "", b"{}", at - 7_200_000)] * 500)
    assert [alarm.name for alarm in standing(now) if alarm.name == "rejected"] == ["rejected"] * is_raised


def test_a_check_that_cannot_look_is_an_alarm(now: datetime, monkeypatch) -> None:
    def broken(*_):
        raise DatabaseError("disk I/O error")

    monkeypatch.setattr(alarms.PeriodicTask.objects, "select_related", broken)
    said = "This could not be checked (DatabaseError: disk I/O error)."
    assert standing(now) == [Alarm("schedules", "critical", said)]


def test_the_status_in_json(now: datetime, capsys) -> None:
    append(timezone.now(), count=2)
    call_command("pipeline_status", "--json")
    status = json.loads(capsys.readouterr().out)
    assert {name: status[name] for name in status if name not in ("cut_at", "lag_seconds")} == {
        "log": {"main": 2},
        "applied": {"main": 1},
        "cut": {"main": 1},
        "published_epoch": 1,
        "lag_events": 2,
        "audits": 1,
        "mismatches": 0,
        "rejected": 0,
        "accounts": {"received": 3, "accepted": 3, "duplicates": 0, "rejected": 0, "balanced": True},
        "settled": True,
        "overdue": False,
        "tries": None,
        "alarms": {},
        "healthy": True,
    }


def test_the_status_in_words(now: datetime, capsys, monkeypatch) -> None:
    monkeypatch.setattr(alarms.Facts, "free_bytes", 64 * 1024**3)
    pulse.stop("beat")
    with pytest.raises(SystemExit):
        call_command("pipeline_status")
    assert capsys.readouterr().out.splitlines() == [
        "The pipeline is unhealthy.",
        "  fine      redis        Redis answers, and its buffers agree with the recorded cuts.",
        "  critical  parts        No pulse of beat. See docs/runbook.md#parts",
        "  fine      servers      Every part is embedded.",
        "  fine      lag          Every accepted event is in the answers.",
        "  fine      publication  Epoch 1 is published, in time.",
        "  fine      audit        Audits so far: 1; no difference is open.",
        "  fine      accounting   All 1 events received in 24 hours are accounted for.",
        "  fine      schedules    All 5 ticks are enabled and sent in time.",
        "  fine      removals     Every removal that was asked for is done, or on its way.",
        "  fine      disk         64 GiB are free.",
        "  fine      rejected     0 events were rejected in this hour and the one before, 0 wait for replay.",
        "  log                    main 1",
        "  applied                main 1",
        "  cut                    main 1",
    ]


def test_the_runbook_has_a_section_for_each_alarm() -> None:
    sections = re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)
    assert sections == [check.name for check in alarms.CHECKS]
