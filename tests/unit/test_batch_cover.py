"""The cover: few questions to the store, also for many scattered hours."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from aggregations.buckets import DAY, HOUR
from batch.cover import cover
from batch.view_store import RowAddress

UTC = ZoneInfo("UTC")


class HoursStore:
    """A store in which every hour has a row, and each of some days; it keeps what it is asked."""

    def __init__(self, days: Sequence[int] = ()) -> None:
        self.asked: list[list] = []
        self.days = days

    def addresses(self, hub, rollup, ranges, version, must_be_sealed=False):
        self.asked.append(list(ranges))
        return [
            RowAddress(grain, hour, hour + (1 if grain == HOUR else 24), version, hour)
            for grain, start, end in ranges
            for hour in range(start, end)
            if grain == HOUR or hour in self.days
        ]


def test_it_asks_for_scattered_hours_at_once():
    store = HoursStore()
    ranges = [(hour, hour + 1) for hour in range(0, 2_000, 10)]
    found = cover(store, "acme", "hub", ranges, 1, UTC, [DAY, HOUR])
    assert [address.start for address in found] == list(range(0, 2_000, 10))
    assert store.asked == [[(DAY, 0, 1_991), (HOUR, 0, 1_991)]]


def test_it_does_not_read_across_years_between_two_hours():
    store = HoursStore()
    found = cover(store, "acme", "hub", [(0, 1), (20_000, 20_001)], 1, UTC, [HOUR])
    assert [address.start for address in found] == [0, 20_000]
    assert store.asked == [[(HOUR, 0, 1), (HOUR, 20_000, 20_001)]]


def test_it_asks_once_for_days_and_for_the_hours_beside_them():
    store = HoursStore(days=(24, 48))
    found = cover(store, "acme", "hub", [(20, 80)], 1, UTC, [DAY, HOUR], closed_before=75)
    assert [(address.grain, address.start) for address in found] == [
        *((DAY, start) for start in (24, 48)),
        *((HOUR, start) for start in (*range(20, 24), *range(72, 80))),
    ]
    assert store.asked == [[(DAY, 20, 80), (HOUR, 20, 80)]]


def test_it_asks_again_where_a_closed_day_has_no_row():
    days = 40
    store = HoursStore(days=[day * 24 for day in range(days) if day != 20])
    found = cover(store, "acme", "hub", [(0, days * 24)], 1, UTC, [DAY, HOUR])
    assert {(address.grain, address.start) for address in found} == {
        *((DAY, day * 24) for day in range(days) if day != 20),
        *((HOUR, hour) for hour in range(480, 504)),
    }
    assert store.asked == [[(DAY, 0, days * 24)], [(HOUR, 480, 504)]]
