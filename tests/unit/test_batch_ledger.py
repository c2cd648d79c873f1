"""Who may do an epoch's work: claims, leases and fences."""

from datetime import timedelta

import pytest
from django.utils import timezone

from batch import ledger
from batch.models import Run
from events.cuts import published_cut, record_cut

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def cut() -> None:
    record_cut(1, {"main": 1}, timezone.now())


def claim(kind: str = Run.HOURLY) -> Run:
    run = ledger.claim(1, kind)
    assert run is not None
    return run


def stall(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(alive_at=timezone.now() - ledger.LEASE - timedelta(seconds=1))


def test_one_run_has_an_epoch_at_a_time() -> None:
    claim()
    assert ledger.claim(1, Run.HOURLY) is None


def test_a_report_keeps_the_claim() -> None:
    run = claim()
    stall(run)
    ledger.report(run, "fold")
    assert ledger.claim(1, Run.HOURLY) is None


def test_a_run_that_says_nothing_loses_its_claim_and_is_shut_out() -> None:
    slow = claim()
    stall(slow)
    fast = claim()
    for forbidden in (lambda: ledger.report(slow, "fold"), lambda: ledger.publish(slow)):
        with pytest.raises(ledger.Fenced, match=f"Run {slow.pk} of epoch 1 was too slow"):
            forbidden()
    assert published_cut() is None
    ledger.publish(fast)
    assert (published_cut().epoch, list(Run.objects.filter(published_at__isnull=False))) == (1, [fast])


def test_what_is_published_is_claimed_no_more_and_refused_to_the_late() -> None:
    ledger.refuse_published(1)
    ledger.publish(claim())
    assert ledger.claim(1, Run.HOURLY) is None
    with pytest.raises(ledger.Fenced):
        ledger.refuse_published(1)


def test_a_failed_run_gives_its_claim_back_with_the_reason() -> None:
    ledger.fail(claim(), ValueError("why"))
    claim()
    assert list(Run.objects.values_list("error", flat=True)) == ["", "ValueError: why"]


def test_an_epoch_keeps_the_kind_of_its_first_claim() -> None:
    ledger.fail(claim(Run.DAILY), ValueError())
    assert claim(Run.HOURLY).kind == Run.DAILY


def test_it_knows_the_last_run_from_raw_events() -> None:
    assert (ledger.last_epoch_from_raw_events(), ledger.last_daily_at()) == (0, None)
    hourly = claim()
    ledger.publish(hourly)
    record_cut(2, {"main": 2}, timezone.now())
    daily = ledger.claim(2, Run.DAILY)
    assert ledger.last_daily_at() is None
    ledger.publish(daily)
    assert (ledger.last_epoch_from_raw_events(), ledger.last_daily_at()) == (2, daily.claimed_at)
