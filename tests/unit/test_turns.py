"""How pages are turned, on visits small enough to check by hand; and the same by a naive reading, one event at a time."""

from collections import Counter, defaultdict

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from views_layer.turns import COLUMNS, Turns, turns

Read = tuple[int, int, int, int, str, int]
"""visitor, visit, page, occurred_at, id, duration_ms"""

READS: list[Read] = [
    # Anna's first visit: pages 1, 2, 3, back to 2, and 2 once more after a pause in the same place.
    (1, 1, 1, 100, "a", 10_000),
    (1, 1, 2, 200, "b", 20_000),
    (1, 1, 3, 300, "c", 5_000),
    (1, 1, 2, 400, "d", 1_000),
    (1, 1, 2, 500, "e", 2_000),
    # Her second: page 1 twice in a row, which is no coming back.
    (1, 2, 1, 900, "f", 4_000),
    (1, 2, 1, 950, "g", 1_000),
    # Ben's only one: page 2 first; both reads at one instant go by their ids.
    (2, 3, 2, 300, "i", 9_000),
    (2, 3, 1, 300, "j", 7_000),
    # Carla leaves page 1 at once.
    (3, 4, 1, 50, "k", 0),
]


def table(reads: list[Read]) -> pa.Table:
    types = [pa.int64(), pa.int64(), pa.int64(), pa.int64(), pa.string(), pa.int64()]
    columns = [list(column) for column in zip(*reads, strict=True)] or [[]] * len(COLUMNS)
    return pa.table([pa.array(column, type_) for column, type_ in zip(columns, types, strict=True)], names=COLUMNS)


def test_a_day_checked_by_hand() -> None:
    # Page 1: 15 s of Anna, 7 s of Ben, 0 s of Carla. Page 2: 23 s and 9 s, their mean is 16 s. Page 3: 5 s.
    assert turns(table(READS)) == {
        1: Turns(median_ms=7_000, started=3, stopped=3, again=0),
        2: Turns(median_ms=16_000, started=1, stopped=1, again=1),
        3: Turns(median_ms=5_000, started=0, stopped=0, again=0),
    }


def test_the_order_of_the_rows_does_not_matter() -> None:
    assert turns(table(READS[::-1])) == turns(table(READS))


def test_without_reads_there_are_no_pages() -> None:
    assert turns(table([])) == {}


def test_an_odd_millisecond_of_a_median_is_rounded_down() -> None:
    reads = [(1, 1, 7, 10, "a", 1), (2, 2, 7, 10, "b", 2)]
    assert turns(table(reads)) == {7: Turns(median_ms=1, started=2, stopped=2, again=0)}


def naive(reads: list[Read]) -> dict[int, Turns]:
    """The definitions, word by word."""
    visits, spent = defaultdict(list), defaultdict(Counter)
    for visitor, visit, page, at, key, duration in reads:
        visits[visit].append((at, key, page))
        spent[page][visitor] += duration
    started, stopped, again = Counter(), Counter(), Counter()
    for events in visits.values():
        pages = [page for _, _, page in sorted(events)]
        started[pages[0]] += 1
        stopped[pages[-1]] += 1
        entered = Counter(page for page, before in zip(pages, [None, *pages], strict=False) if page != before)
        again.update(page for page, times in entered.items() if times > 1)
    found = {}
    for page, of_reader in spent.items():
        times = sorted(of_reader.values())
        middle = times[(len(times) - 1) // 2] + times[len(times) // 2]
        found[page] = Turns(middle // 2, started[page], stopped[page], again[page])
    return found


@st.composite
def some_reads(draw: st.DrawFn) -> list[Read]:
    """Reads of few visits, with equal times; a visit belongs to one visitor."""
    rows = draw(
        st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(0, 6), st.integers(0, 9)), max_size=30)
    )
    return [
        (visit // 2 + 1, visit, page, at, f"{number:02}", spent) for number, (visit, page, at, spent) in enumerate(rows)
    ]


@given(some_reads())
def test_it_is_what_a_naive_reading_says(reads: list[Read]) -> None:
    assert turns(table(reads)) == naive(reads)
