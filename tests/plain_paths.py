"""A second opinion on retribution: the definition goal by goal, in fractions. Slow; imports nothing of the project."""

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Any

DAY_MS = 86_400_000
START, GOAL = "(start)", "(goal)"
Event = Any
"""Something with `occurred_at`, `id`, `action`, `visit`, `visitor`, `intermediary`."""


def plain(events: list[Event], goal: str, model: str, start: int) -> dict[str | None, int]:
    """The credit of each intermediary, None for direct, in millionths."""
    paths = plain_paths(events, goal, start)
    reached = [path for path in paths if path]
    credit: Counter[str | None] = Counter()
    if model == "shapley":
        parts: dict[str, Fraction] = {}
        for path in reached:
            members = {name for name, _before in path}
            for name in members:
                parts[name] = parts.get(name, Fraction(0)) + Fraction(1, len(members))
        credit.update(dealt(len(reached) * 1_000_000, parts))
    elif model == "markov":
        credit.update(dealt(len(reached) * 1_000_000, removal_effects(reached)))
    else:
        for path in reached:
            credit.update(dealt(1_000_000, weights(path, model)))
    credit[None] = 1_000_000 * (len(paths) - len(reached))
    return {name: part for name, part in credit.items() if part}


def plain_paths(events: list[Event], goal: str, start: int) -> list[list[tuple[str, int]]]:
    """Of each goal the intermediaries that brought its visits, and how long before the last of them each visit began."""
    ordered = sorted(events, key=lambda event: (event.occurred_at, event.id))
    begun: dict[tuple[int, int], int] = {}
    by: dict[tuple[int, int], str] = {}
    for event in ordered:
        begun.setdefault((event.visitor, event.visit), event.occurred_at)
        if event.intermediary is not None:
            by.setdefault((event.visitor, event.visit), event.intermediary)
    if goal == "visits":
        goals = [(visitor, visit, at) for (visitor, visit), at in begun.items() if at >= start]
    else:
        goals = [
            (event.visitor, event.visit, event.occurred_at)
            for event in ordered
            if event.action == goal and event.occurred_at >= start
        ]
    found = []
    for visitor, own, at in goals:
        near = sorted(
            (began, visit)
            for (of, visit), began in begun.items()
            if of == visitor and (at - 30 * DAY_MS <= began <= at or visit == own)
        )
        touches = [(by[visitor, visit], began) for began, visit in near if (visitor, visit) in by]
        found.append([(name, touches[-1][1] - began) for name, began in touches])
    return found


def weights(path: list[tuple[str, int]], model: str) -> dict[str, Fraction]:
    """What each name of a path weighs."""
    names = [name for name, _before in path]
    count = len(names)
    each: list[Fraction] = {
        "last": [Fraction(0)] * (count - 1) + [Fraction(1)],
        "first": [Fraction(1)] + [Fraction(0)] * (count - 1),
        "linear": [Fraction(1)] * count,
        "position": [Fraction(1)] * count
        if count < 3
        else [Fraction(40), *[Fraction(20, count - 2)] * (count - 2), Fraction(40)],
        "time_decay": [Fraction(0.5 ** (before / (7 * DAY_MS))) for _name, before in path],
    }[model]
    found: dict[str, Fraction] = {}
    for name, weight in zip(names, each, strict=True):
        found[name] = found.get(name, Fraction(0)) + weight
    return found


def dealt(total: int, parts: dict[str, Fraction]) -> dict[str, int]:
    """`total` in whole numbers in proportion, by largest remainder, ties by name."""
    whole = sum(parts.values())
    exact = {name: total * part / whole for name, part in parts.items()}
    found = {name: floor(part) for name, part in exact.items()}
    for name in sorted(exact, key=lambda name: (found[name] - exact[name], name))[: total - sum(found.values())]:
        found[name] += 1
    return found


def removal_effects(paths: list[list[tuple[str, int]]]) -> dict[str, Fraction]:
    """What part of the goals is lost without each name, in the chain of single steps."""
    steps: dict[str, Counter[str]] = {}
    for path in paths:
        for here, there in pairwise([START, *(name for name, _before in path), GOAL]):
            steps.setdefault(here, Counter())[there] += 1
    return {name: 1 - reached({**steps, name: Counter()}) for name in sorted(steps) if name != START}


def reached(steps: dict[str, Counter[str]]) -> Fraction:
    """The part that comes from START to GOAL: one name after the other is left out, and whoever came to it goes on."""
    chances = {
        here: {there: Fraction(times, sum(on.values())) for there, times in on.items()} for here, on in steps.items()
    }
    for name in [name for name in chances if name != START]:
        onward = chances.pop(name)
        again = onward.pop(name, Fraction(0))
        for on in chances.values():
            to = on.pop(name, Fraction(0))
            for there, chance in onward.items():
                on[there] = on.get(there, Fraction(0)) + to * chance / (1 - again)
    return chances[START].get(GOAL, Fraction(0))
