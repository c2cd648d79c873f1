"""What intermediaries are paid for a span of time: credit times rate, in whole minor units of a currency that add up.

Minor units are cents, or what a currency has in their place.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise
from math import floor
from typing import NamedTuple

import numpy as np

from insights.retribution import MILLION, NEVER, WINDOW_MS, Events, Visits, credits

SEPARATOR, NOTHING, END = "\x1f", "\x1e", "\n"
"""Between the fields of an event that is digested, for a field without a value, and after it; no field has them."""


class Rate(NamedTuple):
    """What a goal is worth in [start, end) milliseconds: minor units; `intermediary` None: of every one without its own.

    `key` tells rates apart, and orders them.
    """

    key: int
    goal: str
    intermediary: str | None
    amount: Decimal
    start: int
    end: int = NEVER


class Line(NamedTuple):
    """What an intermediary is paid of a goal at a rate: `credit` in millionths of a goal, `amount` in minor units."""

    goal: str
    intermediary: str
    credit: int
    rate: Decimal
    amount: int


class Correction(NamedTuple):
    """What an intermediary was paid so far for a span, and what it should have been."""

    intermediary: str
    old: int
    new: int

    @property
    def difference(self) -> int:
        return self.new - self.old


def statement_lines(visits: Visits, rates: Sequence[Rate], model: str, start: int, end: int) -> list[Line]:
    """The lines of [start, end), by goal, intermediary and rate; those without a rate are not paid.

    Of each goal the lines add up to its total, rounded half up; by largest remainder, ties by intermediary and rate.
    Where a rate begins or ends within the span, the goals before and after are credited apart.
    """
    found: list[Line] = []
    for goal in sorted({rate.goal for rate in rates}):
        of_goal = [rate for rate in rates if rate.goal == goal and rate.start < end and rate.end > start]
        credited: Counter[tuple[str, Rate]] = Counter()
        for first, last in _spans(of_goal, start, end):
            in_force = _by_intermediary(rate for rate in of_goal if rate.start <= first < rate.end)
            for name, credit in credits(visits.paths(goal, first, last), model).items() if in_force else ():
                if (rate := in_force.get(name) or in_force.get(None)) is not None:
                    credited[name, rate] += credit
        found += _lines(goal, credited)
    return found


def _spans(rates: Iterable[Rate], start: int, end: int) -> list[tuple[int, int]]:
    """The parts of [start, end) in which the same rates are in force."""
    bounds = sorted({start, end} | {at for rate in rates for at in (rate.start, rate.end) if start < at < end})
    return list(pairwise(bounds))


def _by_intermediary(rates: Iterable[Rate]) -> dict[str | None, Rate]:
    return {rate.intermediary: rate for rate in rates}


def _lines(goal: str, credited: Mapping[tuple[str, Rate], int]) -> list[Line]:
    """The lines of a goal with their amounts."""
    keys = sorted(credited, key=lambda key: (key[0], key[1].key))
    exact = [Fraction(credited[key], MILLION) * Fraction(key[1].amount) for key in keys]
    amounts = shared_out(exact)
    return [
        Line(goal, name, credited[name, rate], rate.amount, amount)
        for (name, rate), amount in zip(keys, amounts, strict=True)
    ]


def shared_out(exact: Sequence[Fraction]) -> list[int]:
    """Whole numbers that add up to the sum of `exact`, rounded half up; each is its floor or one more.

    The largest remainders get what is left, those of equal remainders in order.
    """
    whole = [floor(part) for part in exact]
    left = floor(sum(exact) + Fraction(1, 2)) - sum(whole)
    for place in sorted(range(len(exact)), key=lambda place: (whole[place] - exact[place], place))[:left]:
        whole[place] += 1
    return whole


def paid(lines: Iterable[Line]) -> dict[str, int]:
    """The sum of each intermediary."""
    sums: dict[str, int] = defaultdict(int)
    for line in lines:
        sums[line.intermediary] += line.amount
    return dict(sums)


def corrections(old: Mapping[str, int], new: Mapping[str, int]) -> list[Correction]:
    """What differs, by intermediary; one that is missing was paid nothing."""
    found = [Correction(name, old.get(name, 0), new.get(name, 0)) for name in sorted({*old, *new})]
    return [correction for correction in found if correction.difference]


def digest(events: Events, visits: Visits, start: int, end: int) -> str:
    """The SHA-256 of the events that the credits of [start, end) come from, in hexadecimal.

    They are those of visits with an event in the span or the 30 days before it, up to its end, by `occurred_at` and `id`;
    of each the fields of insights.retribution.COLUMNS.
    """
    at = events.occurred_at
    is_near = (at >= start - WINDOW_MS) & (at < end)
    is_used = np.zeros(len(visits.start), dtype=bool)
    is_used[visits.of_event[is_near]] = True
    used = np.flatnonzero(is_used[visits.of_event] & (at < end))
    columns = (events.occurred_at, events.id, events.action, events.visit, events.visitor, events.intermediary)
    rows = sorted(zip(*(column[used].tolist() for column in columns), strict=True), key=lambda row: row[:2])
    hashed = sha256()
    for row in rows:
        fields = (NOTHING if value is None else str(value) for value in row)
        hashed.update((SEPARATOR.join(fields) + END).encode())
    return hashed.hexdigest()
