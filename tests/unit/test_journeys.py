"""Journeys: steps and counts by hand, laws of counting, correcting and predicting, the bytes that are kept."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.journeys import flow, score, smoothing
from insights.journeys.lesson import UNSEEN, Journeys, corrected, decode, encode, journeys_of, learn
from insights.journeys.visits import ENDED_MS, Visits, visits_of
from tests.plain_journeys import plain, step_of, walks

MINUTE = 60_000
NOW = 1_000 * MINUTE


def event(visit: int, minute: float, action: str, number: int = 0, **more: str) -> dict[str, Any]:
    return {"visit": visit, "at": round(minute * MINUTE), "id": f"{number:03}", "action": action, **more}


def table(events: list[dict[str, Any]]) -> pa.Table:
    columns = {
        "visit": pa.array([event["visit"] for event in events], pa.int64()),
        "occurred_at": pa.array([event["at"] for event in events], pa.int64()),
        "id": pa.array([event["id"] for event in events], pa.string()),
        "step": pa.array([step_of(event) for event in events], pa.string()),
    }
    return pa.table(columns)


EVENTS = [
    event(1, 0, "view"),
    event(1, 1, "view", media="a"),
    event(1, 2, "view", media="a"),
    event(1, 3, "feature", target="zoom"),
    event(1, 4, "view", media="a"),
    event(2, 5, "view", media="b"),
    event(2, 5, "view", 1, media="a"),
    event(2, 5, "share", 2),
    event(3, 980, "view", media="a"),
]
"""Visit 1: view, media:a, feature:zoom, media:a, exit. Visit 2: media:b, media:a, share, exit. Visit 3 still runs."""


def listed(tally: flow.Tally) -> list[tuple[str | None, int, int]]:
    ordered = sorted(tally.times, key=lambda step: (-tally.times[step], step or ""))
    return [(step, tally.times[step], tally.visits[step]) for step in ordered]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([], [("media:a", 4, 3), ("exit", 2, 2), ("feature:zoom", 1, 1), ("media:b", 1, 1), ("share", 1, 1), ("view", 1, 1)]),
        (["media:a"], [("exit", 1, 1), ("feature:zoom", 1, 1), ("share", 1, 1)]),
        (["view", "media:a"], [("feature:zoom", 1, 1)]),
        (["media:a", "view"], []),
        (["nowhere"], []),
        (["nowhere", "media:a"], []),
        (["exit"], []),
    ],
)  # fmt: skip
def test_what_follows_is_counted_by_hand(after: list[str], expected: list[tuple]) -> None:
    assert listed(flow.following(visits_of(table(EVENTS)), after, NOW)) == expected


def test_what_comes_before_and_where_visits_end() -> None:
    visits = visits_of(table(EVENTS))
    assert listed(flow.preceding(visits, "media:a", NOW)) == [
        (flow.START, 1, 1),
        ("feature:zoom", 1, 1),
        ("media:b", 1, 1),
        ("view", 1, 1),
    ]
    assert listed(flow.preceding(visits, "exit", NOW)) == [("media:a", 1, 1), ("share", 1, 1)]
    ends = flow.ends(visits, NOW)
    assert (dict(ends.reached), dict(ends.exits)) == (
        {"media:a": 3, "feature:zoom": 1, "media:b": 1, "share": 1, "view": 1},
        {"media:a": 1, "share": 1},
    )
    assert ends.visits["media:a"] == 3
    assert {name: listed(tally) for name, tally in flow.after_features(visits, NOW).items()} == {
        "feature:zoom": [("media:a", 1, 1)]
    }


def test_a_visit_runs_for_less_than_30_minutes_after_its_last_event() -> None:
    visits = visits_of(table([event(1, 0, "view")]))
    found = [flow.following(visits, ["view"], now).times for now in (ENDED_MS - 1, ENDED_MS)]
    assert found == [{}, {"exit": 1}]


def test_no_events_make_no_visits() -> None:
    found = decode(learn(table([]), NOW))
    assert (len(found.visits), found.scores, found.smoothings) == (0, None, {})
    assert found.refusal == "There are too few visits to hold some out and tell how well the rest predict them."
    assert flow.following(found.visits, [], NOW) == flow.Tally()


actions = st.sampled_from(
    [("view", {"media": "a"}), ("view", {"media": "é"}), ("view", {}), ("feature", {"target": "z"}), ("feature", {}), ("read", {})]
)  # fmt: skip


@st.composite
def days(draw: st.DrawFn) -> list[dict[str, Any]]:
    drawn = draw(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 990), actions), max_size=40))
    return [
        event(visit, minute, action, number, **more) for number, (visit, minute, (action, more)) in enumerate(drawn)
    ]


NAMES = ["media:a", "media:é", "view", "feature:z", "feature", "read", "exit", "never"]


@settings(deadline=None)
@given(days(), st.lists(st.sampled_from(NAMES), max_size=2), st.randoms())
def test_law_counts_are_those_of_the_second_opinion_in_any_order(events, after, random) -> None:
    expected = plain(events, after, NOW)
    random.shuffle(events)
    found = flow.following(visits_of(table(events)), after, NOW)
    rows = [(step, times / found.times.total(), found.visits[step]) for step, times in found.times.items()]
    assert sorted(rows) == sorted((row["step"], row["probability"], row["visits"]) for row in expected)


@settings(deadline=None)
@given(days(), st.integers(0, 40), st.integers(0, 990), st.lists(st.sampled_from(NAMES), max_size=2), st.randoms())
def test_law_what_is_kept_and_corrected_is_what_is_counted_from_nothing(events, cut, learnt_at, after, random) -> None:
    """Whatever came before the cut and whatever later, late events of kept visits among it."""
    random.shuffle(events)
    kept = decode(encode(Journeys(visits_of(table(events[:cut])), learnt_at * MINUTE, {}, None))).visits

    def read(numbers, first, last):
        return table([e for e in events if e["visit"] in numbers and first <= e["at"] <= last])

    parts = corrected(kept, table(events[cut:]), read)
    whole = visits_of(table(events))
    assert flow.total(flow.following(part, after, NOW) for part in parts) == flow.following(whole, after, NOW)
    step = (after or ["view"])[0]
    assert flow.total(flow.preceding(part, step, NOW) for part in parts) == flow.preceding(whole, step, NOW)
    assert sum((flow.ends(part, NOW) for part in parts), flow.Ends()) == flow.ends(whole, NOW)


def some_visits(count: int, seed: int = 1) -> Visits:
    """Readers who mostly go from a media to the next one; the last step of some visits is too young to have ended."""
    random = np.random.default_rng(seed)
    events = []
    for visit in range(1, count + 1):
        place = int(random.integers(8))
        for minute in range(int(random.integers(1, 7))):
            events.append(event(visit, visit + minute / 10, "view", minute, media=f"m{place}"))
            place = (place + 1) % 8 if random.random() < 0.8 else int(random.integers(8))
    return visits_of(table(events))


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("has_continuations", [False, True])
def test_law_predictions_add_up_and_their_top_is_on_top(order: int, has_continuations: bool) -> None:
    visits = some_visits(300)
    moves = smoothing.moves_of(visits, NOW)
    chosen = smoothing.Smoothing(
        has_continuations, (0.3, 0.6, 0.8)[: order + 1], (4.0, 2.0, 0.5)[: order + 1], -0.7, 0.4
    )
    prediction = smoothing.Prediction(moves.part(slice(0, 500)), order, chosen)
    for number in range(0, len(moves), 37):
        one = moves.part(slice(number, number + 1))
        after = prediction.after(int(one.before[0]), int(one.at[0]))
        assert after.sum() == pytest.approx(1)
        named = after[:-1]
        assert prediction.tops_of(one)[0].tolist() == np.lexsort((np.arange(len(named)), -named))[:3].tolist()
        assert prediction.of(one)[0] == pytest.approx(after[one.then[0]])


def test_smoothing_by_hand() -> None:
    """Two moves a → b and one a → exit, c was never seen; one step back with discount 0.5 and strength 1."""
    visits = visits_of(
        table([event(1, 0, "a"), event(1, 1, "b"), event(2, 0, "a"), event(2, 1, "b"), event(3, 0, "a")])
    )
    prediction = smoothing.Prediction(
        smoothing.moves_of(visits, NOW), 1, smoothing.Smoothing(False, (0.5, 0.5), (1.0, 1.0))
    )
    a, b, ends = (visits.names.index(name) for name in ("a", "b", "exit"))
    # None back: of 5 moves 2 lead to b and 3 to exit: (2 - .5)/6, (3 - .5)/6, UNSEEN (1 + .5 * 2)/6.
    # After a: of 3 moves 2 lead to b, 1 to exit; what is spread is (1 + .5 * 2)/4.
    after = prediction.after(-1, a)
    assert after[[b, ends, len(visits.names)]].tolist() == pytest.approx(
        [1.5 / 4 + 0.5 * 1.5 / 6, 0.5 / 4 + 0.5 * 2.5 / 6, 0.5 * 2 / 6]
    )
    assert after[a] == 0  # it never followed anything


def test_continuations_are_the_different_steps_before() -> None:
    """a → x ten times over, b → y and c → y once each: after an unknown step y is likelier."""
    events = [event(visit, minute, step, minute) for visit in range(10) for minute, step in enumerate("ax")]
    events += [event(20 + visit, minute, step) for visit in range(2) for minute, step in enumerate(("bc"[visit], "y"))]
    visits = visits_of(table(events))
    x, y = (visits.names.index(name) for name in "xy")
    likely = []
    for kind in (False, True):
        chosen = smoothing.Smoothing(kind, (0.5, 0.5), (1.0, 1.0))
        after = smoothing.Prediction(smoothing.moves_of(visits, NOW), 1, chosen).after(-1, -1)
        likely.append(after[y] > after[x])
    assert likely == [False, True]


def test_the_last_fifth_by_start_is_held_out_and_predicted_better_than_by_popularity() -> None:
    visits = some_visits(500)
    train, test = score.split(visits)
    assert (len(train), len(test)) == (400, 100)
    assert train.first_at.max() <= test.first_at.min()
    found = journeys_of(visits, NOW)
    assert found.scores is not None
    assert found.refusal is None
    assert found.scores.model.log_loss < found.scores.popularity.log_loss - 0.3
    assert found.scores.model.top1 > found.scores.popularity.top1
    assert found.scores.model.calibration_error < 0.1
    assert found.scores.model.predicted == len(smoothing.moves_of(test, NOW))
    after = found.predicted(["media:m1"])
    assert sum(after.values()) == pytest.approx(1)
    assert max(after, key=lambda step: after[step]) == "media:m2"
    assert UNSEEN in after
    assert found.predicted(["exit"]) == {}
    assert sum(found.predicted(["never", "seen"]).values()) == pytest.approx(1)


def test_the_score_is_that_of_a_second_opinion() -> None:
    """Popularity and hits of it by plain counting."""
    visits = some_visits(200)
    train, test = score.split(visits)
    found = score.scores_of(visits, NOW)
    assert found is not None
    then = [part.then(NOW) for part in (train, test)]
    counts = np.bincount(then[0][then[0] >= 0], minlength=len(visits.names))
    top = np.lexsort((np.arange(len(counts)), -counts))[:3]
    came = then[1][then[1] >= 0]
    assert found.popularity.top1 == pytest.approx((came == top[0]).mean())
    assert found.popularity.top3 == pytest.approx(np.isin(came, top).mean())


def test_what_does_not_beat_popularity_is_refused_and_says_so() -> None:
    random = np.random.default_rng(3)
    events = [
        event(visit, visit + minute, "view", minute, media=f"{random.integers(10**6)}")
        for visit in range(1, 101)
        for minute in range(2)
    ]
    found = journeys_of(visits_of(table(events)), NOW)
    worse = score.Score(10, 0.1, 0.2, 3.0, 0.0)
    better = score.Score(10, 0.1, 0.2, 2.5, 0.0)
    refused = score.Scores(worse, better, worse).refusal()
    assert refused == (
        "The log loss of the prediction, 3.0000, is not below that of popularity, 2.5000, on 10 steps held out."
    )
    if found.refusal:
        with pytest.raises(ValueError, match="log loss"):
            found.predicted(["view"])


def test_scores_of_hubs_are_weighted_by_what_they_predicted() -> None:
    one, other = (score.Score(size, top, top, 1 + top, 0.0) for size, top in ((10, 0.0), (30, 1.0)))
    whole = score.together([score.Scores(one, one, one), score.Scores(other, other, other)])
    assert whole is not None
    assert whole.model == score.Score(40, 0.75, 0.75, 1.75, 0.0)
    assert score.together([]) is None


@settings(max_examples=10, deadline=None)
@given(days())
def test_law_the_bytes_are_the_same_in_any_order_and_give_the_same_back(events) -> None:
    payload = learn(table(events), NOW)
    assert learn(table(events[::-1]), NOW) == payload
    assert encode(decode(payload)) == payload
    assert walks(events, NOW).keys() == set(decode(payload).visits.numbers.tolist())
