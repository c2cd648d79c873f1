"""The steps of visits, from event rows in any order."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

EXIT = "exit"
MEDIA, FEATURE = "media:", "feature:"
ENDED_MS = 30 * 60 * 1000
"""A visit without an event for so long has ended."""
COLUMNS: Mapping[str, str] = {
    "visit": "visit",
    "occurred_at": "occurred_at",
    "id": "id",
    "step": f"CASE WHEN action = 'view' AND media IS NOT NULL THEN '{MEDIA}' || media"
    f" WHEN action = 'feature' AND target IS NOT NULL THEN '{FEATURE}' || target ELSE action END",
}
"""The columns of the rows that visits are made of, as SQL over an event's fields; visits are numbered within a hub."""


@dataclass(frozen=True)
class Visits:
    """The steps of visits, one after the other; equal steps in a row are one. Without `exit`, which the clock adds.

    `names` are those of the steps and EXIT, in order of name, and a step is a place in it. The steps of the nth visit are
    `steps[starts[n]:starts[n + 1]]`; no visit is without. Times are milliseconds, visits in order of their numbers.
    """

    names: tuple[str, ...]
    numbers: np.ndarray
    first_at: np.ndarray
    last_at: np.ndarray
    starts: np.ndarray
    steps: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def exit(self) -> int:
        """The place of EXIT in `names`."""
        return self.names.index(EXIT)

    @cached_property
    def lengths(self) -> np.ndarray:
        """How many steps each visit has."""
        return np.diff(self.starts)

    @cached_property
    def owners(self) -> np.ndarray:
        """Which visit each step belongs to, as a place in `numbers`."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def before(self) -> np.ndarray:
        """The step before each one; -1 before the first of a visit."""
        found = np.empty_like(self.steps)
        found[1:] = self.steps[:-1]
        found[self.starts[:-1]] = -1
        return found

    def then(self, now: int) -> np.ndarray:
        """The step after each one; after the last of a visit EXIT, or -1 where the visit still runs at `now`."""
        found = np.empty_like(self.steps)
        found[:-1] = self.steps[1:]
        found[self.starts[1:] - 1] = np.where(self.has_ended(now), self.exit, -1)
        return found

    def has_ended(self, now: int) -> np.ndarray:
        """Whether each visit has been without an event for ENDED_MS."""
        return now - self.last_at >= ENDED_MS

    def place(self, step: str) -> int | None:
        """The place of a step in `names`."""
        return self._places.get(step)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def where(self, chosen: np.ndarray) -> "Visits":
        """Some of the visits, by a truth for each."""
        starts = np.concatenate(([0], np.cumsum(self.lengths[chosen])))
        steps = self.steps[np.repeat(chosen, self.lengths)]
        return Visits(
            self.names,
            self.numbers[chosen],
            self.first_at[chosen],
            self.last_at[chosen],
            starts.astype(np.int64),
            steps,
        )

    def without(self, numbers: np.ndarray) -> "Visits":
        """Those that are none of `numbers`."""
        left_out = np.isin(self.numbers, numbers)
        return self.where(~left_out) if left_out.any() else self


def visits_of(rows: pa.Table) -> Visits:
    """The visits of rows with COLUMNS, in any order: their steps by (occurred_at, id)."""
    visit, at = (rows[name].to_numpy().astype(np.int64) for name in ("visit", "occurred_at"))
    order = np.lexsort((at, visit))
    _settle_ties(order, visit, at, rows["id"])
    visit, at = visit[order], at[order]
    names, steps = _coded(rows["step"])
    steps = steps[order]
    begins = differs(visit)
    firsts = np.flatnonzero(begins)
    lasts = np.append(firsts[1:], len(visit))[: len(firsts)] - 1
    kept = begins | differs(steps)
    starts = np.append(np.cumsum(kept)[firsts] - 1, kept.sum())
    return Visits(names, visit[firsts], at[firsts], at[lasts], starts.astype(np.int64), steps[kept])


def differs(values: np.ndarray) -> np.ndarray:
    """Whether each value is another than the one before; the first is."""
    found = np.ones(len(values), dtype=bool)
    found[1:] = values[1:] != values[:-1]
    return found


def distinct(values: np.ndarray) -> np.ndarray:
    """The different values, in order. (numpy.unique hashes integers, which takes ten times as long.)"""
    ordered = np.sort(values)
    return ordered[differs(ordered)]


def _settle_ties(order: np.ndarray, visit: np.ndarray, at: np.ndarray, ids: pa.ChunkedArray) -> None:
    """Put rows of one visit and time, which are beside each other in `order`, in order of their ids."""
    begins = differs(visit[order]) | differs(at[order])
    is_tied = ~begins
    is_tied[:-1] |= ~begins[1:]
    places = np.flatnonzero(is_tied)
    tied = order[places]
    runs = np.cumsum(begins)[places].tolist()
    settled = sorted(zip(runs, ids.take(pa.array(tied)).to_pylist(), tied.tolist(), strict=True))
    order[places] = np.fromiter((row for _, _, row in settled), np.int64, len(settled))


def _coded(steps: pa.ChunkedArray) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of steps and EXIT in order, and for each row its place among them."""
    coded = steps.combine_chunks().dictionary_encode() if steps.num_chunks else pa.array([], pa.string())
    found = coded.dictionary.to_pylist() if steps.num_chunks else []
    names = tuple(sorted({*found, EXIT}))
    place = {name: at for at, name in enumerate(names)}
    places = np.fromiter((place[name] for name in found), np.int32, len(found))
    rows = pc.cast(coded.indices, pa.int64()).to_numpy(zero_copy_only=False) if found else np.empty(0, np.int64)
    return names, places[rows]
