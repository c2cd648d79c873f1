"""How the pages of one media are turned, from its `read` events in the order of each visit. Pure.

A sum of events tells none of it: where a visit starts and stops, what it comes back to, and what a reader in the
middle spends on a page. Definitions: docs/reading.md.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = ("visitor", "visit", "page", "occurred_at", "id", "duration_ms")


@dataclass(frozen=True, slots=True)
class Turns:
    """What the reads of a page say. Counts are of visits, `median_ms` is of readers, None where there are none.

    `started` and `stopped`: visits whose first, whose last read of the media is of this page. `again`: visits that
    came back to it from another page of the media.
    """

    median_ms: int | None
    started: int
    stopped: int
    again: int


def turns(reads: pa.Table) -> dict[int, Turns]:
    """The pages of `reads`, which has COLUMNS of one media's reads that name a page, in any order.

    Within a visit, reads go by `occurred_at`, then `id`. Over all pages `started` adds up to the visits, and so does `stopped`.
    """
    if not reads.num_rows:
        return {}
    order = _order(reads)
    visitor, visit, page, spent = (
        reads[name].to_numpy()[order] for name in ("visitor", "visit", "page", "duration_ms")
    )
    pages, place = np.unique(page, return_inverse=True)
    begins = np.r_[True, visit[1:] != visit[:-1]]
    ends = np.r_[begins[1:], True]
    turned = begins | np.r_[True, place[1:] != place[:-1]]
    columns = (
        _medians(visitor, place, spent, len(pages)),
        np.bincount(place[begins], minlength=len(pages)),
        np.bincount(place[ends], minlength=len(pages)),
        _again(visit[turned], place[turned], len(pages)),
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {number: Turns(*row) for number, row in zip(pages.tolist(), rows, strict=True)}


def _order(reads: pa.Table) -> np.ndarray:
    """The rows by visit, `occurred_at` and `id`. Ids are looked at only where a visit has several reads at one instant."""
    visit, at = reads["visit"].to_numpy(), reads["occurred_at"].to_numpy()
    order = _order_by(visit, at)
    is_same = (visit[order[1:]] == visit[order[:-1]]) & (at[order[1:]] == at[order[:-1]])
    places = np.flatnonzero(np.r_[is_same, False] | np.r_[False, is_same])
    rows = order[places]
    ids = reads["id"].take(pa.array(rows)).combine_chunks()
    rank = np.empty(len(rows), dtype=np.int64)
    rank[pc.array_sort_indices(ids).to_numpy()] = np.arange(len(rows))
    order[places] = rows[np.lexsort((rank, at[rows], visit[rows]))]
    return order


def _order_by(major: np.ndarray, minor: np.ndarray) -> np.ndarray:
    """The rows by `major`, then `minor`: by one number that holds both where one can, which takes a fifth of the time."""
    high, low = major - major.min(), minor - minor.min()
    bits = int(low.max()).bit_length()
    if int(high.max()).bit_length() + bits > 63:
        return np.lexsort((low, high))
    return np.argsort(high << bits | low)


def _medians(visitor: np.ndarray, place: np.ndarray, spent: np.ndarray, count: int) -> np.ndarray:
    """For each place the median over its readers of the whole time that each spent there; of an even number of readers
    the mean of the two in the middle, rounded down."""
    pair = visitor * count + place
    order = np.argsort(pair)
    begins = np.flatnonzero(np.diff(pair[order], prepend=-1))
    sums = np.add.reduceat(spent[order], begins)
    places = place[order[begins]]
    readers = np.bincount(places, minlength=count)
    first = np.cumsum(readers) - readers
    ordered = sums[_order_by(places, sums)]
    return (ordered[first + (readers - 1) // 2] + ordered[first + readers // 2]) // 2


def _again(visit: np.ndarray, place: np.ndarray, count: int) -> np.ndarray:
    """For each place the visits that turned to it more than once."""
    pairs, times = np.unique(visit * count + place, return_counts=True)
    return np.bincount(pairs[times > 1] % count, minlength=count)
