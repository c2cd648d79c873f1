"""How far media are read, and the mean of media of other lengths."""

import pytest

from views_layer.positions import completion, is_similar, length_of, mean_curve, parts


def test_the_parts_of_the_visitors_that_saw_each_page() -> None:
    assert parts(4, 8, {1: 8, 2: 4, 4: 2, 5: 8}) == [1.0, 0.5, 0.0, 0.25]


@pytest.mark.parametrize(
    ("length", "visitors", "readers", "part"),
    [
        (4, 8, {1: 8, 2: 4, 4: 2}, 14 / 32),
        (2, 8, {1: 8, 2: 4, 3: 8}, 12 / 16),  # page 3 of two is none of them
        (4, 8, {}, 0.0),
        (0, 8, {}, None),
        (4, 0, {}, None),
    ],
)
def test_completion(length: int, visitors: int, readers: dict[int, int], part: float | None) -> None:
    assert completion(length, visitors, readers) == part


def test_the_catalogue_knows_the_length_before_the_reads_do() -> None:
    assert [length_of(48, {60: 1}), length_of(None, {1: 1, 60: 1}), length_of(None, {})] == [48, 60, 0]


def test_similar_is_half_as_long_again_at_most() -> None:
    assert [other for other in range(1, 50) if is_similar(20, other)] == list(range(14, 31))


def test_curves_of_other_lengths_are_met_at_the_same_place() -> None:
    # At the middle of three pages: page 2 of three, and between pages 2 and 3 of four.
    assert mean_curve(3, [[1.0, 0.5, 0.0], [1.0, 0.75, 0.25, 0.0]]) == [1.0, 0.5, 0.0]


def test_a_media_of_one_page_is_met_at_the_first() -> None:
    assert mean_curve(1, [[0.5, 0.1], [0.25]]) == [0.375]
