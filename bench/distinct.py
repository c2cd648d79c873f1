"""Distinct visitors of a hub over 365 days with a million visitors a day: synthetic rows, real store and questions.

Of a day that is not closed there are hour rows; of closed days day rows, and of closed months month rows, as batch
leaves them. The visitors of a day are drawn at random out of twenty million.
"""

import time
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from django.conf import settings
from django.utils import timezone
from pyroaring import BitMap

from aggregations.buckets import DAY, HOUR, MONTH, bucket_of
from aggregations.cells import Cells, encode
from aggregations.columns import Key
from aggregations.rollups import rollup_named
from aggregations.sets import Sets
from batch.view_store import ViewRow, view_store
from bench import house
from bench.figures import Figures, Options, at_most, quantile, say, seconds_of
from bench.history import client, forget

HUB = rollup_named("hub")
DAYS = 365


class Year:
    """The rows of a year, the union of all its visitors, and the bitmaps that a question over it has to unite."""

    def __init__(self, options: Options) -> None:
        self._chance = np.random.default_rng(7)
        self._a_day, self._of = options.scaled(1_000_000, 10_000), options.scaled(20_000_000, 200_000)
        self.today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.first = self.today - timedelta(days=DAYS - 1)
        self.union = BitMap()
        self.asked: list[BitMap] = []

    def rows(self) -> Iterator[ViewRow]:
        month: list[BitMap] = []
        began = self.first
        for number in range(DAYS - 1):
            day = self.first + timedelta(days=number)
            if day.day == 1 and month:
                yield from self._month(began, month)
                month, began = [], day
            visitors = self._drawn(self._a_day)
            month.append(visitors)
            self.union |= visitors
            yield _row(DAY, day, visitors)
        self.asked += month
        for hour in range(24):
            visitors = self._drawn(self._a_day // 24)
            self.union |= visitors
            self.asked.append(visitors)
            yield _row(HOUR, self.today + timedelta(hours=hour), visitors)

    def _drawn(self, size: int) -> BitMap:
        drawn = np.sort(self._chance.integers(1, self._of, size, dtype=np.uint32))
        return BitMap(array("I", drawn.tobytes()))  # of a numpy array it would take number by number

    def _month(self, start: datetime, days: list[BitMap]) -> Iterator[ViewRow]:
        if start.day != 1:  # the year begins within it, so a question takes its days
            self.asked += days
            return
        visitors = BitMap.union(*days)
        self.asked.append(visitors)
        yield _row(MONTH, start, visitors)


def _row(grain: str, at: datetime, visitors: BitMap) -> ViewRow:
    start = int(at.timestamp()) // 3600
    columns = {measure.name: measure.empty(1) for measure in HUB.measures}
    columns["visitors"] = Sets(np.array([len(visitors)]), np.zeros(0, dtype=np.uint32), {0: visitors})
    cells = Cells({"hour": Key.constant(start, 1), "is_bot": Key.constant(0, 1)}, columns, 1)
    bucket = (start, start + 1) if grain == HOUR else bucket_of(grain, start, ZoneInfo("UTC"))
    assert bucket is not None
    return ViewRow("acme", "hub", grain, *bucket, encode(cells, HUB.measures))


def measure(options: Options) -> Figures:
    """The first question and the next, each exact, beside a bare union of the same bitmaps."""
    house.migrate()
    key = house.new_hub()["read"]
    year = Year(options)
    began = time.perf_counter()
    count = view_store().write(1, year.rows())
    size = (settings.DATA_DIR / "views.sqlite3").stat().st_size
    say(f"{count} rows in {size / 1e6:,.0f} MB, written in {time.perf_counter() - began:.0f} s")
    end = year.today + timedelta(days=1)
    path = f"/api/hubs/acme/stats?metrics=visitors&from={year.first:%Y-%m-%d}&to={end:%Y-%m-%d}"

    def ask() -> None:
        found = client().get(path, headers={"Authorization": f"Bearer {key}"}).json()["results"][0]["visitors"]
        if found != len(year.union):
            raise AssertionError(f"{found} visitors were answered; the union has {len(year.union)}.")

    with house.a_redis():
        house.publish({}, timezone.now())
        ask()
        first, again = [], []
        for _ in range(options.scaled(5, 1)):
            forget()
            first.append(seconds_of(ask))
            again += [seconds_of(ask) * 1000 for _ in range(4)]
    union = min(seconds_of(lambda: len(BitMap.union(*year.asked))) for _ in range(3))
    say(f"{len(year.union)} visitors: first {max(first):.3f} s, again {max(again):.1f} ms; bare union {union:.3f} s")
    limit_of = f"a bare union of the same {len(year.asked)} bitmaps"
    return {
        "distinct_365_days_first": at_most(1, quantile(first, 0.95), "s", union, limit_of),
        "distinct_365_days_again": at_most(50, quantile(again, 0.95), "ms", union * 1000, limit_of),
    }
