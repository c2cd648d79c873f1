"""Any split, order and merge tree of events gives the bytes of the fold of the whole; every engine the same bytes."""

import random

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregations.cells import Cells, decode, encode, fold, grouped, merge
from aggregations.columns import EventColumns
from aggregations.event import Event, decode_events, encode_events
from aggregations.reference import reference_fold
from aggregations.rollups import ROLLUPS, Rollup
from batch import archive
from tests.engines import ENGINES
from tests.laws.events import EVERY_KIND, HOUR, lists

ALL = (*ROLLUPS, *EVERY_KIND)
SOME = (ROLLUPS[0], ROLLUPS[1], ROLLUPS[-1], *EVERY_KIND)


def folded(events: list[Event], rollup: Rollup) -> dict[str, Cells]:
    return fold(EventColumns(events), rollup) if events else {}


def encoded(cells: dict[str, Cells], rollup: Rollup) -> dict[str, bytes]:
    return {hub: encode(one, rollup.measures) for hub, one in cells.items()}


@given(lists)
def test_the_fold_is_the_reference_fold(events):
    for rollup in ALL:
        found = {hub: cells.states(rollup.measures) for hub, cells in folded(events, rollup).items()}
        assert found == reference_fold(events, rollup)


@given(lists, st.randoms(use_true_random=False))
def test_any_split_order_and_tree_gives_the_bytes_of_the_whole(events, rng):
    for rollup in SOME:
        whole = encoded(folded(events, rollup), rollup)
        shuffled = rng.sample(events, len(events))
        parts: dict[str, list[bytes]] = {}
        while shuffled:
            size = rng.randint(1, len(shuffled))
            for hub, data in encoded(folded(shuffled[:size], rollup), rollup).items():
                parts.setdefault(hub, []).append(data)
            shuffled = shuffled[size:]
        assert {hub: tree(found, rollup, rng) for hub, found in parts.items()} == whole


def tree(parts: list[bytes], rollup: Rollup, rng: random.Random) -> bytes:
    """Merge random parts of a list, through their bytes, until one is left."""
    while len(parts) > 1:
        rng.shuffle(parts)
        count = rng.randint(2, len(parts))
        some = [decode(data, rollup.keys, rollup.measures) for data in parts[:count]]
        parts = [*parts[count:], encode(merge(some, rollup.measures), rollup.measures)]
    return parts[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("archive")


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=12)
@given(events=lists, cut=st.integers(0, 40))
def test_an_engine_gives_the_bytes_of_the_fold(folder, engine, events, cut):
    paths = []
    for number, some in enumerate((events[:cut], events[cut:])):
        paths.append(str(folder / f"{number}.parquet"))
        pq.write_table(archive.table_of(some), paths[-1])
    with engine().window(paths) as window:
        assert window.count() == len(events)
        found = {rollup.name: encoded(cells, rollup) for rollup, cells in window.folds(ALL)}
    assert found == {rollup.name: encoded(folded(events, rollup), rollup) for rollup in ALL}


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=8)
@given(events=lists)
def test_an_engine_folds_a_span_as_the_events_in_it(folder, engine, events):
    spans = [(475_000 * HOUR, 475_001 * HOUR), (475_002 * HOUR, 475_003 * HOUR)]
    kept = [event for event in events if any(start <= event.occurred_at < end for start, end in spans)]
    path = str(folder / "spans.parquet")
    pq.write_table(archive.table_of(events), path)
    with engine().window([path], spans) as window:
        found = {rollup.name: encoded(cells, rollup) for rollup, cells in window.folds(SOME)}
    assert found == {rollup.name: encoded(folded(kept, rollup), rollup) for rollup in SOME}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_large_set_has_the_same_bytes_from_every_engine(folder, engine):
    events = [
        Event("acme", "x", "view", 475_000 * HOUR, 0, visitor=n % 700 + 1, visit=n + 1, visit_number=1)
        for n in range(6_000)
    ]
    path = str(folder / "large.parquet")
    pq.write_table(archive.table_of(events), path)
    rollup = ROLLUPS[0]
    halves = [folded(events[::2], rollup)["acme"], folded(events[1::2], rollup)["acme"]]
    with engine().window([path]) as window:
        ((_, found),) = window.folds([rollup])
    expected = encode(found["acme"], rollup.measures)
    assert encode(merge(halves, rollup.measures), rollup.measures) == expected
    assert encode(folded(events, rollup)["acme"], rollup.measures) == expected


@given(lists)
def test_events_are_decoded_as_they_were(events):
    assert decode_events(encode_events(events)) == events


@given(st.lists(st.integers(0, 2**62)), st.integers(0, 61))
def test_rows_are_put_into_cells_in_the_order_of_their_values(values, bits):
    values = [value >> bits for value in values]
    groups = grouped(np.array(values, dtype=np.int64))
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = sorted(set(values))
    assert (groups.order.tolist(), groups.cells.tolist()) == (order, [ranks.index(value) for value in values])
