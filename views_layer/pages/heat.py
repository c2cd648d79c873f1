"""A heat map: a table of one measure by weekday and hour, its cells coloured by how much of the largest they have."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from views_layer.ask import answer as ask
from views_layer.pages.panels import Table
from views_layer.pages.selection import Selection
from views_layer.pages.wording import count, value_of

LEVELS = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell; `level` is from 0, nothing, to LEVELS, as much as anywhere."""

    text: str
    level: int
    label: str


@dataclass(frozen=True, slots=True)
class Heat:
    """The map, and one sentence that says where most is; without rows where there is nothing."""

    hours: list[str]
    rows: list[tuple[str, list[Cell]]]
    summary: str
    query: dict
    meta: dict


def heat_of(table: Table, selection: Selection, metrics: dict[str, dict], now: datetime) -> Heat:
    """The heat map of `table`. Raises QueryError."""
    measure = table.measures[0]
    answer = ask(selection.hub, selection.asked([measure], now, by=",".join(table.dimensions)), now)
    found = {(row[table.by], row[table.across]): row[measure] for row in answer["results"]}
    most = max(found.values(), default=0)
    hours = [value_of(table.across, hour) for hour in range(24)]
    days = [value_of(table.by, day) for day in range(1, 8)]
    rows = [
        (name, [_cell(name, hour, found.get((day, number), 0), most) for number, hour in enumerate(hours)])
        for day, name in enumerate(days, 1)
    ]
    summary = ""
    if most:
        day, hour = max(found, key=lambda place: (found[place], -place[0], -place[1]))
        said = {"title": metrics[measure]["title"], "day": days[day - 1], "hour": hours[hour], "most": count(most)}
        summary = (
            _(
                "%(title)s: most on %(day)s from %(hour)s on (%(most)s). A visit counts in each hour that it has events in."
            )
            % said
        )
    return Heat(hours, rows if most else [], summary, answer["query"], answer["meta"])


def _cell(day: str, hour: str, value: int, most: int) -> Cell:
    level = -(-value * LEVELS // most) if most else 0
    return Cell(count(value) if value else "", level, f"{day}, {hour}: {count(value)}")
