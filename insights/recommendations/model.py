"""The model that is kept for a hub: lists of what goes with each media, ages, audiences; and what it recommends."""

import math
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from insights.lesson import Lesson
from insights.recommendations import day_ahead
from insights.recommendations.candidates import FLOOR, MATRICES, Factors, popularity, recent_popularity
from insights.recommendations.interactions import COLUMNS, WHERE, Interactions, interactions

SCORED_DAYS, LEARNT_DAYS = 28, 28
VISITORS_A_DAY = 200
"""Visitors who are asked about at a midnight: one nDCG@10 differs from another's by 0.3, the mean of 28 days by 0.004."""
EVENTS_GONE_OVER, MIDNIGHTS_AT_LEAST = 20_000_000, 14
"""Every midnight goes over all events before it. A hub of so many that this is more is compared on fewer midnights, which
lie at even distances: of a million events 20, whose scores are less sure by a factor 1.8.
"""
COMPARED = ("item_item", "bm25", "neighbours", "ease")
"""The item-item candidates of a daily run; ALS, which is dear and has not won, is compared by the command alone."""
MEDIA_AT_MOST = 2_000
"""Media opened last that EASE is learnt from, where it is the best."""
NEAR = 50
"""Media that are kept with each media."""
AUDIENCE = 3
"""Distinct visitors of a media before it is recommended."""
HOUR_MS = 3_600_000
DEFAULT = "neighbours"
WHOLE = 1_000_000
"""What the largest weight of a hub's lists is kept as: whole numbers have one byte form."""


class Model(msgspec.Struct, frozen=True):
    """What is kept. `near` and `weights` stand by media, the strongest first; instants in milliseconds.

    `half_life` in days, None where age makes no difference. `recent` are millionths of the media opened most of late.
    """

    name: str
    lists: str
    half_life: float | None
    scores: dict[str, dict[str, Any]]
    days: int
    questions: int
    media: list[str]
    first_at: list[int]
    visitors: list[int]
    recent: list[int]
    near: list[list[int]]
    weights: list[list[int]]

    def of(self, name: str) -> dict[str, Any] | None:
        """The scores of a candidate on the days that were held out; None where there were too few days."""
        return self.scores.get(name)


@threadpool_limits.wrap(limits=1)
def learn(events: pa.Table, now: int) -> bytes:
    """The bytes of the model of a hub's events, the best of the candidates by nDCG@10 on its last days.

    On one thread: sums of floats differ by the number of threads, and threads that share cores with others wait in loops.
    """
    found = interactions(events)
    midnights = max(EVENTS_GONE_OVER // max(len(found.at), 1), MIDNIGHTS_AT_LEAST)
    compared = day_ahead.compare(found, SCORED_DAYS, LEARNT_DAYS, COMPARED, VISITORS_A_DAY, midnights)
    scores = compared["candidates"]
    fitted = [name for name in scores if name.removesuffix(day_ahead.FRESH) in COMPARED]
    lists = max(fitted, key=lambda name: scores[name]["ndcg@10"]) if compared["questions"] else DEFAULT
    name = compared["best"] if compared["questions"] else DEFAULT
    half_life = scores.get(lists, {}).get("half_life_days") if compared["questions"] else None
    if not len(found.at):
        return msgspec.msgpack.encode(Model(name, lists, None, {}, 0, 0, [], [], [], [], [], []))
    near, weights = _lists(found, MATRICES[lists.removesuffix(day_ahead.FRESH)](found, MEDIA_AT_MOST), half_life)
    recent_life = scores.get(day_ahead.RECENT, {}).get("half_life_days") or math.inf
    recent = recent_popularity(found, now, recent_life)
    model = Model(
        name,
        lists,
        half_life,
        scores if compared["questions"] else {},
        compared["days"],
        compared["questions"],
        found.names,
        found.first_at.tolist(),
        popularity(found).astype(int).tolist(),
        np.rint(WHOLE * recent / max(recent.max(), 1e-300)).astype(int).tolist(),
        near,
        weights,
    )
    return msgspec.msgpack.encode(model)


def _lists(found: Interactions, factors: Factors, half_life: float | None) -> tuple[list[list[int]], list[list[int]]]:
    """The NEAR strongest media of each media, fresh ones first where age counts."""
    matrix = factors.matrix()
    ages = _ages(found.first_at, half_life)
    whole = max(float(matrix.max()), 1e-300)
    near, weights = [], []
    for media in range(matrix.shape[0]):
        row = slice(matrix.indptr[media], matrix.indptr[media + 1])
        columns, values = matrix.indices[row], np.rint(WHOLE * matrix.data[row] / whole).astype(int)
        is_kept = (values > 0) & (columns != media)
        columns, values = columns[is_kept], values[is_kept]
        best = np.lexsort((columns, -(np.log(values) - ages[columns])))[:NEAR]
        near.append(columns[best].tolist())
        weights.append(values[best].tolist())
    return near, weights


def _ages(first_at: np.ndarray, half_life: float | None) -> np.ndarray:
    """What age takes from the logarithm of a score, counted from the newest media."""
    if half_life is None:
        return np.zeros(len(first_at))
    return (first_at.max() - first_at) / day_ahead.DAY_MS / half_life * math.log(2)


def model_of(payload: bytes) -> Model:
    return msgspec.msgpack.decode(payload, type=Model)


class News(msgspec.Struct, frozen=True):
    """What happened to a media of late: its first opening, and the distinct visitors, in a time that may overlap the
    model's."""

    media: str
    first_at: int
    visitors: int


class Shelf:
    """A model with what happened since: what may be recommended. Once it is made, a list costs little.

    Media that the model does not know yet count by their visitors since. `visitors` holds the media with an AUDIENCE.
    """

    def __init__(self, model: Model, news: Iterable[News]) -> None:
        self._model = model
        self._place = {media: at for at, media in enumerate(model.media)}
        visitors = dict(zip(model.media, model.visitors, strict=True))
        first_at = dict(zip(model.media, model.first_at, strict=True))
        popular = dict(zip(model.media, (part / WHOLE for part in model.recent), strict=True))
        since = {new.media: new for new in news}
        most = max((new.visitors for new in since.values()), default=1)
        for media, new in since.items():
            visitors[media] = max(visitors.get(media, 0), new.visitors)
            first_at.setdefault(media, new.first_at)
            popular[media] = max(popular.get(media, 0.0), new.visitors / most)
        self.visitors = {media: count for media, count in visitors.items() if count >= AUDIENCE}
        self._first_at, self._popular = first_at, popular
        self._newest = max((first_at[media] for media in self.visitors), default=0)
        self._popularity = {media: self._score(media, 0.0) for media in self.visitors}
        self._order = sorted(self.visitors, key=lambda media: (-self._popularity[media], media))

    def recommend(self, sources: Collection[str], taken: Collection[str], limit: int) -> list[dict[str, Any]]:
        """At most `limit` media that go with `sources`, best first, ties by media id; none of `taken`.

        `because` is the source that adds most to a media's score; None where none adds to it: it is popular, or new.
        `score` is relative to the best of the answer.
        """
        name = self._model.name
        is_popularity = name in (day_ahead.POPULARITY, day_ahead.RECENT, day_ahead.NEWEST) and len(sources) != 1
        near, reasons = ({}, {}) if is_popularity else self._near(sources, taken)
        best = max(near.values(), default=1)
        scores = {media: self._score(media, weight / best) for media, weight in near.items()}
        others = (media for media in self._order if media not in near and media not in taken)
        scores |= {media: self._popularity[media] for media in islice(others, limit)}
        order = sorted(scores, key=lambda media: (-scores[media], media))[:limit]
        return [
            {
                "media": media,
                "score": round(math.exp(scores[media] - scores[order[0]]), 4),
                "because": reasons[media][1] if media in reasons else None,
            }
            for media in order
        ]

    def _near(
        self, sources: Collection[str], taken: Collection[str]
    ) -> tuple[dict[str, int], dict[str, tuple[int, str]]]:
        """The weight of each media that goes with the sources, and the source that adds most to it."""
        near: dict[str, int] = {}
        reasons: dict[str, tuple[int, str]] = {}
        for source in sorted(set(sources) & self._place.keys()):
            at = self._place[source]
            for other, weight in zip(self._model.near[at], self._model.weights[at], strict=True):
                media = self._model.media[other]
                if media in taken or media not in self.visitors:
                    continue
                near[media] = near.get(media, 0) + weight
                if weight > reasons.get(media, (0, ""))[0]:
                    reasons[media] = (weight, source)
        return near, reasons

    def _score(self, media: str, own: float) -> float:
        """The logarithm of how well a media goes with the sources, with what is popular, times freshness."""
        score = math.log(own + FLOOR * (self._popular[media] + 1 / WHOLE))
        if self._model.half_life is None:
            return score
        age = (self._newest - self._first_at[media]) / day_ahead.DAY_MS
        return score - age / self._model.half_life * math.log(2)


RECOMMENDATIONS = Lesson("recommendations", 2, COLUMNS, f"{WHERE} AND NOT is_bot", learn)
