"""How well the next step is predicted: on the last fifth of the visits, by the rest."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from insights.journeys.smoothing import Moves, Prediction, Smoothing, Table, fit, log_loss, moves_of
from insights.journeys.visits import Visits

HELD_OUT = 5
"""One visit in so many is held out: the last by their start, ties by number."""
BINS = 10
NAMES = ("model", "popularity", "one_step")
SHOWN = ("top1", "top3", "log_loss")


@dataclass(frozen=True, slots=True)
class Score:
    """Of `predicted` steps: how often the likeliest one came, and one of the three likeliest; the mean of -ln of the
    probability of what came; and by how much the probability of the likeliest step is off (expected calibration error).
    """

    predicted: int
    top1: float
    top3: float
    log_loss: float
    calibration_error: float

    def shown(self) -> dict[str, float]:
        """As the API has it."""
        return {name: getattr(self, name) for name in SHOWN}


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of the prediction, of popularity (how often each step comes at all), and of one step back alone."""

    model: Score
    popularity: Score
    one_step: Score

    def refusal(self) -> str | None:
        """Why the prediction is not used; None where it is."""
        if self.model.log_loss < self.popularity.log_loss:
            return None
        return (
            f"The log loss of the prediction, {self.model.log_loss:.4f}, is not below that of popularity,"
            f" {self.popularity.log_loss:.4f}, on {self.model.predicted} steps held out."
        )

    def gains(self) -> dict[str, dict[str, float]]:
        """By how much the prediction is better than the other two: more hits, less log loss."""
        return {
            name: {
                "top1": self.model.top1 - other.top1,
                "top3": self.model.top3 - other.top3,
                "log_loss": other.log_loss - self.model.log_loss,
            }
            for name, other in (("popularity", self.popularity), ("one_step", self.one_step))
        }

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Scores":
        return cls(**{name: Score(**values) for name, values in found.items()})


def together(scores: Sequence[Scores]) -> Scores | None:
    """The scores over all the steps that several hubs predicted, each by itself; None of none."""
    if not scores:
        return None
    return Scores(**{name: _mean([getattr(one, name) for one in scores]) for name in NAMES})


def _mean(scores: Sequence[Score]) -> Score:
    predicted = sum(score.predicted for score in scores)
    names = ("top1", "top3", "log_loss", "calibration_error")
    return Score(predicted, *(sum(getattr(s, name) * s.predicted for s in scores) / predicted for name in names))


def split(visits: Visits) -> tuple[Visits, Visits]:
    """The visits without the last fifth by start, ties by number, and that fifth."""
    order = np.lexsort((visits.numbers, visits.first_at))
    is_last = np.zeros(len(visits), dtype=bool)
    is_last[order[len(order) - len(order) // HELD_OUT :]] = True
    return visits.where(~is_last), visits.where(is_last)


def fitted(visits: Visits, order: int, now: int) -> Smoothing:
    """The smoothing of a prediction from visits: fitted on their own last fifth, predicted by the rest of them."""
    earlier, later = split(visits)
    return fit(moves_of(earlier, now), _by_start(later, now), order)


def _by_start(visits: Visits, now: int) -> Moves:
    """The moves of visits in order of the visits' start."""
    moves = moves_of(visits, now)
    owners = visits.owners[visits.then(now) >= 0]
    return moves.part(np.argsort(visits.first_at[owners], kind="stable"))


def scores_of(visits: Visits, now: int) -> Scores | None:
    """The scores of visits as they were at `now`; None where there are too few to hold some out.

    All that is fitted is fitted on those that are not held out.
    """
    train, test = split(visits)
    known, asked = moves_of(train, now), moves_of(test, now)
    if not len(known) or not len(asked):
        return None
    return Scores(
        model=_score(Prediction(known, 2, fitted(train, 2, now)), asked),
        popularity=_score(Prediction(known, 0, fitted(train, 0, now)), asked),
        one_step=_score_of_one_step(known, asked),
    )


def _score(prediction: Prediction, asked: Moves) -> Score:
    tops = prediction.tops_of(asked)
    likeliest = prediction.of(replace(asked, then=tops[:, 0]))
    return _scored(prediction.of(asked), tops, likeliest, asked)


def _score_of_one_step(known: Moves, asked: Moves) -> Score:
    """One step back without back-off: one is added to the count of every step, and of those never seen as one."""
    table = Table(known.at, known.then, known.width, known.width)
    names = len(np.unique(known.then)) + 1
    totals = table.totals[asked.at] + names
    every = Prediction(known, 1, Smoothing(False, (0.0, 0.0), (1e-9, 1e-9)))
    tops = every.tops_of(asked)
    likeliest = (table.found(asked.at, tops[:, 0]) + 1) / totals
    return _scored((table.found(asked.at, asked.then) + 1) / totals, tops, likeliest, asked)


def _scored(likely: np.ndarray, tops: np.ndarray, likeliest: np.ndarray, asked: Moves) -> Score:
    hits = tops == asked.then[:, None]
    return Score(
        predicted=len(asked),
        top1=float(hits[:, 0].mean()),
        top3=float(hits.any(axis=1).mean()),
        log_loss=log_loss(likely),
        calibration_error=_calibration_error(likeliest, hits[:, 0]),
    )


def _calibration_error(likely: np.ndarray, came: np.ndarray) -> float:
    """By bin of probability how far its mean is from how often the step came, weighted by the part in the bin.

    Source: Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.
    """
    bins = np.minimum((likely * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, weights=likely - came, minlength=BINS)
    return float(np.abs(gaps).sum() / len(likely))
