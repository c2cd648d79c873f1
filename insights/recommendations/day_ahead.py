"""The honest comparison for a living hub: train to midnight, predict what each visitor opens for the first time next day.

Only media known at midnight count. The half-life for a day is learnt on the days before it, and its model from what
happened before it: nothing of a scored day is in anything that it is scored with.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from insights.recommendations.candidates import (
    DAY_MS,
    FLOOR,
    MATRICES,
    affinities,
    freshness,
    popularity,
    recent_popularity,
)
from insights.recommendations.interactions import Interactions
from insights.recommendations.ranking import TOP, ndcg, ranked, recall

HALF_LIVES = (0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 365.0, float("inf"))
"""Half-lives in days that are compared; a hub of catalogues may have none."""
MEDIA_AT_MOST = 500
"""Media opened last that EASE and ALS are learnt from each day."""
NEWEST, POPULARITY, RECENT = "newest", "popularity", "recent_popularity"
FRESH = "_fresh"
WORTH = math.log2((1 + FLOOR) / FLOOR)
"""By how many half-lives a media may be older than another, and still be better by its affinity."""
MARGIN = 1e-6
"""Days that no error of rounding reaches."""
Shown = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Day:
    """One midnight: what is known, and which visitors (rows) opened which known media (columns) for the first time."""

    now: int
    known: Interactions
    reads: "scipy.sparse.csr_matrix"
    is_open: np.ndarray
    opened: np.ndarray


def days(found: Interactions, count: int) -> list[int]:
    """The last midnights (UTC) of the events, oldest first, up to `count` and after the first day."""
    if not len(found.at):
        return []
    first, last = int(found.at[0]) // DAY_MS, int(found.at[-1]) // DAY_MS
    return [day * DAY_MS for day in range(max(first + 1, last - count + 1), last + 1)]


def even(size: int, at_most: int | None) -> np.ndarray:
    """The places of `size` things, or of `at_most` of them at even distances, the first and the last among them."""
    if at_most is None or size <= at_most:
        return np.arange(size)
    return np.linspace(0, size - 1, at_most).astype(int)


def day_of(found: Interactions, now: int, visitors_at_most: int | None) -> Day | None:
    """The questions of a midnight; None where nobody opened anything new to him that was known.

    Of more visitors than `visitors_at_most` those at even distances are asked.
    """
    known = found.until(now)
    end = int(np.searchsorted(found.at, now + DAY_MS))
    day = found.chosen(slice(len(known.at), end))
    size = len(found.names)
    reads = known.matrix()
    keys = np.unique(day.visitor * size + day.media)
    is_known = known.first_at < now
    keys = keys[is_known[keys % size]]
    if not len(keys):
        return None
    was_read = np.asarray(reads[keys // size, keys % size]).ravel() > 0
    keys = keys[~was_read]
    asked = np.unique(keys // size)
    asked = asked[even(len(asked), visitors_at_most)]
    keys = keys[np.isin(keys // size, asked)]
    if not len(keys):
        return None
    opened = np.zeros((len(asked), size), dtype=bool)
    opened[np.searchsorted(asked, keys // size), keys % size] = True
    own = reads[asked].tocsr()
    return Day(now, known, own, is_known & ~(own.toarray() > 0), opened)


class Waning:
    """Events of each media, each worth half as much for every half-life, by half-life; carried from midnight to midnight."""

    def __init__(self, found: Interactions) -> None:
        self._found = found
        self._known, self._now = 0, 0
        self._sums = {half_life: np.zeros(len(found.names)) for half_life in HALF_LIVES}

    def until(self, now: int) -> dict[float, np.ndarray]:
        """The sums at a midnight, none before the last one asked for."""
        known = int(np.searchsorted(self._found.at, now))
        new = self._found.chosen(slice(self._known, known))
        for half_life, sums in self._sums.items():
            sums *= freshness(np.array(self._now), now, half_life)
            sums += recent_popularity(new, now, half_life)
        self._known, self._now = known, now
        return self._sums


def best(day: Day, scores: np.ndarray) -> np.ndarray:
    """The best media that a visitor may be recommended, by scores of all."""
    return ranked(np.where(day.is_open, scores, -np.inf))


def best_of_all(day: Day, scores: np.ndarray) -> np.ndarray:
    """The same by scores that are one for all visitors: only as many are looked at as somebody may have read, and TOP."""
    order = np.argsort(-scores, kind="stable")
    order = order[day.known.first_at[order] < day.now]
    closed = len(order) - int(day.is_open.sum(axis=1).min())
    order = order[: closed + TOP]
    return order[ranked(np.where(day.is_open[:, order], -np.arange(len(order)), -np.inf))]


def best_of(day: Day, near: np.ndarray) -> np.ndarray:
    """The best media for the visitors of a day by an item-item candidate, of which `near` are the affinities."""
    visitors = popularity(day.known)
    return best(day, near + FLOOR * visitors / max(visitors.max(), 1))


def best_when_fresh(day: Day, near: np.ndarray) -> dict[float, np.ndarray]:
    """By half-life the best media by affinities times freshness, ties by place.

    Scores are logarithms, so that no age makes them 0. An affinity is worth at most a factor (1 + FLOOR) / FLOOR, so that
    nothing that is older by more half-lives than that than TOP others can be among the best: it is not looked at.
    """
    order = np.argsort(-day.known.first_at, kind="stable")
    order = order[day.known.first_at[order] < day.now]
    ages = (day.now - day.known.first_at[order]) / DAY_MS
    is_open = day.is_open[:, order]
    scores = np.where(is_open, np.log2(near[:, order] + FLOOR), -np.inf)
    has_enough = np.cumsum(is_open, axis=1) >= TOP
    oldest = ages[has_enough.argmax(axis=1).max()] if has_enough[:, -1].all() else math.inf
    found = {}
    for half_life in HALF_LIVES:
        if math.isinf(half_life):
            found[half_life] = best(day, near)
            continue
        reach = oldest + half_life * WORTH + MARGIN
        wide = int(np.searchsorted(ages, reach, side="right"))
        found[half_life] = order[ranked(scores[:, :wide] - ages[:wide] / half_life)]
    return found


class Score:
    """What a candidate reached so far."""

    def __init__(self) -> None:
        self._questions = 0
        self._recall = self._ndcg = 0.0
        self._named: set[int] = set()

    def add(self, day: Day, best: np.ndarray) -> None:
        hits = np.take_along_axis(day.opened, best, axis=1)
        wanted = day.opened.sum(axis=1)
        self._questions += len(wanted)
        self._recall += float(recall(hits, wanted).sum())
        self._ndcg += float(ndcg(hits, wanted).sum())
        self._named.update(np.unique(best[np.take_along_axis(day.is_open, best, axis=1)]).tolist())

    def shown(self, media: int) -> dict[str, float]:
        """The means over all questions, and the part of the media that was named at all."""
        return {
            "recall@10": self._mean(self._recall),
            "ndcg@10": self.ndcg,
            "coverage": round(len(self._named) / media, 4) if media else 0.0,
        }

    @property
    def ndcg(self) -> float:
        return self._mean(self._ndcg)

    def _mean(self, total: float) -> float:
        return round(total / self._questions, 4) if self._questions else 0.0


def compare(
    found: Interactions,
    scored: int,
    learnt: int,
    names: Sequence[str] = tuple(MATRICES),
    visitors_at_most: int | None = None,
    midnights_at_most: int | None = None,
    shown: Shown = lambda name, done, total: None,
) -> dict[str, Any]:
    """Every candidate on the last `scored` days. Its half-life for a day is learnt on all days before it, from `learnt`
    days before the first that is scored; the one that is told was learnt on all of them. Of more midnights than
    `midnights_at_most`, scored or not, those at even distances count.
    """
    all_days = days(found, scored + learnt)
    scored = min(scored, len(all_days) - min(learnt, len(all_days) // 3))
    chosen = even(len(all_days), midnights_at_most)
    every = [all_days[place] for place in chosen]
    scored = int((chosen >= len(all_days) - scored).sum())
    tries = {name: {half: Score() for half in HALF_LIVES} for name in [RECENT, *(name + FRESH for name in names)]}
    reached = {name: Score() for name in [NEWEST, POPULARITY, *names, *tries]}
    waning = Waning(found)
    questions = 0
    for number, now in enumerate(every):
        shown("day ahead", number, len(every))
        if (day := day_of(found, now, visitors_at_most)) is None:
            continue
        near = {name: affinities(day.reads, MATRICES[name](day.known, MEDIA_AT_MOST)) for name in names}
        tried = {RECENT: {half_life: best_of_all(day, sums) for half_life, sums in waning.until(now).items()}}
        tried |= {name + FRESH: best_when_fresh(day, near[name]) for name in names}
        if number >= len(every) - scored:
            questions += len(day.opened)
            named = {NEWEST: best_of_all(day, day.known.first_at), POPULARITY: best_of_all(day, popularity(day.known))}
            named |= {name: best_of(day, near[name]) for name in names}
            named |= {name: by_half_life[_best_half_life(tries[name])] for name, by_half_life in tried.items()}
            for name, score in reached.items():
                score.add(day, named[name])
        for name, by_half_life in tried.items():
            for half_life, lists in by_half_life.items():
                tries[name][half_life].add(day, lists)
    results: dict[str, dict[str, Any]] = {name: score.shown(len(found.names)) for name, score in reached.items()}
    for name, of_name in tries.items():
        half_life = _best_half_life(of_name)
        results[name]["half_life_days"] = None if math.isinf(half_life) else half_life
    return {
        "days": scored,
        "learnt_on": len(every) - scored,
        "questions": questions,
        "best": max(results, key=lambda name: results[name]["ndcg@10"]),
        "candidates": results,
    }


def _best_half_life(tries: dict[float, Score]) -> float:
    """The half-life that reached most; of equals the longest, since it forgets least."""
    return max(tries, key=lambda half_life: (tries[half_life].ndcg, half_life))
