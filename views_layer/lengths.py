"""How long visits last: what a mean misleads about, from the raw events of a range."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from django.http import QueryDict

from events.models import Hub
from views_layer.question import read_question
from views_layer.sifted import sifted

BOUNDS_MS = (1, 10_000, 30_000, 60_000, 180_000, 600_000, 1_800_000)
"""Where one class of lengths ends and the next begins."""
COLUMNS = ("visit", "duration_ms")


@dataclass(frozen=True, slots=True)
class Lengths:
    """Visits by the active time of all their events that pass. `counts`: of each class, one more than BOUNDS_MS.

    Mean and median are in milliseconds, None where there is no visit. `since` as in views_layer.reading.
    """

    counts: tuple[int, ...]
    mean_ms: float | None
    median_ms: float | None
    since: datetime | None

    @property
    def visits(self) -> int:
        return sum(self.counts)


def visit_lengths(hub: Hub, parameters: QueryDict, now: datetime) -> Lengths:
    """The lengths of the visits with an event in the range and through the filters of `parameters`. Raises QueryError."""
    question = read_question(parameters, hub.timezone, now)
    events, since = sifted(hub, question, COLUMNS, ("true", []), now)
    return lengths(events, since)


def lengths(events: pa.Table, since: datetime | None = None) -> Lengths:
    """The lengths of the visits of `events`, which has COLUMNS, in any order."""
    if not events.num_rows:
        return Lengths((0,) * (len(BOUNDS_MS) + 1), None, None, since)
    _, place = np.unique(events["visit"].to_numpy(), return_inverse=True)
    spent = np.bincount(place, weights=events["duration_ms"].to_numpy())
    counts = np.bincount(np.searchsorted(BOUNDS_MS, spent, side="right"), minlength=len(BOUNDS_MS) + 1)
    return Lengths(tuple(counts.tolist()), float(spent.mean()), float(np.median(spent)), since)
