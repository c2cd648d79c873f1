"""Ranges as far as a calendar goes: an answer or an error that names what would do, and never a long wait."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.http import QueryDict

from events.models import Hub
from speed import consumer
from tests.api.test_stats_oracle import append, fresh  # noqa: F401 (a fixture)
from views_layer.ask import answer
from views_layer.question import QueryError

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NOW = datetime(2024, 11, 4, tzinfo=UTC)
FAR = "from=1970-01-01&to=9000-01-01"


@pytest.fixture
def hub(fresh) -> Hub:  # noqa: F811
    hub = Hub.objects.create(slug="acme", timezone="America/New_York")
    append([view("1970-01-05T12:00:00Z"), view("2024-06-11T12:00:00Z")])
    consumer.apply_new()
    return hub


def view(at: str) -> dict[str, Any]:
    return {"hub": "acme", "action": "view", "visitor": "ann", "occurred_at": at}


def asked(hub: Hub, query: str) -> list[dict[str, Any]]:
    return answer(hub, QueryDict(f"metrics=events&{query}"), NOW)["results"]


def refused(hub: Hub, query: str) -> tuple[str, str, str | None]:
    with pytest.raises(QueryError) as caught:
        asked(hub, query)
    return caught.value.code, caught.value.detail, caught.value.field


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (FAR, [{"events": 2}]),
        (f"{FAR}&compare=year", [{"events": 2, "previous": {"events": 2}}]),
        ("from=1970-01-01&to=3938-01-01&compare=previous", [{"events": 2, "previous": {"events": 0}}]),
        (f"{FAR}&by=weekday", [{"weekday": 1, "events": 1}, {"weekday": 2, "events": 1}]),
        (f"{FAR}&by=hour_of_day", [{"hour_of_day": 7, "events": 1}, {"hour_of_day": 8, "events": 1}]),
        (f"{FAR}&by=weekday&media=", [{"weekday": 1, "events": 1}, {"weekday": 2, "events": 1}]),
        (f"{FAR}&interval=month&limit=1", [{"time": "1970-01-01T00:00:00-05:00", "events": 1}]),
    ],
)
def test_it_answers_over_all_years(hub, query, rows):
    assert asked(hub, query) == rows


def test_a_comparison_that_no_calendar_holds_names_the_last_day_that_would_do(hub):
    detail = (
        "compare 'previous' of this range would begin before the first year of the calendar; use a to up to"
        " 3938-01-01, or compare 'year'."
    )
    assert refused(hub, f"{FAR}&compare=previous") == ("invalid_compare", detail, "compare")


@pytest.mark.parametrize(
    ("query", "rows", "fitting"),
    [
        ("period=all&interval=hour", 480_641, "day or week or month"),
        ("from=1970-01-01&interval=hour", 480_739, "day or week or month"),
        (f"{FAR}&interval=day", 2_567_655, "month"),
        (f"{FAR}&interval=week", 366_807, "month"),
    ],
)
def test_too_many_buckets_name_the_intervals_that_would_do(hub, query, rows, fitting):
    code, detail, field = refused(hub, query)
    said = f"has about {rows} rows, more than 100000; use {fitting}, or a shorter range."
    assert (code, field) == ("invalid_interval", "interval")
    assert detail.endswith(said)


def test_an_empty_date_is_no_date(hub):
    detail = "from '' is neither a date such as 2026-11-23 nor an instant such as 2026-11-23T10:00:00Z."
    assert refused(hub, "from=&to=") == ("invalid_from", detail, "from")
    assert refused(hub, "from=2024-06-11&to=")[0] == "invalid_to"
