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
from insights.recommendations.ranking import ndcg, ranked, recall

HALF_LIVES = (0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 365.0, float("inf"))
"""Half-lives in days that are compared; a hub of catalogues may have none."""
MEDIA_AT_MOST = 500
"""Media opened last that EASE and ALS are learnt from each day."""
NEWEST, POPULARITY, RECENT = "newest", "popularity", "recent_popularity"
FRESH = "_fresh"
Shown = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Day:
    """One midnight: what is known, and which visitors (rows) opened which known media (columns) for the first time."""

    now: int
    known: Interactions
    reads: "scipy.sparse.csr_matrix"
    is_open: np.ndarray
    opened: np.ndarray


def days(found: Interactions, count: int, at_most: int | None = None) -> list[int]:
    """The last midnights (UTC) of the events, oldest first, up to `count` and after the first day."""
    if not len(found.at):
        return []
    first, last = int(found.at[0]) // DAY_MS, int(found.at[-1]) // DAY_MS
    return [day * DAY_MS for day in range(max(first + 1, last - count + 1), last + 1)]


def day_of(found: Interactions, now: int, visitors_at_most: int | None) -> Day | None:
    """The questions of a midnight; None where nobody opened anything new to him that was known.

    Of more visitors than `visitors_at_most` those at even distances are asked.
    """
    known = found.until(now)
    end = int(np.searchsorted(found.at, now + DAY_MS))
    start = len(known.at)
    size = len(found.names)
    visitor, media = found.visitor[start:end], found.media[start:end]
    reads = known.matrix()
    keys = np.unique(visitor.astype(np.int64) * size + media)
    is_known = known.first_at < now
    keys = keys[is_known[keys % size]]
    if not len(keys):
        return None
    was_read = np.asarray(reads[keys // size, keys % size]).ravel() > 0
    keys = keys[~was_read]
    asked = np.unique(keys // size)
    if visitors_at_most is not None and len(asked) > visitors_at_most:
        asked = asked[np.linspace(0, len(asked) - 1, visitors_at_most).astype(int)]
        keys = keys[np.isin(keys // size, asked)]
    if not len(keys):
        return None
    opened = np.zeros((len(asked), size), dtype=bool)
    opened[np.searchsorted(asked, keys // size), keys % size] = True
    own = reads[asked].tocsr()
    return Day(now, known, own, is_known & ~(own.toarray() > 0), opened)


def scores_of(day: Day, name: str, half_life: float, near: np.ndarray | None = None) -> np.ndarray:
    """The scores of every media for the visitors of a day, by a candidate with a half-life; `near` are its affinities."""
    if near is None:
        scores = {
            NEWEST: lambda: day.known.first_at.astype(float),
            POPULARITY: lambda: popularity(day.known),
            RECENT: lambda: recent_popularity(day.known, day.now, half_life),
        }[name]()
        return np.broadcast_to(scores, day.opened.shape)
    if name.endswith(FRESH):
        return (near + FLOOR) * freshness(day.known.first_at, day.now, half_life)
    visitors = popularity(day.known)
    return near + FLOOR * visitors / max(visitors.max(), 1)


class Score:
    """What a candidate reached so far."""

    def __init__(self) -> None:
        self._recall: list[np.ndarray] = []
        self._ndcg: list[np.ndarray] = []
        self._named: set[int] = set()

    def add(self, day: Day, scores: np.ndarray) -> None:
        best = ranked(np.where(day.is_open, scores, -np.inf))
        hits = np.take_along_axis(day.opened, best, axis=1)
        wanted = day.opened.sum(axis=1)
        self._recall.append(recall(hits, wanted))
        self._ndcg.append(ndcg(hits, wanted))
        self._named.update(np.unique(best).tolist())

    def shown(self, media: int) -> dict[str, float]:
        """The means over all questions, and the part of the media that was named at all."""
        return {
            "recall@10": _mean(self._recall),
            "ndcg@10": _mean(self._ndcg),
            "coverage": round(len(self._named) / media, 4) if media else 0.0,
        }

    @property
    def ndcg(self) -> float:
        return _mean(self._ndcg)


def _mean(parts: Sequence[np.ndarray]) -> float:
    return round(float(np.concatenate(parts).mean()), 4) if parts else 0.0


def compare(
    found: Interactions,
    scored: int,
    learnt: int,
    names: Sequence[str] = tuple(MATRICES),
    visitors_at_most: int | None = None,
    shown: Shown = lambda name, done, total: None,
) -> dict[str, Any]:
    """Every candidate on the last `scored` days. Its half-life for a day is learnt on all days before it, from `learnt`
    days before the first that is scored; the one that is told was learnt on all of them.
    """
    every = days(found, scored + learnt)
    scored = min(scored, len(every) - min(learnt, len(every) // 3))
    tries = {name: {half: Score() for half in HALF_LIVES} for name in [RECENT, *(name + FRESH for name in names)]}
    reached = {name: Score() for name in [NEWEST, POPULARITY, *names, *tries]}
    questions = 0
    for number, now in enumerate(every):
        shown("day ahead", number, len(every))
        if (day := day_of(found, now, visitors_at_most)) is None:
            continue
        matrices = {name: MATRICES[name](day.known, MEDIA_AT_MOST) for name in names}
        near = {name: affinities(day.reads, factors) for name, factors in matrices.items()}
        if number >= len(every) - scored:
            questions += len(day.opened)
            for name, score in reached.items():
                half_life = _best_half_life(tries[name]) if name in tries else math.inf
                score.add(day, scores_of(day, name, half_life, near.get(name.removesuffix(FRESH))))
        for name, of_name in tries.items():
            for half_life, score in of_name.items():
                score.add(day, scores_of(day, name, half_life, near.get(name.removesuffix(FRESH))))
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
