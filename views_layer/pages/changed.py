"""The rows of the page of restatements: what a closed day said, what it says now, why and since when."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from batch.models import Restatement
from views_layer.pages import wording


@dataclass(frozen=True, slots=True)
class Row:
    """One number of one day."""

    day: str
    title: str
    old: str
    new: str
    reason: str
    restated_at: str


def row_of(entry: Restatement, metrics: dict[str, dict], now: datetime, zone: ZoneInfo) -> Row:
    """The row of a restatement, in words."""
    metric = metrics[entry.metric]
    return Row(
        day=wording.dated(entry.day_start.astimezone(zone), "EEE d MMM y"),
        title=metric["title"],
        old=wording.figure(entry.metric, metric["unit"], entry.old),
        new=wording.figure(entry.metric, metric["unit"], entry.new),
        reason=entry.reason,
        restated_at=wording.time_of_day(entry.restated_at, now, zone),
    )
