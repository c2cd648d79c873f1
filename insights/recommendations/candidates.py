"""The candidates. Each is an item-item matrix or a score of media alone; freshness multiplies any of them.

All item-item candidates are linear in what a visitor has read, so that the same lists answer "readers of X also read"
and "for this visitor", and each score has a reason: the media that adds most to it.

Sources: BM25 weighting as in Ben Frederickson's `implicit`; EASE: Steck, "Embarrassingly Shallow Autoencoders for Sparse
Data", WWW 2019; ALS: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008;
`neighbours` is user-based filtering (Breese et al. 1998) with rare media counting more, written as a matrix of media.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy

from insights.recommendations.interactions import Interactions

DAY_MS = 86_400_000
EASE_RIDGE = 100.0
ALS_FACTORS, ALS_ROUNDS, ALS_CONFIDENCE, ALS_RIDGE, ALS_SEED = 32, 5, 10.0, 1.0, 7
ALS_ROWS = 4_096
"""Rows that are solved together: 8 kB each."""
BM25_K, BM25_B = 1.2, 0.75
POPULAR_POWER = 0.2
"""How much less `neighbours` counts what everybody reads; chosen on the days of deskdrop before those that are scored."""
FLOOR = 0.02
"""What counts where a visitor's reads say nothing, as a part of his best score."""


def popularity(known: Interactions) -> np.ndarray:
    """The distinct visitors of each media."""
    return np.bincount(known.pairs.media, minlength=len(known.names)).astype(float)


def recent_popularity(known: Interactions, now: int, half_life: float) -> np.ndarray:
    """Events of each media, each worth half as much for every `half_life` days that it is old."""
    return np.bincount(known.media, freshness(known.at, now, half_life), len(known.names))


def freshness(at: np.ndarray, now: int, half_life: float) -> np.ndarray:
    """0.5 to the age of instants in half-lives; 1 for an endless one."""
    return 0.5 ** (np.maximum(now - at, 0) / DAY_MS / half_life)


class Factors(NamedTuple):
    """An item-item matrix as a product, which is never made where few visitors are asked about.

    Rows of the product are media read, columns media recommended. Its diagonal means nothing: what was read is never named.
    A factor is sparse, or an array where nearly all of it is something.
    """

    left: Any
    right: Any

    def scores(self, reads: "scipy.sparse.csr_matrix") -> np.ndarray:
        """What visitors' reads say of every media."""
        found = (reads @ self.left) @ self.right
        return found.toarray() if scipy.sparse.issparse(found) else found

    def matrix(self) -> "scipy.sparse.csr_matrix":
        """The product."""
        return scipy.sparse.csr_matrix(self.left @ self.right)


def cosine(known: Interactions) -> Factors:
    """The cosine of two media's readers."""
    scaled = known.matrix() @ _scale(popularity(known), 0.5)
    return Factors(scaled.T.tocsr(), scaled.tocsr())


def neighbours(known: Interactions) -> Factors:
    """Media that readers of a media opened: readers of many count less, and so do media that everyone reads."""
    reads = known.matrix()
    busy = _scale(np.asarray(reads.sum(axis=1)).ravel(), 0.5)
    readers = popularity(known) + 1
    return Factors((_scale(readers, 0.5) @ reads.T @ busy).tocsr(), (reads @ _scale(readers, POPULAR_POWER)).tocsr())


def bm25(known: Interactions) -> Factors:
    """Item-item over BM25 weights: media are the documents, visitors the terms."""
    reads = known.matrix(has_strength=True).tocsc()
    visitors = np.bincount(known.pairs.visitor, minlength=len(known.visitors))
    idf = np.log1p(len(known.names) / (1 + visitors))
    lengths = np.asarray(reads.sum(axis=0)).ravel()
    of_media = np.repeat(np.arange(reads.shape[1]), np.diff(reads.indptr))
    longer = BM25_K * (1 - BM25_B + BM25_B * lengths / max(lengths.mean(), 1e-9))
    reads.data = reads.data * (BM25_K + 1) / (reads.data + longer[of_media]) * idf[reads.indices]
    return Factors(reads.T.tocsr(), reads.tocsr())


def ease(known: Interactions, at_most: int) -> Factors:
    """EASE over the `at_most` media opened last: its cost is the cube of their number."""
    strengths, chosen = _of_latest(known, at_most, has_strength=True)
    gram = (strengths.T @ strengths).toarray()
    gram[np.diag_indices_from(gram)] += EASE_RIDGE
    inverse = _inverse(gram)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    placed = _places(chosen, len(known.names))
    return Factors(placed.T @ weights, placed)


def _inverse(gram: np.ndarray) -> np.ndarray:
    """The inverse of a symmetric, positive definite matrix, by Cholesky's factor: half of the work of any matrix's."""
    factor, _ = scipy.linalg.lapack.dpotrf(gram, lower=True)
    below, _ = scipy.linalg.lapack.dpotri(factor, lower=True)
    return np.tril(below) + np.tril(below, -1).T


def als(known: Interactions, at_most: int) -> Factors:
    """The factors of media by alternating least squares, folded in linearly: V (V'V + ridge)^-1 V'."""
    reads, chosen = _of_latest(known, at_most, has_strength=False)
    rng = np.random.default_rng(ALS_SEED)
    media = rng.normal(0, 0.1, (reads.shape[1], ALS_FACTORS))
    by_media = reads.T.tocsr()
    for _ in range(ALS_ROUNDS):
        visitors = _solved(reads, media)
        media = _solved(by_media, visitors)
    inner = np.linalg.inv(media.T @ media + ALS_RIDGE * np.eye(ALS_FACTORS))
    placed = _places(chosen, len(known.names))
    return Factors(placed.T @ (media @ inner), media.T @ placed)


def _solved(reads: "scipy.sparse.csr_matrix", fixed: np.ndarray) -> np.ndarray:
    """The factors of rows, those of columns given: ALS_ROWS equations at a time."""
    found = np.zeros((reads.shape[0], ALS_FACTORS))
    base = fixed.T @ fixed + ALS_RIDGE * np.eye(ALS_FACTORS)
    squares = (fixed[:, :, None] * fixed[:, None, :]).reshape(len(fixed), -1)
    filled = np.flatnonzero(np.diff(reads.indptr))
    for rows in np.split(filled, range(ALS_ROWS, len(filled), ALS_ROWS)):
        own = reads[rows]
        inner = base + ALS_CONFIDENCE * (own @ squares).reshape(-1, ALS_FACTORS, ALS_FACTORS)
        found[rows] = np.linalg.solve(inner, (1 + ALS_CONFIDENCE) * (own @ fixed)[:, :, None])[:, :, 0]
    return found


def _of_latest(known: Interactions, at_most: int, has_strength: bool) -> tuple["scipy.sparse.csr_matrix", np.ndarray]:
    last = np.full(len(known.names), -1, dtype=np.int64)
    last[known.media] = known.at
    chosen = np.sort(np.lexsort((np.arange(len(last)), -last))[: min(at_most, int((last >= 0).sum()))])
    return known.matrix(has_strength)[:, chosen].tocsr(), chosen


def _places(chosen: np.ndarray, size: int) -> "scipy.sparse.csr_matrix":
    """Chosen media by all media: 1 where they are the same."""
    return scipy.sparse.csr_matrix((np.ones(len(chosen)), (np.arange(len(chosen)), chosen)), shape=(len(chosen), size))


def _scale(counts: np.ndarray, power: float) -> "scipy.sparse.dia_matrix":
    return scipy.sparse.diags(np.where(counts > 0, np.maximum(counts, 1e-9) ** -power, 0))


MATRICES = {
    "item_item": lambda known, at_most: cosine(known),
    "bm25": lambda known, at_most: bm25(known),
    "neighbours": lambda known, at_most: neighbours(known),
    "ease": ease,
    "als": als,
}
"""The item-item candidates by name: row is the media read, column the one recommended. `at_most` bounds EASE and ALS."""


def affinities(reads: "scipy.sparse.csr_matrix", factors: Factors) -> np.ndarray:
    """What visitors' reads say of every media, from 0 to 1 for each visitor's best of those that he has not read."""
    found = np.maximum(factors.scores(reads), 0)
    found[reads.nonzero()] = 0
    best = found.max(axis=1, keepdims=True)
    return found / np.where(best > 0, best, 1)
