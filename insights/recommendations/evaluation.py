"""The comparison that `manage.py evaluate recommendations` prints: both protocols, every candidate beside popularity."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from threadpoolctl import threadpool_limits

from insights.recommendations import day_ahead, published
from insights.recommendations.candidates import MATRICES
from insights.recommendations.day_ahead import Shown
from insights.recommendations.interactions import interactions

SCORED_DAYS, LEARNT_DAYS = 141, 60


@threadpool_limits.wrap(limits=1)
def evaluate(
    events: pa.Table, shown: Shown = lambda name, done, total: None, names: Sequence[str] = tuple(MATRICES)
) -> dict[str, Any]:
    """Scores of a hub's events by both protocols, as JSON values; `shown` is told of the progress.

    Day ahead the candidates of `names` are compared; each is learnt anew for each day, which takes most of the time.
    """
    found = interactions(events)
    return {
        "interactions": len(found.at),
        "visitors": len(found.visitors),
        "media": len(found.names),
        "published": published.compare(found, shown=shown),
        "day_ahead": day_ahead.compare(found, SCORED_DAYS, LEARNT_DAYS, names, shown=shown),
    }
