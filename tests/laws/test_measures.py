"""A measure is a commutative monoid under its codec, for single states and for columns."""

import itertools
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from aggregations.cells import Cells, DamagedCells, decode, encode, encode_slices
from aggregations.columns import Key
from aggregations.measures import Count, Distinct, Histogram, Max, Measure, Min, Sum
from aggregations.packing import Reader
from aggregations.sets import LARGE, Sets
from tests.laws.events import MEASURES, lists

numbers = st.integers(0, 2**40)
sets = st.builds(
    lambda some, first, length: BitMap(some) | BitMap(range(first, first + length)),
    st.sets(st.integers(1, 2**32 - 1), max_size=8),
    st.sampled_from([1, 60_000, 131_072, 2**32 - 10_000]),
    st.sampled_from([0, 1, LARGE - 1, LARGE, LARGE + 1, 5_000, 9_000]),
)
STATES: list[tuple[Measure, st.SearchStrategy]] = [
    (Count("m"), numbers),
    (Sum("m", "duration_ms"), numbers),
    (Min("m", "page"), st.sampled_from([Min.absent, 0, 1, -5, 300, 2**40])),
    (Max("m", "page"), st.sampled_from([Max.absent, 0, 1, -5, 300, 2**40])),
    (Distinct("m", "visitor"), sets),
    (Histogram("m", "page"), st.dictionaries(st.integers(0, 2**33), st.integers(1, 2**33), max_size=5)),
]
kinds = pytest.mark.parametrize(("measure", "states"), STATES, ids=[type(m).__name__ for m, _ in STATES])


def cells_of(measure: Measure, states: list) -> Cells:
    hours = Key.of_integers(np.arange(len(states), dtype=np.int64))
    return Cells({"hour": hours}, {measure.name: measure.column_of(states)}, len(states))


def bytes_of(measure: Measure, states: list) -> bytes:
    return encode(cells_of(measure, states), [measure])


@kinds
@given(data=st.data())
def test_states_are_a_commutative_monoid(measure, states, data):
    a, b, c = data.draw(states), data.draw(states), data.draw(states)
    merge, zero = measure.merge, measure.zero()
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, zero) == a == merge(zero, a)
    assert bytes_of(measure, [merge(merge(a, b), c)]) == bytes_of(measure, [merge(c, merge(b, a))])


@kinds
@given(data=st.data())
def test_columns_merge_as_their_states_do(measure, states, data):
    first, second = (data.draw(st.lists(states, min_size=1, max_size=4)) for _ in range(2))
    targets = [data.draw(st.lists(st.integers(-1, 2), min_size=len(s), max_size=len(s))) for s in (first, second)]
    expected = [measure.zero()] * 3
    for some, places in zip((first, second), targets, strict=True):
        for state, place in zip(some, places, strict=True):
            if place >= 0:
                expected[place] = measure.merge(expected[place], state)
    parts = [(measure.column_of(s), np.array(p)) for s, p in zip((first, second), targets, strict=True)]
    merged = measure.merge_columns(parts, 3)
    assert [measure.at(merged, cell) for cell in range(3)] == expected
    assert [measure.present(state) for state in expected] == measure.presented(merged)
    again = measure.merge_columns(parts[::-1], 3)
    hours = {"hour": Key.of_integers(np.arange(3))}
    one, other = (encode(Cells(hours, {"m": column}, 3), [measure]) for column in (merged, again))
    assert one == other == bytes_of(measure, expected)


@kinds
@given(data=st.data())
def test_decode_undoes_encode(measure, states, data):
    some = data.draw(st.lists(states, max_size=5))
    encoded = bytes_of(measure, some)
    decoded = decode(encoded, ["hour"], [measure])
    assert [measure.at(decoded.columns["m"], cell) for cell in range(decoded.size)] == some
    assert encode(decoded, [measure]) == encoded


@kinds
@given(data=st.data())
def test_bytes_do_not_tell_how_a_state_came_about(measure, states, data):
    some = data.draw(st.lists(states, min_size=1, max_size=5))
    read = [decode(bytes_of(measure, [state]), ["hour"], [measure]).columns["m"] for state in some]
    merged = measure.merge_columns([(column, np.array([0])) for column in read], 1)
    whole = measure.zero()
    for state in some:
        whole = measure.merge(whole, state)
    assert encode(Cells({"hour": Key.of_integers(np.arange(1))}, {"m": merged}, 1), [measure]) == bytes_of(
        measure, [whole]
    )


@kinds
@given(data=st.data())
def test_runs_are_encoded_as_one_by_one(measure, states, data):
    some = data.draw(st.lists(states, min_size=1, max_size=6))
    inner = data.draw(st.sets(st.integers(1, max(1, len(some) - 1)), max_size=3)) if len(some) > 1 else set()
    edges = np.array([0, *sorted(inner), len(some)])
    cells = cells_of(measure, some)
    found = list(encode_slices(cells, edges, [measure]))
    slices = itertools.pairwise(edges)
    assert found == [encode(cells.slice(int(a), int(b), [measure]), [measure]) for a, b in slices]


@kinds
@given(data=st.data())
def test_a_flipped_byte_is_refused(measure, states, data):
    encoded = bytearray(bytes_of(measure, data.draw(st.lists(states, min_size=1, max_size=3))))
    place, flip = data.draw(st.integers(0, len(encoded) - 1)), data.draw(st.integers(1, 255))
    encoded[place] ^= flip
    with pytest.raises(ValueError):  # noqa: PT011 (DamagedCells is one)
        decode(bytes(encoded), ["hour"], [measure])


def test_bytes_cut_short_are_refused():
    encoded = bytes_of(Distinct("m", "visitor"), [BitMap([1, 2, 3]), BitMap(range(1, 400))])
    for length in range(len(encoded)):
        with pytest.raises(DamagedCells):
            decode(encoded[:length], ["hour"], [Distinct("m", "visitor")])


@pytest.mark.parametrize("size", [LARGE - 1, LARGE, LARGE + 1, 4_096, 4_097])
def test_a_set_has_one_form_at_the_bound(size):
    measure = Distinct("m", "visitor")
    whole = BitMap(range(1, 3 * size, 3))
    halves = [BitMap(whole[: size // 2]), BitMap(whole[size // 3 :])]
    merged = measure.merge_columns([(measure.column_of([half]), np.array([0])) for half in halves], 1)
    assert len(whole) == size
    assert bool(merged.large) == (size > LARGE)
    assert encode(Cells({"hour": Key.of_integers(np.arange(1))}, {"m": merged}, 1), [measure]) == bytes_of(
        measure, [whole]
    )


@given(lists)
def test_a_measure_of_a_list_is_the_merge_of_its_events(some):
    for measure in MEASURES:
        forwards, backwards = measure.zero(), measure.zero()
        for event in some:
            forwards = measure.merge(forwards, measure.prepare(event))
        for event in reversed(some):
            backwards = measure.merge(measure.prepare(event), backwards)
        assert forwards == backwards
        assert not isinstance(forwards, float)


def test_the_checksum_is_that_of_the_bytes():
    encoded = bytes_of(Count("m"), [1, 2])
    length = int.from_bytes(encoded[4:8], "little")
    assert int.from_bytes(encoded[8:12], "little") == zlib.crc32(encoded[12 : 12 + length])


def test_a_set_has_one_form_where_runs_and_an_array_are_equally_long():
    numbers = [*range(200), *range(1_000, 1_000 + 2 * 197, 2)]  # 397 numbers in 198 runs: 794 bytes either way
    (packed,) = Sets.of_states([numbers[:-1]]).pack_slices(np.array([0, 1]))
    before = Sets.unpack(Reader(packed), 1)
    merged = Sets.merge([(before, np.array([0])), (Sets.of_states([numbers[-1:]]), np.array([0]))], 1)
    forms = {whole.pack_slices(np.array([0, 1]))[0] for whole in (merged, Sets.of_states([numbers]))}
    assert len(forms) == 1
