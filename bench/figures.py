"""Figures: what was measured, beside the limit measured in the same run and what is aimed at."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A value beside the best that this machine could do. `ratio` is value / limit; `met` is None where nothing is aimed at."""

    value: float
    unit: str
    limit: float
    limit_of: str
    ratio: float
    target: str | None
    met: bool | None


Figures = dict[str, Figure]


def at_least(target: float | None, value: float, unit: str, limit: float, limit_of: str) -> Figure:
    """A figure of which more is better."""
    met = None if target is None else value >= target
    return _figure(value, unit, limit, limit_of, None if target is None else f">= {target:g}", met)


def at_most(target: float | None, value: float, unit: str, limit: float, limit_of: str) -> Figure:
    """A figure of which less is better."""
    met = None if target is None else value <= target
    return _figure(value, unit, limit, limit_of, None if target is None else f"<= {target:g}", met)


def _figure(value: float, unit: str, limit: float, limit_of: str, target: str | None, met: bool | None) -> Figure:
    return Figure(_rounded(value), unit, _rounded(limit), limit_of, _rounded(value / limit), target, met)


def _rounded(number: float) -> float:
    """Four significant digits, and no fraction from a thousand up."""
    return round(number) if abs(number) >= 1_000 else float(f"{number:.4g}")


@dataclass(frozen=True, slots=True)
class Options:
    """How a scenario is run. `is_quick` lowers the scale to a smoke test, whose figures mean nothing."""

    is_quick: bool = False
    is_timed: bool = False
    with_install: bool = False

    def scaled(self, size: int, quick: int) -> int:
        """`size`, or `quick` in a smoke test."""
        return quick if self.is_quick else size


def as_json(figures: Figures, options: Options) -> dict[str, dict]:
    """Figures as JSON values. Those of a smoke test meet nothing and miss nothing."""
    unmet = {"met": None} if options.is_quick else {}
    return {name: asdict(figure) | unmet for name, figure in figures.items()}


def say(text: str) -> None:
    """Progress, for people."""
    print(f"  {text}", file=sys.stderr, flush=True)


def per_second(act: Callable[[], object], seconds: float = 1.0) -> float:
    """How often `act` can be called in a second, measured over about `seconds`."""
    began, calls = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        act()
        calls += 1
    return calls / passed


def seconds_of(act: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def quantile(values: Sequence[float], part: float) -> float:
    """The value below or at which `part` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-part * len(ordered) // 1) - 1))]
