"""Who brought the readers that reached a goal: seven models of credit over the same paths, from event rows alone.

Sources: position based and time decay as in Google Analytics' multi-channel funnels; Shapley on the set of a path:
Zhao, Mahboobi, Bagheri, "Shapley Value Methods for Attribution Modeling in Online Advertising", 2018; removal effect of
a first-order chain: Anderl, Becker, von Wangenheim, Schumann, "Mapping the Customer Journey", 2016.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy
from threadpoolctl import threadpool_limits

DAY_MS = 24 * 3600 * 1000
WINDOW_MS = 30 * DAY_MS
HALF_LIFE_MS = 7 * DAY_MS
MILLION = 1_000_000
VISITS = "visits"
COLUMNS = ("occurred_at", "id", "action", "visit", "visitor", "intermediary")
"""The fields of an event that paths are made of."""
NEVER = np.iinfo(np.int64).max
NOBODY = -1
"""The number of the intermediary of a visit that none brought."""
PIECE = 27
COLUMNS_AT_ONCE = 256
SCALE = 2**128
TIED = 10**9 + 7
"""Of parts by `markov`: what is nearer than one part in so many of a millionth is equal; their error is below 1e-10. A
prime, so that no part that occurs lies half-way between two of them.
"""
DOUBT = 1e-6
"""Of a part in millionths, computed in floats: how near to a limit it is computed again, exactly. Its error is below 1e-8."""


class Row(NamedTuple):
    """What of an event a path needs; `occurred_at` in milliseconds."""

    occurred_at: int
    id: str
    action: str
    visit: int
    visitor: int
    intermediary: str | None


@dataclass(frozen=True, slots=True)
class Events:
    """The same of many events, in any order, a column each."""

    occurred_at: np.ndarray
    id: np.ndarray
    action: np.ndarray
    visit: np.ndarray
    visitor: np.ndarray
    intermediary: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Events":
        columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
        kinds = (np.int64, object, object, np.int64, np.int64, object)
        return cls(*(np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)))


class Visits:
    """The visits of some events by visitor, start and number, and the intermediary that brought each.

    A visit's intermediary is the first that one of its events names, by `occurred_at`, then `id`.
    """

    def __init__(self, events: Events) -> None:
        self.events = events
        named = {name for name in events.intermediary.tolist() if name is not None}
        self.names: list[str] = sorted(named)
        """The intermediaries; below, each is its place here, so that they are in the order of names."""
        numbers: dict[str | None, int] = {name: number for number, name in enumerate(self.names)} | {None: NOBODY}
        codes = np.fromiter(map(numbers.__getitem__, events.intermediary.tolist()), np.int64, len(events.id))

        order = np.lexsort((events.occurred_at, events.visit, events.visitor))
        visitor, number, at = events.visitor[order], events.visit[order], events.occurred_at[order]
        begins = np.ones(len(order), dtype=bool)
        begins[1:] = (visitor[1:] != visitor[:-1]) | (number[1:] != number[:-1])
        visit_of_row = np.cumsum(begins) - 1
        by = _first_named(visit_of_row, at, codes[order], events.id, order, int(begins.sum()))

        sorted_by_start = np.lexsort((number[begins], at[begins], visitor[begins]))
        self.visitor, self.start = visitor[begins][sorted_by_start], at[begins][sorted_by_start]
        self.by = by[sorted_by_start]
        place = np.empty(len(by), dtype=np.int64)
        place[sorted_by_start] = np.arange(len(by))
        self.of_event = np.empty(len(order), dtype=np.int64)
        """The place of each event's visit."""
        self.of_event[order] = place[visit_of_row]

    def paths(self, goal: str, start: int, end: int = NEVER) -> "Paths":
        """The paths of the goals in [start, end): of visits that began in it, or of events of an action."""
        if goal == VISITS:
            own = np.flatnonzero((self.start >= start) & (self.start < end))
            return self._paths(own, self.start[own])
        at = self.events.occurred_at
        events = np.flatnonzero((self.events.action == goal) & (at >= start) & (at < end))
        return self._paths(self.of_event[events], at[events])

    def _paths(self, own: np.ndarray, at: np.ndarray) -> "Paths":
        """The visits that began in the 30 days before each goal, both ends included, and its own; direct ones left out."""
        brought = np.flatnonzero(self.by != NOBODY)
        times = np.unique(self.start[brought])
        width = len(times) + 1
        keys = self.visitor[brought] * width + np.searchsorted(times, self.start[brought])
        visitor = self.visitor[own] * width
        first = np.searchsorted(keys, visitor + np.searchsorted(times, at - WINDOW_MS))
        last = np.searchsorted(keys, visitor + np.searchsorted(times, at, side="right"))
        # Its own visit is the one that may have begun before all others.
        is_older = (self.by[own] != NOBODY) & (self.start[own] < at - WINDOW_MS)
        lengths = last - first + is_older
        ends = np.cumsum(lengths)
        begins = ends - lengths
        flat = np.repeat(first - begins - is_older, lengths) + np.arange(ends[-1] if len(ends) else 0)
        visits = brought[np.maximum(flat, 0)] if len(brought) else flat
        visits[begins[is_older]] = own[is_older]
        return Paths(self.names, begins, ends, self.by[visits], self.start[visits])


def _first_named(
    visit: np.ndarray, at: np.ndarray, codes: np.ndarray, ids: np.ndarray, order: np.ndarray, count: int
) -> np.ndarray:
    """The first intermediary that is named in each of `count` visits, of rows by visit and time; equal times by id."""
    by = np.full(count, NOBODY, dtype=np.int64)
    naming = np.flatnonzero(codes != NOBODY)
    is_first = np.ones(len(naming), dtype=bool)
    is_first[1:] = visit[naming[1:]] != visit[naming[:-1]]
    firsts = naming[is_first]
    by[visit[firsts]] = codes[firsts]
    following = naming[np.minimum(np.flatnonzero(is_first) + 1, len(naming) - 1)] if len(naming) else firsts
    is_tied = (following != firsts) & (visit[following] == visit[firsts]) & (at[following] == at[firsts])
    for row in firsts[is_tied].tolist():
        last = row
        while last + 1 < len(at) and visit[last + 1] == visit[row] and at[last + 1] == at[row]:
            last += 1
        tied = [other for other in range(row, last + 1) if codes[other] != NOBODY]
        by[visit[row]] = codes[min(tied, key=lambda other: ids[order[other]])]
    return by


@dataclass(frozen=True)
class Paths:
    """The touches before each of some goals, in order; of a goal that was reached directly there are none.

    Those of a goal stand in `touches`, and when those visits began in `times`, from its `begins` to its `ends`.
    """

    names: Sequence[str]
    begins: np.ndarray
    ends: np.ndarray
    touches: np.ndarray
    times: np.ndarray

    @property
    def count(self) -> int:
        """The number of goals."""
        return len(self.begins)

    @property
    def direct(self) -> int:
        """The number of goals without a touch."""
        return int((self.begins == self.ends).sum())

    @cached_property
    def sequences(self) -> Counter[tuple[int, ...]]:
        """How many goals have each sequence of touches, direct ones left out."""
        touches = np.ascontiguousarray(self.touches, dtype=np.int64)
        content, size = touches.tobytes(), touches.itemsize
        bounds = zip((self.begins * size).tolist(), (self.ends * size).tolist(), strict=True)
        found = Counter(content[begin:end] for begin, end in bounds)
        del found[b""]
        return Counter({tuple(np.frombuffer(key, np.int64).tolist()): count for key, count in found.items()})

    def named(self) -> list[tuple[str, ...]]:
        """The touches of each goal, by name."""
        names = [self.names[touch] for touch in self.touches.tolist()]
        return [tuple(names[begin:end]) for begin, end in zip(self.begins.tolist(), self.ends.tolist(), strict=True)]


def credited(paths: Paths, goal: str, model: str) -> dict[str, Any]:
    """The credits of some goals by `model` (DESIGN, section 8). They add up to the goals exactly, in millionths."""
    return {"goal": goal, "model": model, "total": paths.count, "credits": listed(paths, credits(paths, model))}


def listed(paths: Paths, dealt: Mapping[str, int]) -> list[dict[str, Any]]:
    """What `credits` has dealt, largest first; the credits of direct goals are of None."""
    largest = sorted(dealt.items(), key=lambda entry: (-entry[1], entry[0]))
    shown: list[dict[str, Any]] = [{"intermediary": name, "credit": credit / MILLION} for name, credit in largest]
    if direct := paths.direct * MILLION:
        place = next((index for index, (_name, credit) in enumerate(largest) if credit < direct), len(shown))
        shown.insert(place, {"intermediary": None, "credit": direct / MILLION})
    return shown


def credits(paths: Paths, model: str) -> dict[str, int]:
    """The credit of each intermediary that has some, in millionths of a goal."""
    return {paths.names[number]: credit for number, credit in MODELS[model](paths).items() if credit}


def common_paths(paths: Paths, limit: int) -> list[tuple[tuple[str, ...], int]]:
    """The most common sequences of intermediaries and their goals, those of equally many by name; () is direct."""
    named = [(tuple(paths.names[one] for one in sequence), count) for sequence, count in paths.sequences.items()]
    named += [((), paths.direct)] if paths.direct else []
    return sorted(named, key=lambda entry: (-entry[1], entry[0]))[:limit]


Touches = tuple[int, ...]
Weights = Mapping[int, int]
"""By the number of an intermediary, in any unit."""


def _last(sequence: Touches) -> Weights:
    return {sequence[-1]: 1}


def _first(sequence: Touches) -> Weights:
    return {sequence[0]: 1}


def _linear(sequence: Touches) -> Weights:
    return Counter(sequence)


def _position(sequence: Touches) -> Weights:
    """40 % to the first, 40 % to the last, 20 % to those between; halves where there are two."""
    if len(sequence) <= 2:
        return Counter(sequence)
    between = len(sequence) - 2
    weights = Counter(dict.fromkeys(sequence, 0))
    for touch in sequence[1:-1]:
        weights[touch] += 20
    for touch in (sequence[0], sequence[-1]):
        weights[touch] += 40 * between
    return weights


def by_goal(weigh: Callable[[Touches], Weights]) -> Callable[[Paths], Counter[int]]:
    """A model that deals each goal's million by itself."""

    def credits(paths: Paths) -> Counter[int]:
        dealt: Counter[int] = Counter()
        for sequence, count in paths.sequences.items():
            for touch, credit in deal(MILLION, weigh(sequence)).items():
                dealt[touch] += credit * count
        return dealt

    return credits


def time_decay(paths: Paths) -> Counter[int]:
    """Half as much for each seven days from a visit's start to the goal: only the time to the last touch matters.

    In floats for all goals at once; the few whose parts lie too near to a limit for that are dealt exactly.
    """
    goals = np.flatnonzero(paths.ends > paths.begins)
    lengths = (paths.ends - paths.begins)[goals]
    goal = np.repeat(np.arange(len(goals)), lengths)
    before = paths.times[paths.ends[goals] - 1][goal] - paths.times if len(goals) else paths.times
    width = len(paths.names)
    pairs, pair_of_touch = np.unique(goal * width + paths.touches, return_inverse=True)
    of_goal, of_name = np.divmod(pairs, max(width, 1))
    weights = np.bincount(pair_of_touch, np.exp2(-before / HALF_LIFE_MS), len(pairs))
    whole = np.bincount(of_goal, weights, len(goals))
    is_alone = np.bincount(of_goal, minlength=len(goals)) == 1
    parts = MILLION * weights / whole[of_goal]
    shares = np.floor(parts)
    rest = parts - shares
    left = MILLION - np.bincount(of_goal, shares, len(goals)).astype(np.int64)
    order = np.lexsort((of_name, -rest, of_goal))
    rank = np.arange(len(order)) - np.searchsorted(of_goal[order], of_goal[order])
    gains = rank < left[of_goal[order]]
    shares[order] += gains

    doubtful = np.zeros(len(goals), dtype=bool)
    doubtful[of_goal[(rest < DOUBT) | (rest > 1 - DOUBT)]] = True
    is_cut = gains[:-1] & ~gains[1:] & (of_goal[order][:-1] == of_goal[order][1:])
    is_near = rest[order][:-1] - rest[order][1:] < DOUBT
    doubtful[of_goal[order][:-1][is_cut & is_near]] = True
    shares[is_alone[of_goal]] = MILLION
    doubtful &= ~is_alone
    shares[doubtful[of_goal]] = 0
    total = np.zeros(width, dtype=np.int64)
    np.add.at(total, of_name, shares.astype(np.int64))
    dealt = Counter(dict(enumerate(total.tolist())))
    dealt.update(_decayed_exactly(paths, goals[doubtful]))
    return dealt


def _decayed_exactly(paths: Paths, goals: np.ndarray) -> Counter[int]:
    """The credits of some goals by exact sums of the weights."""
    alike: Counter[tuple[tuple[int, int], ...]] = Counter()
    for begin, end in zip(paths.begins[goals].tolist(), paths.ends[goals].tolist(), strict=True):
        times = paths.times[begin:end]
        alike[tuple(zip(paths.touches[begin:end].tolist(), (times[-1] - times).tolist(), strict=True))] += 1
    dealt: Counter[int] = Counter()
    for touches, count in alike.items():
        weights: dict[int, Fraction] = defaultdict(Fraction)
        for touch, before in touches:
            weights[touch] += Fraction(0.5 ** (before / HALF_LIFE_MS))
        for touch, credit in deal(MILLION, weights).items():
            dealt[touch] += credit * count
    return dealt


def shapley(paths: Paths) -> Counter[int]:
    """Each distinct member of a path has an equal part of its goal; dealt once over all goals."""
    sets: Counter[frozenset[int]] = Counter()
    for sequence, count in paths.sequences.items():
        sets[frozenset(sequence)] += count
    counts: Counter[tuple[int, int]] = Counter()
    for members, count in sets.items():
        for touch in members:
            counts[touch, len(members)] += count
    weights: dict[int, Fraction] = defaultdict(Fraction)
    for (touch, size), count in counts.items():
        weights[touch] += Fraction(count, size)
    return deal(MILLION * sum(sets.values()), weights)


@threadpool_limits.wrap(limits=1)
def markov(paths: Paths) -> Counter[int]:
    """The removal effect of each intermediary in a first-order chain over the paths, scaled to their goals.

    A chain that is counted from paths visits each intermediary as often as they do: c times. Whoever comes to it comes
    N times, N on the diagonal of the chain's fundamental matrix; so c / N of the goals have come to it, and are lost where
    it is removed. N is c times the diagonal of the inverse of the matrix of visits less steps (Kemeny, Snell, "Finite Markov
    Chains", 1960, 3.5): one inverse for all intermediaries, on one thread, since pages share the cores.
    """
    found = paths.sequences
    if not found:
        return Counter()
    touched = sorted({touch for sequence in found for touch in sequence})
    balance = _visits_less_steps(found, {touch: index for index, touch in enumerate(touched)})
    weights = [SCALE // diagonal for diagonal in _diagonal_of_inverse(balance)]
    total, whole = MILLION * sum(found.values()), sum(weights)
    parts = [(total * weight * TIED + whole // 2) // whole for weight in weights]
    return _by_largest_remainder(total, dict(zip(touched, (divmod(part, TIED) for part in parts), strict=True)))


def _visits_less_steps(found: Counter[Touches], index_of: dict[int, int]) -> "scipy.sparse.csr_matrix":
    """Whole numbers: how often each intermediary was visited, on the diagonal, less the steps from row to column."""
    counts: Counter[tuple[int, int]] = Counter()
    for sequence, times in found.items():
        places = [index_of[touch] for touch in sequence]
        for place in places:
            counts[place, place] += times
        for step in pairwise(places):
            counts[step] -= times
    rows, columns = zip(*counts, strict=True)
    values = np.fromiter(counts.values(), float, len(counts))
    return scipy.sparse.csr_matrix((values, (rows, columns)), shape=(len(index_of), len(index_of)))


def _diagonal_of_inverse(whole: "scipy.sparse.csr_matrix") -> list[Fraction]:
    """The diagonal of the inverse of a matrix of whole numbers, to about 22 digits: in floats, and one step of Newton's.

    What the floats are off is computed without error: with their first PIECE bits products are whole numbers below 2**53
    where nobody was visited more than 2**25 times, and errors of the rest are as much smaller.
    """
    size = whole.shape[0]
    factors, pivots, _ = scipy.linalg.lapack.dgetrf(whole.toarray(order="F"), overwrite_a=True)
    inverse, _ = scipy.linalg.lapack.dgetri(factors, pivots, lwork=64 * size, overwrite_lu=True)
    diagonal: list[Fraction] = []
    for begin in range(0, size, COLUMNS_AT_ONCE):
        columns = np.arange(begin, min(begin + COLUMNS_AT_ONCE, size))
        block = inverse[:, columns]
        unit = np.exp2(np.ceil(np.log2(block.max(axis=0))) - PIECE)
        first = np.rint(block / unit)
        off = np.zeros_like(block)
        off[columns, columns - begin] = 1
        off = (off - (whole @ first) * unit) - whole @ (block - first * unit)
        better = np.einsum("jk,kj->j", inverse[columns], off)
        diagonal += map(_sum, block[columns, columns - begin].tolist(), better.tolist())
    return diagonal


def _sum(first: float, second: float) -> Fraction:
    return Fraction(first) + Fraction(second)


Key = TypeVar("Key", int, str)


def deal(total: int, weights: Mapping[Key, int] | Mapping[Key, Fraction]) -> Counter[Key]:
    """`total` in whole parts in proportion to `weights`, by largest remainder, ties by the lower key."""
    whole = sum(weights.values())
    if not whole:
        return Counter()
    return _by_largest_remainder(total, {key: divmod(total * weight, whole) for key, weight in weights.items()})


def _by_largest_remainder(total: int, parts: Mapping[Key, tuple[int, int | Fraction]]) -> Counter[Key]:
    """`total` in whole parts: of each key the one that is given, with its remainder, and one more for the largest."""
    dealt = Counter({key: share for key, (share, _rest) in parts.items()})
    if left := total - sum(dealt.values()):
        for key in sorted(parts, key=lambda key: (-parts[key][1], key))[:left]:
            dealt[key] += 1
    return dealt


MODELS: dict[str, Callable[[Paths], Counter[int]]] = {
    "last": by_goal(_last),
    "first": by_goal(_first),
    "linear": by_goal(_linear),
    "position": by_goal(_position),
    "time_decay": time_decay,
    "shapley": shapley,
    "markov": markov,
}
