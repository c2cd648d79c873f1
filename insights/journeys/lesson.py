"""What is kept of a hub's journeys: the steps of all its visits, how they are smoothed, and how well that predicts.

The steps themselves and not counts of them: they are smaller than the counts of all contexts, any question is counted
from them in milliseconds, and a visit that got events after the cut is taken out and put in as a whole.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from insights.journeys.score import Scores, fitted, scores_of
from insights.journeys.smoothing import Moves, Prediction, Smoothing, Table, base_of, moves_of
from insights.journeys.visits import COLUMNS, EXIT, Visits, visits_of
from insights.lesson import Lesson

NUMBER, FIRST, LAST, STEPS = "number", "first_at", "last_at", "steps"
UNSEEN = None
"""All steps that were never seen, as one."""


@dataclass(frozen=True)
class Journeys:
    """The visits of a hub as they were at `until`, and what predicts them, by how many steps back a question names."""

    visits: Visits
    until: int
    smoothings: Mapping[int, Smoothing]
    scores: Scores | None

    @property
    def refusal(self) -> str | None:
        """Why nothing is predicted; None where something is."""
        return refusal(self.scores)

    def predicted(self, after: Sequence[str]) -> dict[str | None, float]:
        """The probability of each step, and of UNSEEN, after one or two steps, oldest first; nothing follows `exit`.

        Raises ValueError where there is a refusal.
        """
        if self.refusal:
            raise ValueError(self.refusal)
        if after[-1] == EXIT:
            return {}
        before, at = ([-1, *(self._place(step) for step in after)])[-2:]
        smoothing = self.smoothings[len(after)]
        moves = self._moves.part(self._moves.at == at)
        base = self._bases[smoothing.has_continuations]
        found = Prediction(moves, len(after) if len(moves) else 0, smoothing, base).after(before, at)
        names = [*self.visits.names, UNSEEN]
        return {names[place]: float(found[place]) for place in np.flatnonzero(found)}

    def _place(self, step: str) -> int:
        place = self.visits.place(step)
        return -1 if place is None else place

    @cached_property
    def _moves(self) -> Moves:
        return moves_of(self.visits, self.until)

    @cached_property
    def _bases(self) -> dict[bool, Table]:
        return {
            kind: base_of(self._moves, kind) for kind in {one.has_continuations for one in self.smoothings.values()}
        }


def refusal(scores: Scores | None) -> str | None:
    """Why a prediction of such scores is not used; None where it is."""
    if scores is None:
        return "There are too few visits to hold some out and tell how well the rest predict them."
    return scores.refusal()


def journeys_of(visits: Visits, until: int, steps_back: Collection[int] = (1, 2)) -> Journeys:
    """Learn from visits as they were at `until`, for questions that name so many steps."""
    scores = scores_of(visits, until)
    smoothings = {} if refusal(scores) else {order: fitted(visits, order, until) for order in steps_back}
    return Journeys(visits, until, smoothings, scores)


def learn(rows: pa.Table, until: int) -> bytes:
    """The journeys of rows with COLUMNS, as bytes."""
    return encode(journeys_of(visits_of(rows), until))


JOURNEYS = Lesson("journeys", 1, COLUMNS, "NOT is_bot", learn)


def encode(journeys: Journeys) -> bytes:
    """Arrow's stream of one row for each visit, compressed; what is not of a visit is in the schema's metadata."""
    visits = journeys.visits
    kept = {
        "until": journeys.until,
        "names": visits.names,
        "smoothings": {order: asdict(smoothing) for order, smoothing in journeys.smoothings.items()},
        "scores": journeys.scores and journeys.scores.as_json(),
    }
    columns = {
        NUMBER: pa.array(visits.numbers),
        FIRST: pa.array(visits.first_at),
        LAST: pa.array(visits.last_at),
        STEPS: pa.LargeListArray.from_arrays(pa.array(visits.starts), pa.array(visits.steps)),
    }
    batch = pa.record_batch(columns).replace_schema_metadata({"journeys": json.dumps(kept, ensure_ascii=False)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def decode(payload: bytes) -> Journeys:
    """The journeys of bytes."""
    with pa.ipc.open_stream(payload) as reader:
        batch = reader.read_next_batch()
    kept = json.loads(batch.schema.metadata[b"journeys"])
    numbers, first_at, last_at = (batch[name].to_numpy() for name in (NUMBER, FIRST, LAST))
    starts, steps = (part.to_numpy() for part in (batch[STEPS].offsets, batch[STEPS].values))
    visits = Visits(tuple(kept["names"]), numbers, first_at, last_at, starts, steps)
    smoothings = {int(order): _smoothing(**found) for order, found in kept["smoothings"].items()}
    return Journeys(visits, kept["until"], smoothings, kept["scores"] and Scores.from_json(kept["scores"]))


def _smoothing(discounts: list[float], strengths: list[float], **found: float) -> Smoothing:
    return Smoothing(discounts=tuple(discounts), strengths=tuple(strengths), **found)  # type: ignore[arg-type]


def corrected(kept: Visits, later: pa.Table, read: Callable[[Collection[int], int, int], pa.Table]) -> list[Visits]:
    """All visits, in parts: those that are kept, and those of rows that came later, which may be late ones of kept visits.

    `read` gives all rows of visits by their numbers; they occurred between two instants, both included.
    """
    came = visits_of(later)
    places = np.searchsorted(kept.numbers, came.numbers)
    is_known = (
        kept.numbers[np.minimum(places, len(kept) - 1)] == came.numbers if len(kept) else np.zeros(len(came), bool)
    )
    numbers = came.numbers[is_known]
    if not len(numbers):
        return [kept, came]
    known = [part.where(np.isin(part.numbers, numbers)) for part in (kept, came)]
    first, last = min(int(part.first_at.min()) for part in known), max(int(part.last_at.max()) for part in known)
    again = visits_of(read(numbers.tolist(), first, last))
    return [kept.without(numbers), came.without(numbers), again]
