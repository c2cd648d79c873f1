"""Who opened which media, when: what recommendations are learnt from."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

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
NEVER = np.iinfo(np.int64).max


class Keys(NamedTuple):
    """The visitor and the media of pairs, each pair once, in their order."""

    visitor: np.ndarray
    media: np.ndarray


@dataclass(frozen=True)
class Interactions:
    """Events with a visitor and a media, oldest first. `visitor` and `media` are places in `visitors` and `names`, and
    `pair` in `keys`, which hold the pairs of all events, also where these are some of them: sorted once for every part.
    """

    visitors: np.ndarray
    names: list[str]
    keys: Keys
    pair: np.ndarray
    at: np.ndarray
    weight: np.ndarray

    @property
    def visitor(self) -> np.ndarray:
        return self.keys.visitor[self.pair]

    @property
    def media(self) -> np.ndarray:
        return self.keys.media[self.pair]

    def until(self, at: int) -> "Interactions":
        """Those before an instant; visitors, media and pairs keep their places."""
        return self.chosen(slice(0, int(np.searchsorted(self.at, at))))

    def chosen(self, which: slice | np.ndarray) -> "Interactions":
        return replace(self, pair=self.pair[which], at=self.at[which], weight=self.weight[which])

    @cached_property
    def pairs(self) -> "Pairs":
        """Each visitor and media once, in their order."""
        first = np.full(len(self.keys.media), NEVER)
        first[self.pair[::-1]] = self.at[::-1]
        there = np.flatnonzero(first != NEVER)
        strength = np.log2(1 + np.bincount(self.pair, self.weight, len(first))[there])
        return Pairs(self.keys.visitor[there], self.keys.media[there], first[there], strength)

    def matrix(self, has_strength: bool = False) -> "scipy.sparse.csr_matrix":
        """Visitors by media: 1, or the strength, where a visitor opened a media."""
        pairs = self.pairs
        values = pairs.strength if has_strength else np.ones(len(pairs.visitor))
        shape = (len(self.visitors), len(self.names))
        return scipy.sparse.csr_matrix((values, (pairs.visitor, pairs.media)), shape=shape)

    @cached_property
    def first_at(self) -> np.ndarray:
        """When each media was first opened; NEVER where it was not."""
        first = np.full(len(self.names), NEVER)
        np.minimum.at(first, self.pairs.media, self.pairs.at)
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
    codes, pair = np.unique(visitor * len(names) + media, return_inverse=True)
    keys = Keys(*np.divmod(codes, max(len(names), 1)))
    return Interactions(visitors, names, keys, pair[order], at[order], weights[action][order])


def _coded(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The distinct strings of a column, sorted, and the place of each row's in them."""
    encoded = column.combine_chunks().dictionary_encode()
    found = encoded.dictionary.to_pylist()
    order = sorted(range(len(found)), key=found.__getitem__)
    places = np.empty(len(found), dtype=np.int64)
    places[order] = np.arange(len(found))
    return [found[place] for place in order], places[encoded.indices.to_numpy()]
