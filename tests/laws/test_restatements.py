"""The law of restatements: what readers were told first, and all restatements since, is what they are told now."""

from datetime import UTC, datetime, timedelta

import pytest
from django.http import QueryDict
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregations.buckets import instant_ms
from aggregations.event import Event
from aggregations.metrics import METRICS
from batch.models import Restatement, Run
from events.models import Hub
from tests import caches, log
from tests.simulation.world import ROLLUPS, empty
from views_layer import ask, seam

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

HUB = "acme"
FIRST = instant_ms(datetime(2024, 3, 30, tzinfo=UTC))
ZONES = ["Asia/Kathmandu", "Asia/Kolkata", "Europe/Paris", "Australia/Lord_Howe", "UTC"]
KINDS = [Run.HOURLY, Run.HOURLY, Run.DAILY, Run.REBUILD]
quarters = st.integers(0, 3 * 96)
events = st.builds(
    lambda quarter, off, visitor, action, is_bot: Event(
        HUB, "x", action, FIRST + quarter * 900_000 + off, FIRST, visitor, visitor, 1, is_bot=is_bot, media="m"
    ),
    quarters,
    st.sampled_from([-1, 0, 1]),
    st.integers(1, 4),
    st.sampled_from(["view", "share"]),
    st.sampled_from([False, False, False, True]),
)
steps = st.lists(st.tuples(st.lists(events, min_size=1, max_size=4), st.sampled_from(KINDS)), min_size=2, max_size=5)

Told = dict[datetime, dict[str, int | float | None]]


def told(hub: Hub, first_at: int) -> Told:
    """The figures of each day that ended after the hub's first event."""
    text = f"metrics={','.join(METRICS)}&from=2024-03-29&to=2024-04-04&interval=day"
    rows = ask.answer(hub, QueryDict(text), timezone.now())["results"]
    days = {datetime.fromisoformat(row["time"]).astimezone(UTC): row for row in rows}
    ends = [*sorted(days)[1:], max(days) + timedelta(days=1)]
    return {
        day: {metric: days[day][metric] for metric in METRICS}
        for day, end in zip(sorted(days), ends, strict=True)
        if instant_ms(end) > first_at
    }


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=steps, zone=st.sampled_from(ZONES))
def test_what_was_told_first_and_the_restatements_are_what_is_told_now(steps, zone, redis_url, monkeypatch):
    empty(redis_url)
    with monkeypatch.context() as patch:
        for module in ("batch.run", "speed.folding"):
            patch.setattr(f"{module}.ROLLUPS", ROLLUPS)
        caches.renew(patch)
        hub = Hub.objects.get(slug=HUB)
        hub.timezone = zone
        hub.save()
        first_at, restated, now = None, {}, {}
        for some, kind in steps:
            log.append(some)
            seam.run_now(kind)
            first_at = min([event.occurred_at for event in some] + ([] if first_at is None else [first_at]))
            now = told(hub, first_at)
            restated |= {day: figures for day, figures in now.items() if day not in restated}
        for entry in Restatement.objects.order_by("epoch"):
            assert restated[entry.day_start][entry.metric] == entry.old != entry.new
            restated[entry.day_start][entry.metric] = entry.new
    assert restated == now
