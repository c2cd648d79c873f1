"""Clocks that move by half an hour, and ranges of which only one lies on full hours."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.http import QueryDict

from events.models import Hub
from speed import consumer
from tests.api.test_stats_oracle import append, fresh  # noqa: F401 (a fixture)
from views_layer import raw
from views_layer.ask import answer

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NOW = datetime(2024, 11, 4, tzinfo=UTC)


@pytest.fixture
def howe(fresh) -> Hub:  # noqa: F811
    return Hub.objects.create(slug="howe", timezone="Australia/Lord_Howe")


def view(at: str) -> dict[str, Any]:
    return {"hub": "howe", "action": "view", "visitor": "ann", "occurred_at": at}


def asked(hub: Hub, query: str) -> list[dict[str, Any]]:
    return answer(hub, QueryDict(f"metrics=events&{query}"), NOW)["results"]


def test_it_counts_a_winters_hour_in_a_range_from_summer_to_summer(howe):
    append([view("2024-06-15T10:15:00+10:30"), view("2024-06-15T10:45:00+10:30")])
    consumer.apply_new()
    assert asked(howe, "from=2023-12-01&to=2024-11-01&by=hour_of_day") == [{"hour_of_day": 10, "events": 2}]


def test_it_compares_a_winter_with_the_summer_before_in_buffers(howe):
    append([view("2024-03-30T10:15:00+11:00"), view("2024-04-09T10:45:00+10:30")])
    consumer.apply_new()
    found = asked(howe, "from=2024-04-01&to=2024-04-11&by=action,hour_of_day&compare=previous")
    assert found == [{"action": "view", "hour_of_day": 10, "events": 1, "previous": {"events": 1}}]


def test_it_finds_a_number_of_a_property_as_it_was_sent(howe):
    append([view("2024-06-15T10:15:00+10:30") | {"properties": {"n": value}} for value in (1e16, 2.5e-7, 3.0)])
    consumer.apply_new()
    span = "from=2024-06-01&to=2024-07-01"
    for text in ("1e%2B16", "1e16", "2.5e-07", "2.5e-7", "3", "3.0"):
        assert asked(howe, f"{span}&properties.n={text}") == [{"events": 1}], text


def test_hours_that_are_all_cut_are_one_span_of_raw_events(howe, monkeypatch):
    spans = []

    def fold(moment, hub, asked_spans, *rest):
        spans.append(list(asked_spans))
        return unchanged(moment, hub, asked_spans, *rest)

    unchanged = raw.fold
    monkeypatch.setattr(raw, "fold", fold)
    append([view(f"2024-06-15T{hour:02}:{minute}:00Z") for hour in (8, 9, 10) for minute in (10, 50)])
    consumer.apply_new()
    rows = asked(howe, "from=2024-06-15T08:00:00Z&to=2024-06-15T11:00:00Z&interval=hour")
    assert [row["events"] for row in rows] == [1, 2, 2, 1]
    assert spans == [[(1_718_438_400_000, 1_718_449_200_000)]]
