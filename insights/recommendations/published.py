"""The comparison that others publish: a random fifth of what each visitor opened, each ranked among media he never touched.

Visitors with five media or more. The strength of a pair is log2(1 + the sum of its weights). The blend's weights are
learnt, by a conditional logit, from a random fifth of the rest: nothing of the tested fifth is in anything learnt.
A split by chance leaves time in: media are read near their publication, so how near a media's first reading lies
to a visitor's own days is a feature of the blend, and of this protocol alone.
"""

from typing import Any

import numpy as np
import scipy

from insights.recommendations.candidates import DAY_MS, MATRICES, popularity
from insights.recommendations.interactions import Interactions
from insights.recommendations.ranking import DISCOUNT, TOP

MEDIA_AT_LEAST = 5
TESTED = 0.2
OTHERS = 100
SEED = 42
MEDIA_AT_MOST = 4_000
NEAR_DAYS = (1, 4, 16)
RIDGE = 1e-3
SMALL = 1e-2
"""What a score of 0 counts as in the blend, as a part of the best of its list."""
RARE = 1e-4
POPULARITY, BLEND = "popularity", "blend"


def compare(found: Interactions, shown: Any = lambda name, done, total: None) -> dict[str, Any]:
    """Every candidate and their blend: recall@10, nDCG@10 and coverage."""
    counts = np.bincount(found.pairs.visitor, minlength=len(found.visitors))
    is_in = counts[found.pairs.visitor] >= MEDIA_AT_LEAST
    if not is_in.any():
        return {"persons": 0, "tested": 0, "candidates": {}}
    rng = np.random.default_rng(SEED)
    owner = found.pairs.visitor
    is_tested = _fifth(owner, is_in, rng)
    is_inner = _fifth(owner, is_in & ~is_tested, rng)
    lists = _lists(found, is_tested, found.matrix(), rng)
    # What a visitor touched in the tested fifth may be among the others here: nobody knows of it yet.
    inner_lists = _lists(found, is_inner, _known(found, ~is_tested).matrix(), rng)
    shown("published protocol", 0, 2)
    inner = _features(found, is_in & ~is_tested & ~is_inner, owner[is_inner], inner_lists)
    shown("published protocol", 1, 2)
    tested = _features(found, is_in & ~is_tested, owner[is_tested], lists)
    weights = _learnt(_stacked(inner))
    scores = {name: tested[name] for name in (POPULARITY, *MATRICES)}
    scores[BLEND] = _stacked(tested) @ weights
    return {
        "persons": int((counts >= MEDIA_AT_LEAST).sum()),
        "tested": int(is_tested.sum()),
        "candidates": {name: _score(score, lists, len(found.names)) for name, score in scores.items()},
    }


def _fifth(owner: np.ndarray, is_in: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random fifth of each visitor's pairs, rounded."""
    chosen = np.zeros(len(owner), dtype=bool)
    places = np.flatnonzero(is_in)
    for own in np.split(places, np.flatnonzero(np.diff(owner[places])) + 1):
        chosen[rng.permutation(own)[: round(len(own) * TESTED)]] = True
    return chosen


def _lists(
    found: Interactions, is_asked: np.ndarray, reads: "scipy.sparse.csr_matrix", rng: np.random.Generator
) -> np.ndarray:
    """For each asked pair its media, and then OTHERS that its visitor never touched as far as `reads` tell."""
    rows = []
    for visitor, media in zip(found.pairs.visitor[is_asked], found.pairs.media[is_asked], strict=True):
        is_free = np.ones(len(found.names), dtype=bool)
        is_free[reads.indices[reads.indptr[visitor] : reads.indptr[visitor + 1]]] = False
        free = np.flatnonzero(is_free)
        others = rng.choice(free, OTHERS, replace=len(free) < OTHERS)
        rows.append(np.concatenate([[media], others]))
    return np.array(rows)


def _features(found: Interactions, is_known: np.ndarray, asked: np.ndarray, lists: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of every list by each candidate that learns from the known pairs, and how near in time its media are."""
    pairs = found.pairs
    known = _known(found, is_known)
    reads, strengths = known.matrix(), known.matrix(has_strength=True)
    features = {POPULARITY: popularity(known)[lists]}
    for name, matrix in MATRICES.items():
        factors = matrix(known, MEDIA_AT_MOST)
        read = strengths if name == "ease" else reads
        features[name] = factors.scores(read)[asked[:, None], lists]
    day = (pairs.at[is_known] - pairs.at.min()) // DAY_MS
    first = np.zeros(len(found.names), dtype=np.int64)
    first[:] = np.iinfo(np.int64).max
    np.minimum.at(first, pairs.media[is_known], day)
    first = np.where(first > day.max(), 0, first)
    for days in NEAR_DAYS:
        near = np.exp(-np.abs(np.subtract.outer(np.arange(day.max() + 1), np.arange(day.max() + 1))) / days)
        own = _spread(pairs.visitor[is_known], day, len(found.visitors)) @ near
        of_media = _spread(pairs.media[is_known], day, len(found.names))
        features[f"read_near_{days}"] = (own @ of_media.T)[asked[:, None], lists]
        features[f"begun_near_{days}"] = own[asked[:, None], first[lists]]
    return features


def _spread(row: np.ndarray, day: np.ndarray, size: int) -> np.ndarray:
    """Of each row the part of its pairs on each day."""
    counts = np.zeros((size, int(day.max()) + 1))
    np.add.at(counts, (row, day), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _stacked(features: dict[str, np.ndarray]) -> np.ndarray:
    """The features of the blend, as logarithms."""
    parts = []
    for name, values in features.items():
        if name == POPULARITY:
            parts.append(np.log1p(values))
        elif "_near_" in name:
            parts.append(np.log(values + RARE))
        else:
            kept = np.maximum(values, 0)
            parts.append(np.log(kept / np.maximum(kept.max(axis=1, keepdims=True), 1e-12) + SMALL))
    return np.stack(parts, axis=-1)


def _learnt(features: np.ndarray) -> np.ndarray:
    """The weights under which the first of each list is likeliest."""
    scale = features.std(axis=(0, 1)) + 1e-12
    scaled = features / scale

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = scaled @ weights
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances = odds / odds.sum(axis=1, keepdims=True)
        slope = np.einsum("lc,lcf->f", chances, scaled) / len(scaled) - scaled[:, 0].mean(axis=0)
        return float(-np.log(chances[:, 0]).mean() + RIDGE * weights @ weights), slope + 2 * RIDGE * weights

    return scipy.optimize.minimize(loss, np.zeros(features.shape[-1]), jac=True, method="L-BFGS-B").x / scale


def _score(scores: np.ndarray, lists: np.ndarray, media: int) -> dict[str, float]:
    """Of ties the asked media is the last."""
    place = (scores[:, 1:] >= scores[:, :1]).sum(axis=1)
    gains = np.where(place < TOP, DISCOUNT[np.minimum(place, TOP - 1)], 0)
    named = np.take_along_axis(lists, np.argsort(-scores, axis=1, kind="stable")[:, :TOP], axis=1)
    return {
        "recall@10": round(float((place < TOP).mean()), 4),
        "ndcg@10": round(float(gains.mean()), 4),
        "coverage": round(len(np.unique(named)) / media, 4),
    }


def _known(found: Interactions, is_known: np.ndarray) -> Interactions:
    """The events of some pairs alone, of interactions that have all of their pairs."""
    return found.chosen(is_known[found.pair])
