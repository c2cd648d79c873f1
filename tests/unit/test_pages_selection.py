"""The state of a page in its URL."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.http import QueryDict
from django.test import Client

from batch.view_store import StoreAway
from events.models import Cut, Hub
from views_layer.pages.figures import bucket_label, chart
from views_layer.pages.panels import ENGAGEMENT, PANELS, Table
from views_layer.pages.rows import filters_of
from views_layer.pages.selection import Selection, with_half_open_dates
from views_layer.pages.wording import metric_texts

NOW = datetime(2026, 11, 23, 9, 41, tzinfo=UTC)


def selection_of(query: str) -> Selection:
    return Selection(Hub(slug="acme", timezone="Europe/Paris", created_at=NOW), QueryDict(query), "visits")


def test_it_asks_for_seven_days_without_robots_by_default() -> None:
    assert selection_of("").asked(["visits"], NOW).dict() == {"period": "7d", "robots": "exclude", "metrics": "visits"}


def test_it_asks_with_own_dates_filters_and_zone() -> None:
    query = (
        "from=2026-11-01&to=2026-11-08&period=28d&timezone=Asia/Kolkata&robots=only&country=FR&country=BE&media=&utm=x"
    )
    assert dict(selection_of(query).asked(["visits", "views", "visits"], NOW, by="media", limit=9).lists()) == {
        "from": ["2026-11-01"],
        "to": ["2026-11-08"],
        "timezone": ["Asia/Kolkata"],
        "robots": ["only"],
        "country": ["FR", "BE"],
        "media": [""],
        "metrics": ["visits,views"],
        "by": ["media"],
        "limit": ["9"],
    }


def test_it_keeps_the_rest_of_the_state_in_every_link() -> None:
    selection = selection_of("period=28d&country=FR&properties.plan=true&unknown=1")
    assert selection.query(metric="views") == "?period=28d&country=FR&properties.plan=true&metric=views"
    assert selection.query(country=None, media=["cat-1"]) == "?period=28d&properties.plan=true&media=cat-1"


def test_it_reads_the_names_of_zones_from_disk_once(monkeypatch: pytest.MonkeyPatch) -> None:
    selection_of("").zone()
    monkeypatch.setattr("zoneinfo.available_timezones", lambda: pytest.fail("read again"))
    zones = [selection_of(query).zone().key for query in ("", "timezone=Asia/Tokyo", "timezone=Mars/Olympus")]
    assert zones == ["Europe/Paris", "Asia/Tokyo", "Europe/Paris"]


def test_it_leaves_own_dates_for_a_period() -> None:
    choices = {choice.name: choice.url for choice in selection_of("from=2026-11-01&to=2026-11-08").period_choices()}
    assert choices["today"] == "?period=today"


def test_a_range_between_hours_is_shown_by_local_times_and_days() -> None:
    selection = selection_of("from=2026-11-01T23:00:00Z&to=2026-11-02T04:00:00Z")
    assert selection.period_label(NOW) == "2 Nov, 00:00 – 2 Nov, 05:00"
    assert (selection.first_day(), selection.last_day()) == ("2026-11-02", "2026-11-02")


@pytest.mark.parametrize(
    ("query", "label", "days"),
    [
        ("from=2026-11-02T10:00&to=2026-11-03T10:00", "2 Nov, 10:00 – 3 Nov, 10:00", ("2026-11-02", "2026-11-03")),
        (
            "from=2024-12-31T23:00:00Z&to=2025-01-01T10:00",
            "1 Jan 2025, 00:00 – 1 Jan 2025, 10:00",
            ("2025-01-01", "2025-01-01"),
        ),
        ("from=2026-11-02&to=0001-01-01", "2 Nov 2026 – 0001-01-01", ("2026-11-02", "0001-01-01")),
        (
            "from=0001-01-01T00:00:00%2B14:00&to=9999-12-31T23:59:59-12:00",
            "0001-01-01T00:00:00+14:00 – 9999-12-30",
            ("0001-01-01T00:00:00+14:00", "9999-12-30"),
        ),
    ],
)
def test_any_range_is_shown_also_one_that_is_refused(query: str, label: str, days: tuple[str, str]) -> None:
    selection = selection_of(query)
    assert (selection.period_label(NOW), (selection.first_day(), selection.last_day())) == (label, days)


@pytest.mark.parametrize(
    ("first", "to", "ends"),
    [
        ("24T00:00+01:00", "26T00:00+01:00", [("2026-11-24", "2026-11-25"), ("2026-11-25", "2026-11-26")]),
        (
            "24T09:00+00:00",
            "25T03:00+01:00",
            [("2026-11-24T10:00:00+01:00", "2026-11-25"), ("2026-11-25", "2026-11-25T03:00:00+01:00")],
        ),
    ],
)
def test_a_bucket_leads_to_what_it_counts_of_the_range(first: str, to: str, ends: list[tuple[str, str]]) -> None:
    answer = {
        "query": {"from": f"2026-11-{first}", "to": f"2026-11-{to}"},
        "results": [{"time": f"2026-11-{day}T00:00+01:00", "visits": 1} for day in (24, 25)],
        "totals": {"visits": 1},
        "meta": {"as_of": "2026-11-30T00:00:00Z"},
    }
    found = chart(answer, selection_of(""), metric_texts(), "day")
    assert [(bucket.start, bucket.end) for bucket in found.buckets] == ends


@pytest.mark.parametrize(
    ("interval", "label"),
    [
        ("hour", "Mon 24 Nov 2025, 00:00"),
        ("day", "Mon 24 Nov 2025"),
        ("week", "week of 24 Nov 2025"),
        ("month", "November 2025"),
    ],
)
def test_every_bucket_is_named_with_its_year(interval: str, label: str) -> None:
    assert bucket_label(datetime(2025, 11, 24, tzinfo=UTC), interval) == label


def test_it_turns_the_last_day_of_the_form_into_a_half_open_end() -> None:
    changed = with_half_open_dates(QueryDict("from=2026-11-01&last=2026-11-07&country=FR"))
    assert changed is not None
    assert changed.urlencode() == "from=2026-11-01&country=FR&to=2026-11-08"
    assert selection_of(changed.urlencode()).period_label(NOW) == "1 – 7 Nov 2026"


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize("page", ["consultation", "consultation/media", "retribution", "restatements"])
def test_every_page_takes_the_dates_of_the_form(admin_client: Client, page: str) -> None:
    Hub.objects.create(slug="acme", timezone="Europe/Paris")
    answer = admin_client.get(f"/hubs/acme/{page}?from=2026-11-01&last=2026-11-07&country=FR")
    assert answer["Location"] == f"/hubs/acme/{page}?from=2026-11-01&country=FR&to=2026-11-08"


@pytest.mark.django_db(databases="__all__")
def test_its_form_is_there_while_the_view_store_is_away(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_away(*_asked: object) -> None:
        raise StoreAway("Elasticsearch does not answer.")

    Hub.objects.create(slug="acme")
    monkeypatch.setattr("views_layer.pages.frame.published_cut", lambda: Cut(epoch=1))
    monkeypatch.setattr("views_layer.pages.frame.view_store", lambda: SimpleNamespace(first_start=is_away))
    said = admin_client.get("/hubs/acme/retribution").content.decode()
    assert ('name="from" required min=""' in said, "Show these dates" in said) == (True, True)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("from=2026-11-01&to=2026-11-02", ""),
        (
            "from=2026-11-08&to=2026-11-02",
            "The first day, 8 Nov 2026, is after the last, 1 Nov 2026: choose another of the two.",
        ),
        ("from=2026-11-08", ""),
        ("from=2026-11-08T09:00Z&to=2026-11-08T12:00Z", ""),
        ("from=soon&to=later", ""),
    ],
)
def test_it_says_that_own_dates_are_the_wrong_way_round(query: str, problem: str) -> None:
    assert selection_of(query).dates_problem == problem


@pytest.mark.parametrize(
    ("query", "interval"),
    [
        ("period=today", "hour"),
        ("period=7d", "day"),
        ("period=12mo", "month"),
        ("period=7d&interval=hour", "hour"),
        ("from=2026-11-01&to=2026-11-02", "hour"),
        ("from=2026-11-01&to=2026-12-01", "day"),
        ("from=2025-11-01&to=2026-12-01", "month"),
        ("from=soon&to=later", "hour"),
    ],
)
def test_it_chooses_an_interval_that_suits_the_period(query: str, interval: str) -> None:
    assert selection_of(query).interval(NOW) == interval


def test_it_shows_each_filter_as_a_chip_that_takes_it_away() -> None:
    chips = selection_of("country=FR&country=BE&source=").chips({})
    assert [(chip.title, chip.label, chip.url) for chip in chips] == [
        ("Country", "France", "?country=BE&source="),
        ("Country", "Belgium", "?country=FR&source="),
        ("Source", "Direct", "?country=FR&country=BE"),
    ]


def test_it_narrows_a_tables_own_filters_by_the_pages() -> None:
    media = ENGAGEMENT.table("media")
    assert isinstance(media, Table)
    assert filters_of(media, selection_of("")) == {"action": ["share", "download", "print", "click"]}
    assert filters_of(media, selection_of("action=share&action=view")) == {"action": ["share"]}
    assert filters_of(media, selection_of("action=view")) is None


def test_it_names_each_table_of_a_panel_once() -> None:
    for panel in PANELS:
        names = [table.name for table in panel.tables]
        assert len(names) == len(set(names))
