"""The cache of merged rows: what it takes is what it counts."""

import gc
import tracemalloc

import numpy as np
from pyroaring import BitMap

from aggregations.cells import Cells
from aggregations.columns import Key
from aggregations.sets import Sets
from views_layer.merged import MergedRows, size_of


def cells(size: int, name: str = "media") -> Cells:
    keys = {"media": Key.of([f"{name} {number:0200}" for number in range(size)])}
    return Cells(
        keys, {"events": np.arange(size), "visits": Sets.of_pairs(np.arange(size), np.arange(size), size)}, size
    )


def test_it_counts_what_cells_take():
    cells(10)
    gc.collect()
    tracemalloc.start()
    made = cells(2_000)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert abs(size_of(made) - taken) < 0.1 * taken


def test_it_counts_the_whole_of_an_array_of_which_a_part_is_kept():
    assert size_of(Cells({}, {"events": np.arange(100_000)[:1]}, 1)) > 800_000


def test_it_counts_bitmaps():
    large = {0: BitMap(range(0, 1_000_000, 3))}
    assert size_of(Cells({}, {"visits": Sets(np.array([333_334]), np.zeros(0, np.uint32), large)}, 1)) > 125_000


def test_its_keys_are_within_its_bound():
    kept = MergedRows(bytes_at_most=200_000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(100):
        kept.get(f"{number}" * 100_000, lambda: Cells({}, {}, 0))
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken < 200_000


def test_the_least_recently_used_go_first():
    made: list[str] = []
    kept = MergedRows(bytes_at_most=2 * size_of(cells(10, "a")))

    def ask(name: str) -> None:
        kept.get(name, lambda: made.append(name) or cells(10, name))

    for name in ("a", "b", "a", "c", "a", "b"):
        ask(name)
    assert made == ["a", "b", "c", "b"]
