"""Buckets of an interval where clocks move by half an hour."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from aggregations.buckets import instant_ms, midnight, moment_of
from views_layer import period
from views_layer.period import boundaries, end_a_year_before, offsets_between

LORD_HOWE = ZoneInfo("Australia/Lord_Howe")


def at(text: str) -> int:
    return instant_ms(datetime.fromisoformat(text))


def local(bounds: list[int]) -> list[str]:
    return [moment_of(bound).astimezone(LORD_HOWE).isoformat(timespec="minutes") for bound in bounds]


def test_an_hour_of_which_a_half_is_repeated_is_one_longer_hour():
    bounds = boundaries(at("2024-04-07T00:00:00+11:00"), at("2024-04-07T03:00:00+10:30"), "hour", LORD_HOWE)
    assert local(bounds) == [
        "2024-04-07T00:00+11:00", "2024-04-07T01:00+11:00", "2024-04-07T02:00+10:30", "2024-04-07T03:00+10:30",
    ]  # fmt: skip


def test_an_hour_of_which_a_half_is_skipped_is_one_shorter_hour():
    bounds = boundaries(at("2024-10-06T01:00:00+10:30"), at("2024-10-06T04:00:00+11:00"), "hour", LORD_HOWE)
    assert local(bounds) == [
        "2024-10-06T01:00+10:30", "2024-10-06T02:30+11:00", "2024-10-06T03:00+11:00", "2024-10-06T04:00+11:00",
    ]  # fmt: skip


def test_offsets_between_two_summers_hold_that_of_the_winter():
    found = offsets_between(at("2023-12-01T00:00:00+11:00"), at("2024-12-01T00:00:00+11:00"), LORD_HOWE)
    assert found == {timedelta(hours=11), timedelta(hours=10, minutes=30)}


def test_a_range_that_ends_with_28_february_ends_with_it_a_year_earlier():
    zone = ZoneInfo("Europe/Paris")
    ends = [date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 2)]
    found = [end_a_year_before(midnight(day, zone), zone).astimezone(zone).date() for day in ends]
    assert found == [date(2023, 3, 1), date(2023, 3, 1), date(2023, 3, 2)]


def test_the_offsets_of_seven_thousand_years_are_those_of_a_century(monkeypatch):
    years: set[int] = set()
    monkeypatch.setattr(period, "_changes", lambda year, zone: years.add(year) or ())
    offsets_between(at("1970-01-01T00:00:00+00:00"), at("9000-01-01T00:00:00+00:00"), LORD_HOWE)
    assert years == set(range(1970, 2101))


def test_times_before_1970_have_no_events_and_no_offsets_of_their_own():
    found = offsets_between(
        at("0002-01-01T00:00:00+00:00"), at("1970-01-01T00:00:00+00:00"), ZoneInfo("Africa/Monrovia")
    )
    assert found == {timedelta(seconds=-2670)}
