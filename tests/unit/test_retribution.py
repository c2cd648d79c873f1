"""Credits of intermediaries: by hand, and adding up on any paths."""

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.retribution import (
    DAY_MS,
    MILLION,
    MODELS,
    WINDOW_MS,
    Events,
    Row,
    Visits,
    common_paths,
    credited,
    deal,
)
from tests.plain_paths import plain

NOW = 100 * DAY_MS


def visit(day: float, visitor: int, number: int, by: str | None, *actions: str) -> list[Row]:
    """A visit that begins on a day: a view, and its actions a minute after each other."""
    at = round(day * DAY_MS)
    return [
        Row(at + 60_000 * step, f"v{number}-{step}", action, number, visitor, by)
        for step, action in enumerate(("view", *actions))
    ]


READER = [
    *visit(80, 1, 1, "kiosk"),
    *visit(87, 1, 2, "blog"),
    *visit(88, 1, 3, None),
    *visit(94, 1, 4, "mail", "download"),
]
"""One reader: kiosk, seven days later the blog, once directly, seven days after the blog the mail, and a download."""


def retribute(events: Events, goal: str, model: str, start: int) -> dict:
    return credited(Visits(events).paths(goal, start), goal, model)


def credits(rows: list[Row], goal: str, model: str, start: int = 0) -> dict[str | None, float]:
    return {row["intermediary"]: row["credit"] for row in retribute(Events.of(rows), goal, model, start)["credits"]}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("last", {"mail": 1.0}),
        ("first", {"kiosk": 1.0}),
        ("linear", {"blog": 0.333334, "kiosk": 0.333333, "mail": 0.333333}),
        ("position", {"kiosk": 0.4, "mail": 0.4, "blog": 0.2}),
        ("time_decay", {"mail": 0.571429, "blog": 0.285714, "kiosk": 0.142857}),
        ("shapley", {"blog": 0.333334, "kiosk": 0.333333, "mail": 0.333333}),
        ("markov", {"blog": 0.333334, "kiosk": 0.333333, "mail": 0.333333}),
    ],
)
def test_it_deals_the_credit_of_a_download(model: str, expected: dict) -> None:
    found = retribute(Events.of(READER), "download", model, 0)
    assert (found["goal"], found["model"], found["total"]) == ("download", model, 1)
    assert credits(READER, "download", model) == expected
    assert [row["intermediary"] for row in found["credits"]] == [*expected]


def test_a_goal_without_an_intermediary_is_direct_and_listed_by_its_credit() -> None:
    rows = [*READER, *visit(90, 2, 5, None, "download", "download")]
    assert retribute(Events.of(rows), "download", "last", 0)["credits"] == [
        {"intermediary": None, "credit": 2.0},
        {"intermediary": "mail", "credit": 1.0},
    ]


def test_every_visit_of_the_period_is_a_goal_and_paths_look_back_before_it() -> None:
    assert retribute(Events.of(READER), "visits", "first", 87 * DAY_MS) == {
        "goal": "visits",
        "model": "first",
        "total": 3,
        "credits": [{"intermediary": "kiosk", "credit": 3.0}],
    }


@pytest.mark.parametrize(("days", "names"), [(30, ["kiosk", "mail"]), (30.0001, ["mail"])])
def test_the_window_holds_both_of_its_ends(days: float, names: list[str]) -> None:
    rows = [*visit(94 - days, 1, 1, "kiosk"), *visit(94, 1, 2, "mail")]
    assert Visits(Events.of(rows)).paths("visits", 94 * DAY_MS).named() == [tuple(names)]
    assert WINDOW_MS == 30 * DAY_MS


def test_the_goals_own_visit_counts_however_long_it_lasts() -> None:
    rows = [*visit(10, 1, 1, "kiosk"), Row(50 * DAY_MS, "late", "download", 1, 1, None)]
    assert credits(rows, "download", "last") == {"kiosk": 1.0}


def test_a_visit_is_of_the_first_intermediary_that_one_of_its_events_names() -> None:
    rows = [
        Row(3, "c", "download", 1, 1, "second"),
        Row(2, "b", "view", 1, 1, "first"),
        Row(1, "a", "view", 1, 1, None),
    ]
    assert credits(rows, "download", "last") == {"first": 1.0}


def test_a_later_visit_brings_nothing() -> None:
    rows = [*visit(10, 1, 1, "kiosk", "download"), *visit(11, 1, 2, "mail")]
    assert credits(rows, "download", "linear") == {"kiosk": 1.0}


def test_two_touches_are_worth_a_half_each_by_position() -> None:
    rows = [*visit(10, 1, 1, "kiosk"), *visit(11, 1, 2, "mail", "download")]
    assert credits(rows, "download", "position") == {"kiosk": 0.5, "mail": 0.5}


def test_the_removal_effect_by_hand() -> None:
    """Paths a → b, b, b: without a 2 of 3 goals are left, without b none: effects 1/3 and 1, of 3 goals 0.75 and 2.25."""
    rows = [
        *visit(10, 1, 1, "a"), *visit(11, 1, 2, "b", "download"),
        *visit(10, 2, 3, "b", "download"), *visit(10, 3, 4, "b", "download"),
    ]  # fmt: skip
    assert credits(rows, "download", "markov") == {"b": 2.25, "a": 0.75}


def test_removal_effects_of_many_that_are_alike_are_equal_and_dealt_by_name() -> None:
    """Each name of a ring brings the next one's goal, in all 300; with 301 goals the first of them get what is left."""
    count = 300
    names = [f"k{number:03}" for number in range(count)]
    ring = [
        row
        for number in range(count)
        for row in (
            *visit(10, number, 2 * number, names[number]),
            *visit(11, number, 2 * number + 1, names[(number + 1) % count], "download"),
        )
    ]
    found = credits([*ring, *visit(10, 900, 900, "zoo", "download")], "download", "markov")
    assert sum(round(credit * MILLION) for credit in found.values()) == 301 * MILLION
    assert found.pop("zoo") == pytest.approx(301 / (1 + count * 2), abs=1e-6)
    more = [name for name in names if found[name] == max(found.values())]
    assert max(found.values()) - min(found.values()) == pytest.approx(1e-6)
    assert more == names[: len(more)] != names


def test_it_deals_by_the_largest_remainder_and_then_by_name() -> None:
    assert deal(10, {"c": Fraction(1), "a": Fraction(1), "b": Fraction(1)}) == {"a": 4, "b": 3, "c": 3}


VISITS = st.lists(
    st.tuples(st.integers(0, 90), st.integers(1, 4), st.sampled_from(["a", "b", "c", "d", None]), st.booleans()),
    max_size=25,
)


@given(VISITS, st.sampled_from([*MODELS]), st.sampled_from(["visits", "download"]), st.integers(0, 60))
def test_credits_add_up_to_the_goals(visits: list[tuple], model: str, goal: str, start: int) -> None:
    rows = [
        row
        for number, (day, visitor, by, acts) in enumerate(visits, 1)
        for row in visit(day, visitor, number, by, *(["download"] if acts else []))
    ]
    found = retribute(Events.of(rows), goal, model, start * DAY_MS)
    assert sum(round(row["credit"] * 1_000_000) for row in found["credits"]) == found["total"] * 1_000_000
    assert all(row["credit"] > 0 for row in found["credits"])


ROWS = st.lists(
    st.builds(
        Row,
        # Whole weeks, so that weights are as alike as they can be; and any time.
        occurred_at=st.integers(0, 12).map(lambda weeks: weeks * 7 * DAY_MS) | st.integers(0, 80 * DAY_MS),
        id=st.integers(0, 999).map(str),
        action=st.sampled_from(["view", "download"]),
        visit=st.integers(1, 8),
        visitor=st.just(0),
        intermediary=st.sampled_from(["a", "b", "c", None]),
    ).map(lambda row: row._replace(visitor=row.visit % 2)),
    max_size=30,
    unique_by=lambda row: row.id,
)


@settings(max_examples=300)
@given(ROWS, st.sampled_from([*MODELS]), st.sampled_from(["visits", "download"]), st.integers(0, 60))
def test_it_agrees_with_a_second_opinion(rows: list[Row], model: str, goal: str, start: int) -> None:
    found = retribute(Events.of(rows), goal, model, start * DAY_MS)
    credits = {row["intermediary"]: round(row["credit"] * MILLION) for row in found["credits"]}
    assert credits == plain(rows, goal, model, start * DAY_MS)


def test_many_random_readers_are_credited_as_by_the_second_opinion() -> None:
    chance = random.Random(7)
    names = [f"kiosk-{number}" for number in range(12)]
    rows = [
        Row(chance.randrange(90 * DAY_MS), str(number), chance.choice(["view", "download"]), number, number % 90, name)
        for number in range(900)
        for name in [chance.choice([*names, "mail", "mail", None, None, None])]
    ]
    for model in ("time_decay", "position", "linear", "markov"):
        found = retribute(Events.of(rows), "download", model, 30 * DAY_MS)
        credits = {row["intermediary"]: round(row["credit"] * MILLION) for row in found["credits"]}
        assert credits == plain(rows, "download", model, 30 * DAY_MS)


def test_visits_are_read_once_for_all_models_and_any_range() -> None:
    visits = Visits(Events.of(READER))
    october = visits.paths("visits", 80 * DAY_MS, 88 * DAY_MS)
    assert [credited(october, "visits", model)["total"] for model in MODELS] == [2] * 7
    assert visits.paths("visits", 80 * DAY_MS, 80 * DAY_MS).count == 0


def test_it_tells_the_most_common_paths() -> None:
    rows = [*READER, *visit(60, 2, 5, None), *visit(61, 3, 6, "kiosk"), *visit(62, 4, 7, "blog")]
    assert common_paths(Visits(Events.of(rows)).paths("visits", 0), 4) == [
        (("kiosk",), 2),
        (("kiosk", "blog"), 2),
        ((), 1),
        (("blog",), 1),
    ]
