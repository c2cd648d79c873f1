"""The next step of a visit from its last two: interpolated Kneser-Ney, backed off to one step and to none.

With c times the step followed a context, n times any did and k different ones did, discount d and strength s:

    P(step | two)  = (max(c - d, 0) + (s + d k) P(step | one)) / (n + s)
    P(step | one)  = the same over the counts of one step back, with P(step | none)
    P(step | none) = max(c - d, 0) / (n + s), and (s + d k) / (n + s) for UNSEEN, all steps that were never seen, as one

With s = 0 these are the formulas of interpolated Kneser-Ney; a strength makes short histories count less, as in the
Pitman-Yor process of which Kneser-Ney is an approximation. Below the longest context a count is either the plain one or,
as Kneser and Ney have it, the number of different steps before the context (its `continuations`): whichever predicts
better. At last the odds of `exit` and of UNSEEN are multiplied by a number each, as both drift: a hub grows, its readers
learn (vector scaling). All of these numbers are fitted by log loss on the newest visits, predicted by the earlier ones.

Sources: Kneser, Ney, "Improved backing-off for m-gram language modeling", ICASSP 1995; Chen, Goodman, "An empirical study
of smoothing techniques for language modeling", TR-10-98, Harvard, 1998; Teh, "A hierarchical Bayesian language model
based on Pitman-Yor processes", ACL 2006; Guo, Pleiss, Sun, Weinberger, "On calibration of
modern neural networks", ICML 2017. Fitted by pattern search: Hooke, Jeeves, JACM 8, 1961.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from insights.journeys.visits import Visits, differs, distinct

ORDERS = (0, 1, 2)
"""Steps back."""
TOP = 3


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How counts become probabilities, by steps back from none to the longest context; odds by their logarithm."""

    has_continuations: bool
    discounts: tuple[float, ...]
    strengths: tuple[float, ...]
    exit_odds: float = 0.0
    unseen_odds: float = 0.0


@dataclass(frozen=True, slots=True)
class Moves:
    """Steps that followed a step, with the one before it; places in the names of visits, `start` before the first.

    `width` is larger than any place, and `start` the largest; as what followed it stands for UNSEEN.
    """

    before: np.ndarray
    at: np.ndarray
    then: np.ndarray
    width: int
    exit: int

    @property
    def start(self) -> int:
        return self.width - 1

    def __len__(self) -> int:
        return len(self.then)

    def part(self, chosen: slice | np.ndarray) -> "Moves":
        return replace(self, before=self.before[chosen], at=self.at[chosen], then=self.then[chosen])

    def to(self, step: int) -> "Moves":
        """Each one to `step` instead."""
        return replace(self, then=np.full(len(self), step))


def moves_of(visits: Visits, now: int) -> Moves:
    """All moves of visits, in their order."""
    width = len(visits.names) + 1
    then = visits.then(now)
    followed = then >= 0
    before = np.where(visits.before < 0, width - 1, visits.before)
    before, at, then = (steps[followed].astype(np.int64) for steps in (before, visits.steps, then))
    return Moves(before, at, then, width, visits.exit)


class Table:
    """How often steps followed contexts of one length; contexts are numbers from 0 to `size`. Of one move or more."""

    def __init__(self, contexts: np.ndarray, steps: np.ndarray, width: int, size: int) -> None:
        self.width = width
        keys = np.sort(contexts * width + steps)
        firsts = np.flatnonzero(differs(keys))
        self.keys, self.counts = keys[firsts], np.diff(firsts, append=len(keys))
        of_keys = self.keys // width
        self.totals = np.bincount(of_keys, weights=self.counts, minlength=size)
        self.kinds = np.bincount(of_keys, minlength=size)

    def found(self, contexts: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The counts of steps after contexts; 0 where a context is -1."""
        keys = contexts * self.width + steps
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where((self.keys[places] == keys) & (contexts >= 0), self.counts[places], 0)


Seen = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of some moves: how often the step followed the context, how often any did, and how many different ones did."""


def base_of(moves: Moves, has_continuations: bool) -> Table:
    """The counts without steps back of moves, one or more."""
    if has_continuations:
        moves = moves.part(np.unique(moves.at * moves.width + moves.then, return_index=True)[1])
    return Table(np.zeros(len(moves), np.int64), moves.then, moves.width, 1)


class Counts:
    """What a prediction from up to `order` steps back needs of moves, one or more.

    With a `base` those after one step are enough for questions about that step.
    """

    def __init__(self, moves: Moves, order: int, has_continuations: bool, base: Table | None = None) -> None:
        self.order = order
        self.width = moves.width
        self.pairs = distinct(moves.before * moves.width + moves.at) if order == 2 else np.empty(0, np.int64)
        self.tables = [base or base_of(moves, has_continuations and order > 0)]
        self.tables += [self._table(moves, level, has_continuations) for level in range(1, order + 1)]

    def _table(self, moves: Moves, level: int, has_continuations: bool) -> Table:
        """Of moves that differ in the step before their context alone one is enough for continuations."""
        if has_continuations and level < self.order:
            _, pairs = np.unique(moves.before * moves.width + moves.at, return_inverse=True)
            moves = moves.part(np.unique(pairs * moves.width + moves.then, return_index=True)[1])
        return Table(
            self.contexts(moves, level), moves.then, moves.width, moves.width if level == 1 else len(self.pairs)
        )

    def contexts(self, moves: Moves, level: int) -> np.ndarray:
        """The number of each move's context; -1 for two steps that were never seen in a row."""
        if level == 0:
            return np.zeros(len(moves), np.int64)
        if level == 1:
            return moves.at
        keys = moves.before * self.width + moves.at
        places = np.minimum(np.searchsorted(self.pairs, keys), len(self.pairs) - 1)
        return np.where(self.pairs[places] == keys, places, -1)

    def seen(self, moves: Moves) -> list[Seen]:
        """What was counted of moves, by steps back."""
        found = []
        for level, table in enumerate(self.tables):
            contexts = self.contexts(moves, level)
            totals, kinds = (np.where(contexts >= 0, values[contexts], 0) for values in (table.totals, table.kinds))
            found.append((table.found(contexts, moves.then), totals, kinds))
        return found


def likelihoods(seen: Sequence[Seen], smoothing: Smoothing) -> np.ndarray:
    """The smoothed probability of each move, of a step that was never seen that of UNSEEN; odds are not applied."""
    found = np.zeros(0)
    for level, (counts, totals, kinds) in enumerate(seen):
        discount, strength = smoothing.discounts[level], smoothing.strengths[level]
        spread = (strength + discount * kinds) / (totals + strength)
        kept = np.maximum(counts - discount, 0) / (totals + strength)
        found = np.where(counts > 0, kept, spread) if level == 0 else kept + spread * found
    return found


class Prediction:
    """Predicts the next step from moves, as Counts takes them."""

    def __init__(self, moves: Moves, order: int, smoothing: Smoothing, base: Table | None = None) -> None:
        self.smoothing = smoothing
        self.exit = moves.exit
        self.counts = Counts(moves, order, smoothing.has_continuations, base)

    def of(self, moves: Moves) -> np.ndarray:
        """The probability of each move."""
        return self._parts(moves).likelihoods(self.smoothing)

    def _parts(self, moves: Moves) -> "Parts":
        was_seen, ends_were_seen = (self._was_seen(asked) for asked in (moves, moves.to(self.exit)))
        ends, new = (self._smoothed(moves.to(step)) for step in (self.exit, moves.start))
        is_exit = (moves.then == self.exit) & was_seen
        return Parts(self._smoothed(moves), ends * ends_were_seen, new, is_exit, ~was_seen)

    def _was_seen(self, moves: Moves) -> np.ndarray:
        """Whether each step ever followed one."""
        return self.counts.tables[0].found(np.zeros(len(moves), np.int64), moves.then) > 0

    def _smoothed(self, moves: Moves) -> np.ndarray:
        return likelihoods(self.counts.seen(moves), self.smoothing)

    def after(self, before: int, at: int) -> np.ndarray:
        """The probability of every place after two steps, of which the first may be `start` or, where it is not known, -1.

        That of `start` is UNSEEN's.
        """
        width = self.counts.width
        every = np.arange(width)
        moves = Moves(np.full(width, before), np.full(width, at), every, width, self.exit)
        return np.where(self._was_seen(moves) | (every == moves.start), self.of(moves), 0)

    def with_odds(self, held_out: Moves) -> "Smoothing":
        """The smoothing with the odds that predict `held_out` best."""
        parts = self._parts(held_out)

        def loss(odds: Point) -> float:
            return log_loss(parts.likelihoods(replace(self.smoothing, exit_odds=odds[0], unseen_odds=odds[1])))

        (exit_odds, unseen_odds), _ = search(loss, (0.0, 0.0), (ODDS, ODDS))
        return replace(self.smoothing, exit_odds=exit_odds, unseen_odds=unseen_odds)

    def tops_of(self, moves: Moves) -> np.ndarray:
        """The TOP steps that are likeliest in the place of each move, likeliest first, ties by place; -1 for none."""
        found = np.broadcast_to(self._tops[0][0], (len(moves), TOP + 1))
        for level in range(1, len(self.counts.tables)):
            contexts = self.counts.contexts(moves, level)
            is_seen = (contexts >= 0) & (self.counts.tables[level].totals[contexts] > 0)
            found = np.where(is_seen[:, None], self._tops[level][contexts], found)
        ends = np.where((found == self.exit).any(axis=1), -1, self.exit)
        found = np.column_stack((found, ends))
        odds = np.where(found == self.exit, np.exp(self.smoothing.exit_odds), 1.0)
        smoothed = [self._smoothed(replace(moves, then=np.maximum(steps, 0))) for steps in found.T]
        likely = np.where(found < 0, -1.0, np.column_stack(smoothed) * odds)
        order = np.lexsort((found, -likely))[:, :TOP]
        return np.take_along_axis(found, order, axis=1)

    @cached_property
    def _tops(self) -> list[np.ndarray]:
        """By steps back and context, one more than the TOP likeliest steps before odds; -1 where there are fewer.

        A step that never followed a context is as likely as in the shorter one, times the same: so those on top are
        among those that followed it, and those on top of the shorter one. One more, as the odds may move `exit` down.
        """
        tops: list[np.ndarray] = []
        for level, table in enumerate(self.counts.tables):
            size = len(table.totals)
            shorter = tops[-1][self._shorter(level, size)] if tops else np.empty((size, 0), np.int64)
            inherited = np.repeat(np.arange(size), shorter.shape[1]) * table.width + shorter.ravel()
            keys = distinct(np.concatenate((table.keys, inherited[shorter.ravel() >= 0])))
            contexts, steps = keys // table.width, keys % table.width
            before, at = self._context(level, contexts)
            asked = Moves(before, at, steps, table.width, self.exit)
            likely = likelihoods(self.counts.seen(asked)[: level + 1], self.smoothing)
            tops.append(_firsts(contexts, steps, likely, size))
        return tops

    def _context(self, level: int, contexts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The last two steps of contexts; what a context does not say is 0."""
        if level < 2:
            return np.zeros_like(contexts), contexts
        before, at = np.divmod(self.counts.pairs[contexts], self.counts.width)
        return before, at

    def _shorter(self, level: int, size: int) -> np.ndarray:
        """Of each context the one without its oldest step."""
        return np.zeros(size, np.int64) if level == 1 else self._context(level, np.arange(size))[1]


@dataclass(frozen=True, slots=True)
class Parts:
    """Of some moves: the smoothed probabilities of the step, of `exit` and of UNSEEN, and which of these the step is."""

    then: np.ndarray
    ends: np.ndarray
    new: np.ndarray
    is_exit: np.ndarray
    is_unseen: np.ndarray

    def likelihoods(self, smoothing: Smoothing) -> np.ndarray:
        """The probabilities with the odds of `exit` and UNSEEN multiplied, so that all add up to 1 again."""
        ends, new = np.exp(smoothing.exit_odds), np.exp(smoothing.unseen_odds)
        whole = 1 + self.ends * (ends - 1) + self.new * (new - 1)
        return self.then * np.where(self.is_exit, ends, np.where(self.is_unseen, new, 1.0)) / whole


def _firsts(contexts: np.ndarray, steps: np.ndarray, likely: np.ndarray, size: int) -> np.ndarray:
    """One more than the TOP likeliest steps of each context, in a row of its own."""
    order = np.lexsort((steps, -likely, contexts))
    contexts, steps = contexts[order], steps[order]
    ranks = np.arange(len(contexts)) - np.searchsorted(contexts, contexts)
    found = np.full((size, TOP + 1), -1)
    chosen = ranks <= TOP
    found[contexts[chosen], ranks[chosen]] = steps[chosen]
    return found


FITTED_ON = 50_000
"""The newest moves that smoothing is fitted on; more make it no better."""
Point = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a number is looked for, and in which paces."""

    least: float
    most: float
    widest: float
    finest: float


DISCOUNT = Scale(0.0, 0.98, 0.2, 0.02)
STRENGTH = Scale(-6.0, 16.0, 4.0, 0.25)
"""Of the binary logarithm."""
ODDS = Scale(-4.0, 4.0, 1.0, 0.02)
"""Of the natural logarithm."""
FIRST_DISCOUNT, FIRST_STRENGTH = 0.7, 0.0


def fit(moves: Moves, held_out: Moves, order: int) -> Smoothing:
    """The smoothing with which `moves` predict `held_out` best; where one of them is empty a usual one.

    Plain counts and continuations are both tried. Without steps back there are no odds: it is popularity.
    """
    start = (*[FIRST_DISCOUNT] * (order + 1), *[FIRST_STRENGTH] * (order + 1))
    newest = held_out.part(slice(-FITTED_ON, None))
    if not len(newest) or not len(moves):
        return _smoothing(True, start)
    scales = (*[DISCOUNT] * (order + 1), *[STRENGTH] * (order + 1))
    fitted: list[tuple[float, Smoothing]] = []
    for has_continuations in (False, True) if order else (False,):
        seen = Counts(moves, order, has_continuations).seen(newest)

        def loss(point: Point, seen: list[Seen] = seen) -> float:
            return log_loss(likelihoods(seen, _smoothing(False, point)))

        point, least = search(loss, start, scales)
        fitted.append((least, _smoothing(has_continuations, point)))
    best = min(fitted, key=lambda one: one[0])[1]
    return Prediction(moves, order, best).with_odds(newest) if order else best


def _smoothing(has_continuations: bool, point: Point) -> Smoothing:
    half = len(point) // 2
    return Smoothing(has_continuations, point[:half], tuple(2.0**log for log in point[half:]))


def search(loss: Callable[[Point], float], start: Point, scales: Sequence[Scale]) -> tuple[Point, float]:
    """A point of little loss, and that: from `start` a pace up or down in one number, paces halved where none is better."""
    best, least = start, loss(start)
    paces = [scale.widest for scale in scales]
    while any(pace >= scale.finest for pace, scale in zip(paces, scales, strict=True)):
        found = min((loss(point), point) for point in _near(best, paces, scales))
        if found[0] < least - SETTLED:
            least, best = found
        else:
            paces = [pace / 2 for pace in paces]
    return best, least


SETTLED = 1e-7
"""A gain of loss that is worth no pace."""


def _near(point: Point, paces: Sequence[float], scales: Sequence[Scale]) -> Iterator[Point]:
    """The points a pace away in one number."""
    for place, (pace, scale) in enumerate(zip(paces, scales, strict=True)):
        for value in (point[place] - pace, point[place] + pace):
            yield (*point[:place], min(max(value, scale.least), scale.most), *point[place + 1 :])


def log_loss(likely: np.ndarray) -> float:
    """The mean of -ln of the probabilities of what came."""
    return float(-np.log(likely).mean())
