"""How far a media is read: the part of its visitors at each page, and the same of other media of another length. Pure."""

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

SIMILAR = Fraction(3, 2)
"""Lengths within this factor are similar."""


def length_of(pages: int | None, readers: Collection[int]) -> int:
    """How many pages a media has: what the catalogue knows, else the last page that was read."""
    return pages or max(readers, default=0)


def parts(length: int, visitors: int, readers: Mapping[int, int]) -> list[float]:
    """The part of the visitors that saw each of the pages 1 to `length`."""
    return [readers.get(page, 0) / visitors if visitors else 0.0 for page in range(1, length + 1)]


def completion(length: int, visitors: int, readers: Mapping[int, int]) -> float | None:
    """The mean part of the pages 1 to `length` that a visitor saw; None without pages or visitors."""
    if not length or not visitors:
        return None
    return sum(count for page, count in readers.items() if 1 <= page <= length) / (visitors * length)


def is_similar(length: int, other: int) -> bool:
    """Whether the longer is at most SIMILAR times the shorter."""
    return max(length, other) <= SIMILAR * min(length, other)


def mean_curve(length: int, curves: Sequence[Sequence[float]]) -> list[float]:
    """The mean of curves, each of a media of its own length, at the positions of the pages of one of `length`.

    Page p of n stands at (p - 1) / (n - 1), the only page of one at 0; between two pages a curve is straight.
    """
    return [
        sum(_at(curve, (page / (length - 1)) if length > 1 else 0.0) for curve in curves) / len(curves)
        for page in range(length)
    ]


def _at(curve: Sequence[float], position: float) -> float:
    """The value of a curve at a position from 0, its first page, to 1, its last."""
    place = position * (len(curve) - 1)
    left = min(int(place), len(curve) - 1)
    right = min(left + 1, len(curve) - 1)
    return curve[left] + (curve[right] - curve[left]) * (place - left)
