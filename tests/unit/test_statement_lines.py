"""Amounts of a statement: by hand, and adding up to the cent whatever the credits and rates."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from insights.retribution import DAY_MS, MILLION, MODELS, Events, Row, Visits, credits
from insights.statement import Correction, Line, Rate, corrections, digest, paid, shared_out, statement_lines


def visit(day: float, visitor: int, number: int, by: str | None, *actions: str) -> list[Row]:
    at = round(day * DAY_MS)
    return [
        Row(at + 60_000 * step, f"v{number}-{step}", action, number, visitor, by)
        for step, action in enumerate(("view", *actions))
    ]


def lines(rows: list[Row], rates: list[Rate], model: str = "last", start: float = 30, end: float = 60) -> list[Line]:
    return statement_lines(Visits(Events.of(rows)), rates, model, round(start * DAY_MS), round(end * DAY_MS))


DOWNLOADS = [
    *visit(40, 1, 1, "kiosk", "download", "download"),
    *visit(41, 2, 2, "blog", "download"),
    *visit(55, 3, 3, "kiosk", "download"),
    *visit(56, 4, 4, None, "download"),
    *visit(60, 5, 5, "kiosk", "download"),
]
"""In [30, 60): three of the kiosk, one of the blog, one direct; and one after it."""


def test_a_rate_for_every_intermediary_pays_each_its_credit() -> None:
    assert lines(DOWNLOADS, [Rate(1, "download", None, Decimal("12.5"), 0)]) == [
        # 3 × 12.5 = 37.5 and 12.5: 50 cents in all; equal remainders, so the first by name has the half.
        Line("download", "blog", MILLION, Decimal("12.5"), 13),
        Line("download", "kiosk", 3 * MILLION, Decimal("12.5"), 37),
    ]


def test_the_rate_of_an_intermediary_comes_before_that_of_every_one() -> None:
    rates = [Rate(1, "download", None, Decimal(10), 0), Rate(2, "download", "kiosk", Decimal(0), 0)]
    assert paid(lines(DOWNLOADS, rates)) == {"blog": 10, "kiosk": 0}


def test_an_intermediary_without_a_rate_is_not_paid() -> None:
    assert paid(lines(DOWNLOADS, [Rate(1, "download", "blog", Decimal(10), 0)])) == {"blog": 10}
    assert lines(DOWNLOADS, []) == []


def test_a_new_rate_counts_from_the_day_on_which_it_begins() -> None:
    first = Rate(1, "download", None, Decimal(10), 0, 50 * DAY_MS)
    second = Rate(2, "download", None, Decimal(20), 50 * DAY_MS)
    assert [line for line in lines(DOWNLOADS, [first, second]) if line.intermediary == "kiosk"] == [
        Line("download", "kiosk", 2 * MILLION, Decimal(10), 20),
        Line("download", "kiosk", MILLION, Decimal(20), 20),
    ]


def test_goals_outside_of_every_rate_are_not_paid() -> None:
    assert paid(lines(DOWNLOADS, [Rate(1, "download", None, Decimal(10), 41 * DAY_MS, 55 * DAY_MS)])) == {"blog": 10}


def test_each_goal_is_rounded_by_itself() -> None:
    rates = [Rate(1, "download", "blog", Decimal("0.4"), 0), Rate(2, "view", "blog", Decimal("0.6"), 0)]
    assert [line.amount for line in lines(DOWNLOADS, rates)] == [0, 1]


def test_it_shares_out_by_the_largest_remainder() -> None:
    assert shared_out([Fraction(1, 3), Fraction(1, 3), Fraction(5, 6)]) == [1, 0, 1]
    assert shared_out([]) == []


def test_what_changed_is_a_correction() -> None:
    found = corrections({"a": 5, "b": 7, "c": 1}, {"a": 5, "b": 6, "d": 2})
    assert found == [Correction("b", 7, 6), Correction("c", 1, 0), Correction("d", 0, 2)]
    assert [correction.difference for correction in found] == [-1, -1, 2]


def test_the_digest_is_that_of_the_events_used_in_any_order() -> None:
    def of(rows: list[Row]) -> str:
        events = Events.of(rows)
        return digest(events, Visits(events), 45 * DAY_MS, 60 * DAY_MS)

    assert of(DOWNLOADS) == of(DOWNLOADS[::-1])
    assert of(DOWNLOADS) == of([*DOWNLOADS, *visit(3, 8, 9, "mail")]), "a visit too early for any path"
    assert of(DOWNLOADS) == of([*DOWNLOADS, *visit(61, 8, 9, "mail")]), "a visit after the span"
    assert of(DOWNLOADS) != of([*DOWNLOADS, *visit(44, 8, 9, "mail")])
    assert of(DOWNLOADS) != of([DOWNLOADS[0]._replace(intermediary=None), *DOWNLOADS[1:]])


VISITS = st.lists(
    st.tuples(st.integers(0, 90), st.integers(1, 4), st.sampled_from(["a", "b", "c", None]), st.booleans()), max_size=25
)
AMOUNTS = st.decimals(0, 1000, places=3)


@given(
    VISITS,
    st.sampled_from([*MODELS]),
    st.lists(st.tuples(st.sampled_from(["a", "b", None]), AMOUNTS), max_size=3, unique_by=lambda rate: rate[0]),
    st.integers(20, 70),
)
def test_cents_add_up_to_the_rounded_total(visits: list, model: str, rates: list, cut: int) -> None:
    rows = [
        row
        for number, (day, visitor, by, acts) in enumerate(visits, 1)
        for row in visit(day, visitor, number, by, *(["download"] if acts else []))
    ]
    dated = [
        Rate(
            2 * number + half,
            "download",
            name,
            amount + half,
            (cut * DAY_MS) * half,
            90 * DAY_MS if half else cut * DAY_MS,
        )
        for number, (name, amount) in enumerate(rates)
        for half in (0, 1)
    ]
    found = lines(rows, dated, model, 20, 80)
    exact = [Fraction(line.credit, MILLION) * Fraction(line.rate) for line in found]
    assert sum(line.amount for line in found) == int(sum(exact) + Fraction(1, 2))
    assert all(abs(line.amount - part) < 1 for line, part in zip(found, exact, strict=True))
    of_goals = Visits(Events.of(rows))
    halves = [of_goals.paths("download", first * DAY_MS, last * DAY_MS) for first, last in ((20, cut), (cut, 80))]
    credited = sum(
        credit for half in halves for name, credit in credits(half, model).items() if {name, None} & {*dict(rates)}
    )
    assert sum(line.credit for line in found) == credited
