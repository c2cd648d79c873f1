"""Days small enough to check by hand. Laws miss a fault that every layer shares; these do not."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.http import QueryDict
from django.utils.dateparse import parse_datetime

from batch.models import Run
from events.models import ApiKey, Hub
from speed import consumer
from tests.api.test_stats_oracle import append, fresh  # noqa: F401 (a fixture)
from views_layer import seam
from views_layer.ask import answer

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

DAYS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(Path(__file__).parent.glob("days/*.json"))
}
NOW = datetime(2024, 11, 5, tzinfo=UTC)
STATES = ("buffers", "batch", "daily", "rebuild")


def happened(day: dict[str, Any], state: str) -> Hub:
    """The day in a hub, as far as the pipeline has come."""
    hub = Hub.objects.create(slug="acme", timezone=day["timezone"])
    for events in day["chunks"]:
        append([{"hub": "acme"} | event for event in events])
        if day.get("batch_after_each_chunk") or state == "batch":
            seam.run_now(Run.HOURLY)
    consumer.apply_new()
    if state in ("daily", "rebuild"):
        seam.run_now(state)
    return hub


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", DAYS)
def test_the_day_is_as_counted_by_hand(fresh, name, state):  # noqa: F811
    hub = happened(DAYS[name], state)
    for question in DAYS[name]["questions"]:
        found = answer(hub, QueryDict(question["query"]), NOW)
        assert found["results"] == question["results"], question["why"]
        assert found["totals"] == question["totals"], question["why"]
        if "range" in question:
            assert [found["query"]["from"], found["query"]["to"]] == question["range"]


@pytest.mark.parametrize("state", ["batch", "daily", "rebuild"])
@pytest.mark.parametrize("name", [name for name, day in DAYS.items() if "restatements" in day])
def test_what_a_late_event_changed_is_restated(fresh, client, name, state):  # noqa: F811
    hub = happened(DAYS[name], state)
    key = ApiKey.issue(hub, ApiKey.READ)
    response = client.get(f"/api/hubs/{hub.slug}/restatements", headers={"Authorization": f"Bearer {key}"})
    entries = response.json()["results"]
    expected = DAYS[name]["restatements"]
    found = sorted([e["from"], e["to"], e["metric"], e["old"], e["new"]] for e in entries)
    assert found == expected["results"], expected["why"]
    assert {entry["reason"] for entry in entries} == {"late events"}
    assert all(parse_datetime(entry["restated_at"]) for entry in entries)
