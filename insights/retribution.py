"""Who brought the readers that reached a goal: seven models of credit over the same paths, from event rows alone.

Sources: position based and time decay as in Google Analytics' multi-channel funnels; Shapley on the set of a path:
Zhao, Mahboobi, Bagheri, "Shapley Value Methods for Attribution Modeling in Online Advertising", 2018; removal effect of
a first-order chain: Anderl, Becker, von Wangenheim, Schumann, "Mapping the Customer Journey", 2016.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

import numpy as np

DAY_MS = 24 * 3600 * 1000
WINDOW_MS = 30 * DAY_MS
HALF_LIFE_MS = 7 * DAY_MS
MILLION = 1_000_000
VISITS = "visits"
COLUMNS = ("occurred_at", "id", "action", "visit", "visitor", "intermediary")
"""The fields of an event that paths are made of."""


class Row(NamedTuple):
    """What of an event a path needs; `occurred_at` in milliseconds."""

    occurred_at: int
    id: str
    action: str
    visit: int
    visitor: int
    intermediary: str | None


class Touch(NamedTuple):
    """A visit that an intermediary brought, when it began."""

    at: int
    intermediary: str


class Path(NamedTuple):
    """The touches before a goal, in order; none of a goal that was reached directly."""

    at: int
    touches: tuple[Touch, ...]


class Visit(NamedTuple):
    number: int
    at: int
    intermediary: str | None


def retribute(rows: Iterable[Row], goal: str, model: str, start: int) -> dict[str, Any]:
    """Credits of the goals in [start, …) by `model` (DESIGN, section 8). `rows` are in any order, also from before `start`.

    `goal` is `visits` or an action. Credits add up to the goals exactly, in millionths.
    """
    found = paths(rows, goal, start)
    credits = MODELS[model]([path for path in found if path.touches])
    direct = len([path for path in found if not path.touches]) * MILLION
    listed = sorted(credits.items(), key=lambda entry: (-entry[1], entry[0]))
    shown: list[dict[str, Any]] = [
        {"intermediary": name, "credit": credit / MILLION} for name, credit in listed if credit
    ]
    if direct:
        place = next((index for index, row in enumerate(shown) if row["credit"] * MILLION < direct), len(shown))
        shown.insert(place, {"intermediary": None, "credit": direct / MILLION})
    return {"goal": goal, "model": model, "total": len(found), "credits": shown}


def paths(rows: Iterable[Row], goal: str, start: int) -> list[Path]:
    """The path of each goal, in the order of goals."""
    ordered = sorted(rows, key=lambda row: (row.occurred_at, row.id))
    visits = _visits(ordered)
    if goal == VISITS:
        goals = [(visitor, visit) for visitor, own in visits.items() for visit in own.values() if visit.at >= start]
        found = [_path(visits[visitor], visit, visit.at) for visitor, visit in goals]
    else:
        found = [
            _path(visits[row.visitor], visits[row.visitor][row.visit], row.occurred_at)
            for row in ordered
            if row.action == goal and row.occurred_at >= start
        ]
    return sorted(found, key=lambda path: path.at)


def _visits(ordered: Sequence[Row]) -> dict[int, dict[int, Visit]]:
    """By visitor and number: each visit's start, and the first intermediary that one of its events names."""
    visits: dict[int, dict[int, Visit]] = defaultdict(dict)
    for row in ordered:
        own = visits[row.visitor]
        visit = own.get(row.visit)
        if visit is None:
            own[row.visit] = Visit(row.visit, row.occurred_at, row.intermediary)
        elif visit.intermediary is None and row.intermediary is not None:
            own[row.visit] = visit._replace(intermediary=row.intermediary)
    return visits


def _path(visits: dict[int, Visit], own: Visit, at: int) -> Path:
    """The visits that began in the 30 days before a goal, both ends included, and the goal's own; direct ones left out."""
    near = [visit for visit in visits.values() if at - WINDOW_MS <= visit.at <= at or visit.number == own.number]
    near.sort(key=lambda visit: (visit.at, visit.number))
    return Path(at, tuple(Touch(visit.at, visit.intermediary) for visit in near if visit.intermediary is not None))


Weights = dict[str, Fraction]


def _last(path: Path) -> Weights:
    return {path.touches[-1].intermediary: Fraction(1)}


def _first(path: Path) -> Weights:
    return {path.touches[0].intermediary: Fraction(1)}


def _linear(path: Path) -> Weights:
    return _added((touch.intermediary, Fraction(1)) for touch in path.touches)


def _position(path: Path) -> Weights:
    """40 % to the first, 40 % to the last, 20 % to those between; halves where there are two."""
    names = [touch.intermediary for touch in path.touches]
    if len(names) <= 2:
        return _added((name, Fraction(1)) for name in names)
    middle = Fraction(20, len(names) - 2)
    return _added([(names[0], Fraction(40)), *((name, middle) for name in names[1:-1]), (names[-1], Fraction(40))])


def _time_decay(path: Path) -> Weights:
    """Half as much for each seven days from a visit's start to the goal."""
    newest = path.touches[-1].at
    return _added((touch.intermediary, Fraction(0.5 ** ((newest - touch.at) / HALF_LIFE_MS))) for touch in path.touches)


def _added(parts: Iterable[tuple[str, Fraction]]) -> Weights:
    weights: Weights = defaultdict(Fraction)
    for name, part in parts:
        weights[name] += part
    return weights


def by_goal(weigh: Callable[[Path], Weights]) -> Callable[[Sequence[Path]], Counter[str]]:
    """A model that deals each goal's million by itself."""

    def credits(found: Sequence[Path]) -> Counter[str]:
        dealt: Counter[str] = Counter()
        for path, count in Counter(_comparable(path) for path in found).items():
            for name, credit in deal(MILLION, weigh(path)).items():
                dealt[name] += credit * count
        return dealt

    return credits


def _comparable(path: Path) -> Path:
    """The path as far as models see it: how long before its last touch each touch was."""
    newest = path.touches[-1].at
    return Path(0, tuple(Touch(touch.at - newest, touch.intermediary) for touch in path.touches))


def shapley(found: Sequence[Path]) -> Counter[str]:
    """Each distinct member of a path has an equal part of its goal; dealt once over all goals."""
    sets = Counter(frozenset(touch.intermediary for touch in path.touches) for path in found)
    weights = _added((name, Fraction(count, len(members))) for members, count in sets.items() for name in members)
    return deal(MILLION * len(found), weights)


def markov(found: Sequence[Path]) -> Counter[str]:
    """The removal effect of each intermediary in a first-order chain over the paths, scaled to their goals."""
    if not found:
        return Counter()
    names = sorted({touch.intermediary for path in found for touch in path.touches})
    moves = _moves(found, {name: index for index, name in enumerate(names)})
    effects = {name: Fraction(_effect(moves, index)) for index, name in enumerate(names)}
    return deal(MILLION * len(found), effects)


def _moves(found: Sequence[Path], index_of: dict[str, int]) -> np.ndarray:
    """The chance of each step: rows are the intermediaries and, last, the start; columns they and, last, the goal."""
    count = len(index_of)
    steps = np.zeros((count + 1, count + 1))
    for path in found:
        at = count
        for touch in path.touches:
            following = index_of[touch.intermediary]
            steps[at, following] += 1
            at = following
        steps[at, count] += 1
    return steps / steps.sum(axis=1, keepdims=True)


def _effect(moves: np.ndarray, removed: int) -> float:
    """The part of the goals that is lost where whoever comes to `removed` is lost. Without a removal all reach the goal."""
    count = len(moves) - 1
    kept = [index for index in range(count) if index != removed]
    inner = np.eye(len(kept)) - moves[np.ix_(kept, kept)]
    reached = np.linalg.solve(inner, moves[kept, count]) if kept else np.zeros(0)
    return float(1 - moves[count, kept] @ reached - moves[count, count])


def deal(total: int, weights: dict[str, Fraction]) -> Counter[str]:
    """`total` in whole parts in proportion to `weights`, by largest remainder, ties by name."""
    whole = sum(weights.values())
    if not whole:
        return Counter()
    exact = {name: total * weight / whole for name, weight in weights.items()}
    dealt = Counter({name: floor(part) for name, part in exact.items()})
    left = total - sum(dealt.values())
    for name in sorted(exact, key=lambda name: (-(exact[name] - dealt[name]), name))[:left]:
        dealt[name] += 1
    return dealt


MODELS: dict[str, Callable[[Sequence[Path]], Counter[str]]] = {
    "last": by_goal(_last),
    "first": by_goal(_first),
    "linear": by_goal(_linear),
    "position": by_goal(_position),
    "time_decay": by_goal(_time_decay),
    "shapley": shapley,
    "markov": markov,
}
