"""Scores of ranked lists: recall, nDCG with binary gains, coverage."""

from math import isqrt

import numpy as np

TOP = 10
DISCOUNT = 1 / np.log2(np.arange(2, TOP + 2))


def ranked(scores: np.ndarray, top: int = TOP) -> np.ndarray:
    """The places of the best scores of each row, best first, ties by place; rows are cut to `top`.

    Only blocks with one of the `top` best maxima can hold one of the best: of equal ones the first.
    """
    rows, size = scores.shape
    top = min(top, size)
    width = isqrt(size // top) if top else 0
    if width < 2:
        return np.argsort(-scores, axis=1, kind="stable")[:, :top]
    maxima = scores[:, ::width].copy()
    for place in range(1, width):
        others = scores[:, place::width]
        np.maximum(maxima[:, : others.shape[1]], others, out=maxima[:, : others.shape[1]])
    blocks = np.sort(ranked(maxima, top), axis=1)
    places = (blocks[:, :, None] * width + np.arange(width)).reshape(rows, -1)
    near = np.take_along_axis(scores, np.minimum(places, size - 1), axis=1)
    near[places >= size] = -np.inf
    return np.take_along_axis(places, ranked(near, top), axis=1)


def ndcg(hits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Of each row: `hits` says which places of its list were opened, `wanted` how many media were."""
    best = np.cumsum(DISCOUNT)[np.minimum(wanted, TOP) - 1]
    return (hits * DISCOUNT[: hits.shape[1]]).sum(axis=1) / best


def recall(hits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return hits.sum(axis=1) / wanted
