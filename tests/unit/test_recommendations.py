"""What is recommended, by hand, and the scores of lists."""

import math
import random

import numpy as np
import pyarrow as pa
import pytest
from threadpoolctl import threadpool_info

from insights.recommendations import candidates, day_ahead, evaluation, published
from insights.recommendations.candidates import affinities
from insights.recommendations.interactions import interactions
from insights.recommendations.model import AUDIENCE, Model, News, Shelf, learn, model_of
from insights.recommendations.ranking import ndcg, ranked, recall
from tests.plain_recommendations import plain_cosine, plain_neighbours

DAY = 86_400_000
START = 20_000 * DAY
Opened = tuple[float, int, str]


def table(*opened: Opened, action: str = "view") -> pa.Table:
    """Events from (day, visitor, media)."""
    return pa.table(
        {
            "visitor": pa.array([visitor for _, visitor, _ in opened], pa.int64()),
            "media": pa.array([media for _, _, media in opened], pa.string()),
            "occurred_at": pa.array([START + round(day * DAY) for day, _, _ in opened], pa.int64()),
            "action": pa.array([action] * len(opened), pa.string()),
        }
    )


def model(**changes) -> Model:
    """Three media of three readers each: `b` goes with `a` most, and `c` is the newest."""
    kept = {
        "name": "neighbours",
        "lists": "neighbours",
        "half_life": None,
        "scores": {},
        "days": 0,
        "questions": 0,
        "media": ["a", "b", "c"],
        "first_at": [START, START, START + DAY],
        "visitors": [3, 3, 3],
        "recent": [500_000, 250_000, 1_000_000],
        "near": [[1, 2], [0], [0]],
        "weights": [[1_000_000, 500_000], [1_000_000], [500_000]],
    }
    return Model(**kept | changes)


def recommend(model: Model, sources: list[str], taken: set[str], news: list[News], limit: int) -> list[dict]:
    return Shelf(model, news).recommend(sources, taken, limit)


def named(*args, **kwargs) -> list[tuple[str, str | None]]:
    return [(row["media"], row["because"]) for row in recommend(*args, **kwargs)]


def test_readers_of_a_media_also_read_what_goes_with_it_most() -> None:
    assert recommend(model(), ["a"], {"a"}, [], 10) == [
        {"media": "b", "score": 1.0, "because": "a"},
        {"media": "c", "score": pytest.approx((0.5 + 0.02) / (1 + 0.02 * 0.25), abs=1e-4), "because": "a"},
    ]


def test_age_halves_a_score() -> None:
    assert recommend(model(half_life=0.5), ["a"], {"a"}, [], 10)[0]["media"] == "c"


def test_nothing_that_was_read_is_named_and_the_strongest_reason_is_told() -> None:
    assert named(model(), ["b", "c"], {"b", "c"}, [], 10) == [("a", "b")]
    assert named(model(), ["a", "b", "c"], {"a", "b", "c"}, [], 10) == []


@pytest.mark.parametrize("sources", [[], ["unheard of"]])
def test_whoever_is_new_gets_what_is_popular_and_no_reason(sources) -> None:
    assert named(model(), sources, set(sources), [], 10) == [("c", None), ("a", None), ("b", None)]


def test_what_few_visitors_opened_is_not_named() -> None:
    few = model(visitors=[3, AUDIENCE - 1, 3])
    assert named(few, ["a"], {"a"}, [], 10) == [("c", "a")]
    news = [News("d", START + 2 * DAY, AUDIENCE), News("e", START + 2 * DAY, AUDIENCE - 1)]
    assert named(few, ["a"], {"a"}, news, 10) == [("c", "a"), ("d", None)]


def test_ties_are_in_the_order_of_ids_and_the_limit_cuts() -> None:
    even = model(recent=[0, 0, 0])
    assert named(even, [], set(), [], 2) == [("a", None), ("b", None)]


def test_an_empty_hub_has_a_model_that_recommends_nothing() -> None:
    found = model_of(learn(table(), START))
    assert (found.media, recommend(found, ["a"], {"a"}, [], 10)) == ([], [])


def opened_at_random(seed: int = 1) -> list[Opened]:
    """Thirty visitors of two tastes over thirty days; each day brings a media for each taste."""
    draw = random.Random(seed)
    opened = []
    for day in range(30):
        for visitor in range(30):
            if draw.random() < 0.5:
                taste = visitor % 2 if draw.random() < 0.9 else draw.randrange(2)
                media = max(0, day - draw.choice([0, 0, 1, 1, 2]))
                opened.append((day + draw.random(), visitor, f"{taste}-{media:02}"))
    return opened


def test_the_same_events_give_the_same_bytes_in_any_order() -> None:
    opened = opened_at_random()
    shuffled = random.Random(2).sample(opened, len(opened))
    now = START + 30 * DAY
    assert learn(table(*opened), now) == learn(table(*shuffled), now)


def test_the_best_of_the_last_days_is_kept_with_its_half_life() -> None:
    found = model_of(learn(table(*opened_at_random()), START + 30 * DAY))
    best = max(score["ndcg@10"] for score in found.scores.values())
    assert found.scores[found.name]["ndcg@10"] == best > found.scores["popularity"]["ndcg@10"]
    assert (found.lists.endswith("_fresh"), found.half_life is not None and found.half_life < 8) == (True, True)


@pytest.mark.parametrize(("name", "plain"), [("item_item", plain_cosine), ("neighbours", plain_neighbours)])
def test_matrices_are_those_of_the_second_opinion(name, plain) -> None:
    opened = opened_at_random()
    found = interactions(table(*opened))
    factors = candidates.MATRICES[name](found, 100)
    matrix = factors.matrix().toarray()
    expected = plain({(visitor, media) for _, visitor, media in opened})
    got = {
        (first, second): matrix[i, j]
        for i, first in enumerate(found.names)
        for j, second in enumerate(found.names)
        if i != j and matrix[i, j]
    }
    assert got == pytest.approx(expected)


@pytest.mark.parametrize("name", list(candidates.MATRICES))
def test_every_candidate_tells_tastes_apart(name) -> None:
    """A visitor of the first taste is nearer to media of it than to those of the other."""
    opened = [(day, visitor, f"{visitor % 2}-{day}") for day in range(10) for visitor in range(20) if visitor != day]
    found = interactions(table(*opened))
    near = affinities(found.matrix()[[0]], candidates.MATRICES[name](found, 100))[0]
    assert found.names[int(near.argmax())] == "0-0"


def test_nothing_of_the_scored_day_is_known_at_its_midnight() -> None:
    opened = [(0.5, 1, "a"), (0.5, 2, "b"), (1.2, 1, "b"), (1.3, 1, "new"), (1.4, 2, "b")]
    day = day_ahead.day_of(interactions(table(*opened)), START + DAY, None)
    assert day is not None
    names = ["a", "b", "new"]
    assert day.known.at.max() < START + DAY
    assert [names[place] for place in np.flatnonzero(day.opened[0])] == ["b"]
    assert (day.is_open.tolist(), len(day.opened)) == ([[False, True, False]], 1)


def test_what_happens_on_a_day_changes_nothing_that_it_is_scored_with() -> None:
    """A last day on which everybody turns to something else leaves the scores of a candidate as its half-life before."""
    opened = opened_at_random()
    before = [event for event in opened if event[0] < 20]
    last = [(20.5, visitor, "1-01") for visitor in range(30)]
    scored = day_ahead.compare(interactions(table(*before, *last)), 1, 20, ("item_item",))["candidates"]
    lives = day_ahead.compare(interactions(table(*before)), 1, 19, ("item_item",))["candidates"]
    name = "item_item_fresh"
    found = interactions(table(*before, *last))
    day = day_ahead.day_of(found, START + 20 * DAY, None)
    assert day is not None
    near = affinities(day.reads, candidates.MATRICES["item_item"](day.known, 100))
    score = day_ahead.Score()
    score.add(day, day_ahead.best_when_fresh(day, near)[lives[name]["half_life_days"]])
    assert score.ndcg == scored[name]["ndcg@10"]


HALF = day_ahead.HALF_LIVES


def test_the_best_by_every_half_life_are_those_of_all_media_compared() -> None:
    """What is left out because of its age is never among the best."""
    draw = random.Random(3)
    opened = [(draw.random() * min(day, 29), visitor, f"m{day:03}") for day in range(200) for visitor in range(12)]
    opened += [(draw.random() * 30, draw.randrange(200), f"m{draw.randrange(200):03}") for _ in range(3_000)]
    day = day_ahead.day_of(interactions(table(*opened)), START + 29 * DAY, None)
    assert day is not None
    near = affinities(day.reads, candidates.MATRICES["neighbours"](day.known, 100))
    found = day_ahead.best_when_fresh(day, near)
    assert list(found) == list(HALF)
    ages = (day.now - day.known.first_at) / DAY
    for half_life, best in found.items():
        scores = np.where(day.is_open, np.log2(near + candidates.FLOOR) - ages / half_life, -np.inf)
        expected = -np.sort(-scores, axis=1)[:, :10]
        assert np.take_along_axis(scores, best, axis=1) == pytest.approx(expected)


def test_scores_of_media_alone_name_the_first_that_are_open() -> None:
    found = interactions(table(*opened_at_random()))
    day = day_ahead.day_of(found, START + 20 * DAY, None)
    assert day is not None
    scores = candidates.popularity(day.known)
    whole = day_ahead.best(day, np.broadcast_to(scores, day.opened.shape))
    best = day_ahead.best_of_all(day, scores)
    is_open = np.take_along_axis(day.is_open, whole, axis=1)
    assert (np.take_along_axis(day.is_open, best, axis=1) == is_open).all()
    assert (best == whole)[is_open].all()


def test_popularity_that_wanes_is_carried_from_midnight_to_midnight() -> None:
    found = interactions(table(*opened_at_random()))
    waning = day_ahead.Waning(found)
    for now in (START + 9 * DAY, START + 10 * DAY, START + 25 * DAY):
        for half_life, sums in waning.until(now).items():
            assert sums == pytest.approx(candidates.recent_popularity(found.until(now), now, half_life))


def test_a_part_has_the_pairs_that_it_would_have_alone() -> None:
    opened = opened_at_random()
    part = interactions(table(*opened)).until(START + 12 * DAY)
    alone = interactions(table(*(event for event in opened if event[0] < 12)))
    names = np.array(part.names)
    assert names[part.pairs.media].tolist() == np.array(alone.names)[alone.pairs.media].tolist()
    assert part.visitors[part.pairs.visitor].tolist() == alone.visitors[alone.pairs.visitor].tolist()
    assert (part.pairs.at == alone.pairs.at).all()
    assert part.pairs.strength == pytest.approx(alone.pairs.strength)


def test_of_more_midnights_than_are_allowed_those_at_even_distances_are_scored() -> None:
    assert day_ahead.even(9, 3).tolist() == [0, 4, 8]
    assert day_ahead.even(3, None).tolist() == [0, 1, 2]
    found = interactions(table(*opened_at_random()))
    assert day_ahead.compare(found, 10, 19, ("item_item",))["days"] == 10
    few = day_ahead.compare(found, 10, 19, ("item_item",), midnights_at_most=8)
    assert (few["days"], few["learnt_on"]) == (3, 5)


def test_a_model_is_learnt_on_one_thread(monkeypatch) -> None:
    """Sums of floats differ by the number of threads, and the same events give the same bytes on any machine."""
    seen = set()

    def ease(known, at_most):
        seen.update(pool["num_threads"] for pool in threadpool_info())
        return candidates.ease(known, at_most)

    monkeypatch.setitem(candidates.MATRICES, "ease", ease)
    learn(table(*opened_at_random()), START + 30 * DAY)
    assert seen == {1}


@pytest.mark.parametrize("size", [1, 9, 10, 39, 40, 45, 1_000])
def test_ranked_lists_are_those_of_sorting_everything(size: int) -> None:
    scores = np.random.default_rng(size).integers(0, 30, (50, size)).astype(float)
    scores[scores < 10] = -np.inf
    assert ranked(scores).tolist() == np.argsort(-scores, axis=1, kind="stable")[:, :10].tolist()


def test_scores_of_lists_by_hand() -> None:
    hits = np.array([[True, False, True], [False, False, False]])
    wanted = np.array([2, 1])
    best = 1 + 1 / math.log2(3)
    assert ndcg(hits, wanted).tolist() == pytest.approx([(1 + 0.5) / best, 0])
    assert recall(hits, wanted).tolist() == [1.0, 0.0]
    assert ranked(np.array([[1.0, 3.0, 3.0, 2.0]]), 3).tolist() == [[1, 2, 3]]


def test_the_published_protocol_ranks_each_tested_media_among_a_hundred_others() -> None:
    scores = published.compare(interactions(table(*opened_at_random())))
    assert (scores["persons"], set(scores["candidates"])) == (30, {"popularity", *candidates.MATRICES, "blend"})
    assert scores["candidates"]["blend"]["recall@10"] > scores["candidates"]["popularity"]["recall@10"]


def test_an_empty_hub_is_evaluated_to_nothing() -> None:
    scores = evaluation.evaluate(table())
    assert (scores["published"]["tested"], scores["day_ahead"]["questions"]) == (0, 0)
