"""Scores of ranked lists: recall, nDCG with binary gains, coverage."""

import numpy as np

TOP = 10
DISCOUNT = 1 / np.log2(np.arange(2, TOP + 2))


def ranked(scores: np.ndarray, top: int = TOP) -> np.ndarray:
    """The places of the best scores of each row, best first, ties by place; rows are cut to `top`."""
    top = min(top, scores.shape[1])
    least = np.partition(scores, -top, axis=1)[:, -top]
    best = np.empty((len(scores), top), dtype=np.int64)
    for row, (own, bound) in enumerate(zip(scores, least, strict=True)):
        places = np.flatnonzero(own >= bound)
        best[row] = places[np.argsort(-own[places], kind="stable")[:top]]
    return best


def ndcg(hits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Of each row: `hits` says which places of its list were opened, `wanted` how many media were."""
    best = np.cumsum(DISCOUNT)[np.minimum(wanted, TOP) - 1]
    return (hits * DISCOUNT[: hits.shape[1]]).sum(axis=1) / best


def recall(hits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return hits.sum(axis=1) / wanted
