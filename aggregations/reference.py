"""The reference fold: what every layer must compute, in the fewest lines. Slow, and obviously right."""

from collections.abc import Iterable
from typing import Any

from aggregations.event import Event
from aggregations.rollups import HOUR_MS, Rollup


def reference_fold(events: Iterable[Event], rollup: Rollup) -> dict[str, dict[tuple, dict[str, Any]]]:
    """The states of a rollup by hub and key."""
    folded: dict[str, dict[tuple, dict[str, Any]]] = {}
    for event in events:
        key = (event.occurred_at // HOUR_MS, int(event.is_bot), *(getattr(event, name) for name in rollup.by))
        cells = folded.setdefault(event.hub, {})
        cell = cells.setdefault(key, {measure.name: measure.zero() for measure in rollup.measures})
        for measure in rollup.measures:
            cell[measure.name] = measure.merge(cell[measure.name], measure.prepare(event))
    return folded
