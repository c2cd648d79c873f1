"""The cover: few questions to the store, also for many scattered hours."""

from zoneinfo import ZoneInfo

from aggregations.buckets import DAY, HOUR
from batch.cover import cover
from batch.view_store import RowAddress

UTC = ZoneInfo("UTC")


class HoursStore:
    """A store in which every hour has a row; it counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def addresses(self, hub, rollup, grain, start, end, version):
        self.asked += 1
        return [RowAddress(grain, hour, hour + 1, version, hour) for hour in range(start, end) if grain == HOUR]


def test_it_asks_for_scattered_hours_at_once():
    store = HoursStore()
    ranges = [(hour, hour + 1) for hour in range(0, 2_000, 10)]
    found = cover(store, "acme", "hub", ranges, 1, UTC, [DAY, HOUR])
    assert [address.start for address in found] == list(range(0, 2_000, 10))
    assert store.asked == 2


def test_it_does_not_read_across_years_between_two_hours():
    store = HoursStore()
    found = cover(store, "acme", "hub", [(0, 1), (20_000, 20_001)], 1, UTC, [HOUR])
    assert [address.start for address in found] == [0, 20_000]
    assert store.asked == 2
