"""Who opened which media, when: what recommendations are learnt from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import scipy

COLUMNS = {"visitor": "visitor", "media": "media", "occurred_at": "occurred_at", "action": "action"}
"""The columns of a hub's events that interactions are made of; `occurred_at` in milliseconds."""
WHERE = "media IS NOT NULL AND visitor IS NOT NULL"
WEIGHTS = {
    "view": 1.0,
    "play": 1.0,
    "read": 0.25,
    "click": 2.0,
    "like": 2.0,
    "bookmark": 2.5,
    "print": 2.5,
    "download": 3.0,
    "follow": 3.0,
    "share": 4.0,
    "comment": 4.0,
}
"""What an event of each action says of a visitor's interest; a `read` is one page of many. Others: OTHER_WEIGHT."""
OTHER_WEIGHT = 1.0


@dataclass(frozen=True)
class Interactions:
    """Events with a visitor and a media, oldest first. `visitor` and `media` are places in `visitors` and `names`."""

    visitors: np.ndarray
    names: list[str]
    visitor: np.ndarray
    media: np.ndarray
    at: np.ndarray
    weight: np.ndarray

    def until(self, at: int) -> "Interactions":
        """Those before an instant; visitors and media keep their places."""
        return self.chosen(slice(0, int(np.searchsorted(self.at, at))))

    def chosen(self, which: slice | np.ndarray) -> "Interactions":
        return Interactions(
            self.visitors, self.names, self.visitor[which], self.media[which], self.at[which], self.weight[which]
        )

    @cached_property
    def pairs(self) -> "Pairs":
        """Each visitor and media once, in their order."""
        keys, first, inverse = np.unique(
            self.visitor.astype(np.int64) * len(self.names) + self.media, return_index=True, return_inverse=True
        )
        strength = np.log2(1 + np.bincount(inverse, self.weight, len(keys)))
        return Pairs(keys // len(self.names), keys % len(self.names), self.at[first], strength)

    def matrix(self, has_strength: bool = False) -> "scipy.sparse.csr_matrix":
        """Visitors by media: 1, or the strength, where a visitor opened a media."""
        pairs = self.pairs
        values = pairs.strength if has_strength else np.ones(len(pairs.visitor))
        shape = (len(self.visitors), len(self.names))
        return scipy.sparse.csr_matrix((values, (pairs.visitor, pairs.media)), shape=shape)

    @cached_property
    def first_at(self) -> np.ndarray:
        """When each media was first opened; the largest integer where it never was."""
        first = np.full(len(self.names), np.iinfo(np.int64).max)
        np.minimum.at(first, self.media, self.at)
        return first


@dataclass(frozen=True)
class Pairs:
    """Visitors and the media they opened: when first, and how strongly: log2(1 + the sum of weights)."""

    visitor: np.ndarray
    media: np.ndarray
    at: np.ndarray
    strength: np.ndarray


def interactions(events: pa.Table) -> Interactions:
    """The interactions in a table of COLUMNS that passed WHERE, in any order."""
    actions, action = _coded(events["action"])
    names, media = _coded(events["media"])
    visitors, visitor = np.unique(events["visitor"].to_numpy(), return_inverse=True)
    at = events["occurred_at"].to_numpy()
    order = np.lexsort((action, media, visitor, at))
    weights = np.array([WEIGHTS.get(name, OTHER_WEIGHT) for name in actions], dtype=float)
    return Interactions(visitors, names, visitor[order], media[order], at[order], weights[action][order])


def _coded(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The distinct strings of a column, sorted, and the place of each row's in them."""
    encoded = column.combine_chunks().dictionary_encode()
    found = encoded.dictionary.to_pylist()
    order = sorted(range(len(found)), key=found.__getitem__)
    places = np.empty(len(found), dtype=np.int64)
    places[order] = np.arange(len(found))
    return [found[place] for place in order], places[encoded.indices.to_numpy()]
