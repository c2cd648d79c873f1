"""Numbers, changes and values as people read them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation

from views_layer.pages.figures import _change, spark
from views_layer.pages.trust import trust_line
from views_layer.pages.wording import change, date_range, figure, share, time_of_day, value_of

PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("metric", "unit", "value", "text"),
    [
        ("visits", "count", 1234567, "1,234,567"),
        ("visits", "count", None, "–"),
        ("avg_visit_duration_ms", "milliseconds", 63_400, "1:03"),
        ("avg_visit_duration_ms", "milliseconds", 3_725_000, "1:02:05"),
        ("duration_ms", "milliseconds", 45_000, "45 s"),
        ("duration_ms", "milliseconds", 200_000, "3 min 20 s"),
        ("duration_ms", "milliseconds", 19_320_000, "5 h 22 min"),
        ("bounce_rate", "ratio", 0.2345, "23.4%"),
        ("visits_per_visitor", "ratio", 1.5, "1.50"),
    ],
)
def test_it_writes_figures(metric: str, unit: str, value: float | None, text: str) -> None:
    assert figure(metric, unit, value) == text


@pytest.mark.parametrize(
    ("metric", "value", "previous", "told"),
    [
        ("visits", 112, 100, ("up", "12%", "up from 100", "good")),
        ("visits", 96.5, 100, ("down", "3.5%", "down from 100", "bad")),
        ("visits", 5, 0, ("up", "", "up from 0", "good")),
        ("visits", 7, 7, ("same", "", "unchanged from 7", "calm")),
        ("visits", 700, 7, ("up", "100 times", "up from 7", "good")),
        ("visits", None, 7, ("none", "", "nothing to compare with", "calm")),
        ("bounce_rate", 0.3, 0.25, ("up", "5.0 points", "up from 25.0%", "bad")),
        ("duration_ms", 60_000, 30_000, ("up", "100%", "up from 30\u00a0s", "good")),
    ],
)
def test_it_tells_a_change_in_words_and_number(metric: str, value: float, previous: float, told: tuple) -> None:
    unit = {"bounce_rate": "ratio", "duration_ms": "milliseconds"}.get(metric, "count")
    told_now = change(metric, unit, value, previous)
    assert (told_now.direction, told_now.amount, told_now.words, told_now.tone) == told


@pytest.mark.parametrize(
    ("dimension", "value", "name"),
    [
        ("country", "FR", "France"),
        ("country", "XX", "XX"),
        ("country", None, "Unknown"),
        ("language", "fr", "French"),
        ("language", "pt-BR", "Portuguese (Brazil)"),
        ("source", None, "Direct"),
        ("media", None, "The hub itself"),
        ("visit_number", 1, "Visit 1"),
        ("visit_number", "12", "Visit 12"),
        ("action", "share", "Shared"),
        ("action", "bookmark", "Bookmark"),
        ("device", "mobile", "Phone"),
        ("weekday", 1, "Monday"),
        ("hour_of_day", 9, "09:00"),
        ("network", "linkedin", "LinkedIn"),
        ("properties.plan", True, "True"),
    ],
)
def test_it_names_values(dimension: str, value: object, name: str) -> None:
    assert value_of(dimension, value) == name


def test_it_writes_shares_without_hiding_small_ones() -> None:
    assert [share(1, 1000), share(0, 10), share(39, 100), share(1, 0)] == ["<1%", "0%", "39%", ""]


def test_it_draws_no_line_through_a_single_value() -> None:
    assert [spark([3]), spark([None, 2]), spark([0, 1])] == ["", "", "0.0,24.0 100.0,2.0"]


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("2026-11-22T23:00", "2026-11-23T23:00", "Monday 23 November 2026"),
        ("2026-11-16T23:00", "2026-11-23T23:00", "17 – 23 Nov 2026"),
        ("2026-10-27T23:00", "2026-11-23T23:00", "28 Oct – 23 Nov 2026"),
        ("2025-12-31T23:00", "2026-12-31T23:00", "1 Jan – 31 Dec 2026"),
        ("2025-11-30T23:00", "2026-11-30T23:00", "1 Dec 2025 – 30 Nov 2026"),
    ],
)
def test_it_names_a_half_open_range_by_its_local_days(start: str, end: str, text: str) -> None:
    first, last = (datetime.fromisoformat(at).replace(tzinfo=UTC) for at in (start, end))
    assert date_range(first, last, PARIS) == text


META = {
    "batch_until": "2026-11-23T09:00:00Z",
    "as_of": "2026-11-23T09:41:07Z",
    "exact": True,
    "provisional": True,
    "source": "views+buffers",
    "warnings": [],
}
NOW = datetime(2026, 11, 23, 9, 41, 8, tzinfo=UTC)


def test_it_says_how_far_the_numbers_can_be_trusted() -> None:
    line = trust_line(META, NOW, PARIS)
    assert (line.tone, " ".join([line.verdict, *line.sentences])) == (
        "calm",
        "Exact. Batch until 10:00, live until 10:41:07 (Europe/Paris). Figures since 10:00 are provisional.",
    )


def test_it_names_the_day_of_an_old_batch_and_shows_warnings() -> None:
    meta = META | {
        "batch_until": "2026-11-21T09:00:00Z",
        "as_of": "2026-11-21T09:00:00Z",
        "warnings": ["Redis does not answer."],
    }
    line = trust_line(meta, NOW, PARIS)
    assert (line.tone, line.sentences[0], line.warnings) == (
        "warning",
        "Batch until 21 Nov, 10:00, live until 21 Nov, 10:00:00 (Europe/Paris).",
        ["Redis does not answer."],
    )


def test_a_change_of_a_part_names_the_part() -> None:
    """A card shows 1,331 visits; its change compares those until the last full hour, of which there are fewer."""
    found = [
        _change("visits", "count", whole, part, before, until)
        for whole, part, before, until in (
            (1331, 661, 743, "12:00"), (661, 661, 743, "12:00"), (1331, 1331, 743, None), (9, 5, None, "12:00"),
        )
    ]  # fmt: skip
    assert [(change.direction, change.words) for change in found] == [
        ("down", "661 until 12:00, down from 743"),
        ("down", "down from 743"),
        ("up", "up from 743"),
        ("none", "nothing to compare with"),
    ]


def test_a_time_of_another_year_is_told_with_its_year() -> None:
    found = [time_of_day(datetime(year, 12, 31, 22, 30, tzinfo=UTC), NOW, PARIS) for year in (2025, 2026)]
    assert found == ["31 Dec 2025, 23:30", "31 Dec, 23:30"]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (lambda: figure("visits", "count", 1234567), "1 234 567"),
        (lambda: figure("bounce_rate", "ratio", 0.2345), "23,4 %"),
        (lambda: figure("visits_per_visitor", "ratio", 1.5), "1,50"),
        (lambda: value_of("country", "DE"), "Allemagne"),
        (lambda: value_of("language", "pt-BR"), "Portugais (Brésil)"),
        (lambda: value_of("weekday", 1), "Lundi"),
        (lambda: change("visits", "count", 112, 100).words, "en hausse depuis 100"),
        (lambda: date_range(NOW - timedelta(days=6), NOW, PARIS), "17 – 23 nov. 2026"),
    ],
)
def test_it_speaks_french(written: Callable[[], str], text: str) -> None:
    with translation.override("fr"):
        assert written().replace("\u202f", " ").replace("\xa0", " ") == text
