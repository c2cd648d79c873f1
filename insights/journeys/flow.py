"""What follows what in visits: counts, which add up over visits and so over hubs.

Every function takes `now` in milliseconds: a visit that still runs has no `exit` yet.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from insights.journeys.visits import EXIT, FEATURE, Visits, distinct

START = None
"""What came before the first step of a visit."""
STEPS_BACK = 2


@dataclass(frozen=True, slots=True)
class Tally:
    """By step: how often it was taken, and in how many visits."""

    times: Counter[str | None] = field(default_factory=Counter)
    visits: Counter[str | None] = field(default_factory=Counter)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.times + other.times, self.visits + other.visits)


@dataclass(frozen=True, slots=True)
class Ends:
    """By step: how often something followed it, `exit` too; how often that was `exit`; and in how many visits it is."""

    reached: Counter[str | None] = field(default_factory=Counter)
    exits: Counter[str | None] = field(default_factory=Counter)
    visits: Counter[str | None] = field(default_factory=Counter)

    def __add__(self, other: "Ends") -> "Ends":
        return Ends(self.reached + other.reached, self.exits + other.exits, self.visits + other.visits)


def following(visits: Visits, after: Sequence[str], now: int) -> Tally:
    """The steps that followed `after`, at most STEPS_BACK steps in a row, oldest first; of none: all steps."""
    if not after:
        owners = np.concatenate((visits.owners, np.flatnonzero(visits.has_ended(now))))
        exits = np.full(len(owners) - len(visits.steps), visits.exit, visits.steps.dtype)
        return _tally(visits, owners, np.concatenate((visits.steps, exits)))
    found = positions(visits, after)
    then = visits.then(now)[found]
    return _tally(visits, visits.owners[found][then >= 0], then[then >= 0])


def positions(visits: Visits, after: Sequence[str]) -> np.ndarray:
    """Where in `visits.steps` the last of one or two steps in a row stands."""
    places = [visits.place(step) for step in after]
    if None in places:
        return np.empty(0, np.int64)
    found = np.flatnonzero(visits.steps == places[-1])
    return found if len(after) == 1 else found[visits.before[found] == places[0]]


def preceding(visits: Visits, step: str, now: int) -> Tally:
    """The steps that came before `step`, START where it was the first; before `exit`: those that visits ended with."""
    if step == EXIT:
        lasts = (visits.starts[1:] - 1)[visits.has_ended(now)]
        ends = _tally(visits, visits.owners[lasts], visits.steps[lasts])
    else:
        ends = Tally()
    found = positions(visits, [step])
    return ends + _tally(visits, visits.owners[found], visits.before[found])


def ends(visits: Visits, now: int) -> Ends:
    """Where visits end, for every step that something followed."""
    then = visits.then(now)
    reached = _counted(visits, visits.steps[then >= 0])
    lasts = (visits.starts[1:] - 1)[visits.has_ended(now)]
    return Ends(reached, _counted(visits, visits.steps[lasts]), _tally(visits, visits.owners, visits.steps).visits)


def after_features(visits: Visits, now: int) -> dict[str, Tally]:
    """By step of a feature: what followed it."""
    is_feature = np.fromiter((name.startswith(FEATURE) for name in visits.names), bool, len(visits.names))
    then = visits.then(now)
    found = np.flatnonzero(is_feature[visits.steps] & (then >= 0))
    found = found[np.argsort(visits.steps[found], kind="stable")]
    features, firsts = np.unique(visits.steps[found], return_index=True)
    parts = np.split(found, firsts[1:]) if len(found) else []
    return {
        visits.names[feature]: _tally(visits, visits.owners[part], then[part])
        for feature, part in zip(features, parts, strict=True)
    }


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum."""
    return sum(tallies, Tally())


def _tally(visits: Visits, owners: np.ndarray, steps: np.ndarray) -> Tally:
    """Steps by name, with the distinct visits that own them."""
    width = len(visits.names) + 1  # -1 is START
    pairs = distinct(owners * width + steps + 1)
    return Tally(_counted(visits, steps), _counted(visits, pairs % width - 1))


def _counted(visits: Visits, steps: np.ndarray) -> Counter:
    counts = np.bincount(steps + 1, minlength=1)
    places = np.flatnonzero(counts)
    return Counter({(visits.names[place - 1] if place else START): int(counts[place]) for place in places})
