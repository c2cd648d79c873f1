"""What is learnt from a hub's events and is no rollup (DESIGN, section 8), from the raw events of one moment."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from django.http import QueryDict

from aggregations.buckets import HOUR_MS, instant_ms
from events.models import Hub
from insights.dissemination import COLUMNS as TREE_COLUMNS
from insights.dissemination import SHARE, Tree
from insights.dissemination import Row as TreeRow
from insights.retribution import COLUMNS as PATH_COLUMNS
from insights.retribution import MODELS, VISITS, Events, Visits, credited
from views_layer import raw
from views_layer.ask import WITHOUT_BUFFERS, steady, utc
from views_layer.question import ROBOTS, QueryError, read_limit, read_one_of, read_range, refuse_all_but
from views_layer.seam import Moment, moment, verify

RANGE = ("period", "from", "to", "timezone", "robots")
NODES_AT_MOST = 10_000
NODES = 1_000
GOAL = re.compile("[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True)
class Spread:
    """The tree of the shares of a range, [start, end) milliseconds, and what the answer says of itself."""

    tree: Tree
    start: int
    end: int
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Visited:
    """The visits of a hub up to the end of a range, [start, end) milliseconds, and what the answer says of itself."""

    visits: Visits
    start: int
    end: int
    meta: dict[str, Any]


def dissemination(hub: Hub, parameters: QueryDict, now: datetime) -> dict[str, Any]:
    """The tree of the shares of a media, or of the whole hub where none is named. Raises QueryError."""
    limit = read_limit(parameters, NODES_AT_MOST, NODES)
    found = spread(hub, parameters, now)
    return found.tree.answer(limit) | {"meta": found.meta}


def spread(hub: Hub, parameters: QueryDict, now: datetime) -> Spread:
    """The tree that parameters ask for. Raises QueryError."""
    refuse_all_but(parameters, "media", "limit", *RANGE)
    start, end = _range(hub, parameters, now)
    where = f"(action = '{SHARE}' OR via IS NOT NULL)"
    values: list[object] = []
    if (media := parameters.get("media")) is not None:
        where += " AND media IS NULL" if media == "" else " AND media = ?"
        values += [media] if media else []
    table, meta = _read(hub, (start, end), TREE_COLUMNS, where, values, parameters, now)
    columns = [table[name].to_pylist() for name in TREE_COLUMNS]
    return Spread(Tree(map(TreeRow._make, zip(*columns, strict=True))), start, end, meta)


def retribution(hub: Hub, parameters: QueryDict, now: datetime) -> dict[str, Any]:
    """The credits of the intermediaries that brought the readers to a goal. Raises QueryError."""
    goal, model = read_goal(parameters), read_model(parameters)
    found = visited(hub, parameters, now)
    return credited(found.visits.paths(goal, found.start), goal, model) | {"meta": found.meta}


def visited(hub: Hub, parameters: QueryDict, now: datetime) -> Visited:
    """The visits that the goals of a range are credited from. Raises QueryError."""
    refuse_all_but(parameters, "goal", "model", *RANGE)
    start, end = _range(hub, parameters, now)
    # A visit begins where its first event is, and that may lie long before the period.
    table, meta = _read(hub, (0, end), PATH_COLUMNS, "true", [], parameters, now)
    return Visited(Visits(events_of(table)), start, end, meta)


def read_goal(parameters: QueryDict) -> str:
    """`visits`, which is the default, or the name of an action. Raises QueryError."""
    goal = parameters.get("goal") or VISITS
    if not GOAL.fullmatch(goal):
        raise QueryError("invalid_goal", f"goal {goal!r} is neither {VISITS!r} nor the name of an action.", "goal")
    return goal


def read_model(parameters: QueryDict) -> str:
    """A model of attribution; the default is the last touch. Raises QueryError."""
    return read_one_of(parameters, "model", tuple(MODELS)) or "last"


def events_of(table: pa.Table) -> Events:
    """The columns of paths, as insights.retribution takes them."""
    return Events(*(table[name].to_numpy() for name in PATH_COLUMNS))


def _range(hub: Hub, parameters: QueryDict, now: datetime) -> tuple[int, int]:
    """The milliseconds of the range; since ever where it has no start."""
    start, end = read_range(parameters, hub.timezone, now, default="all")
    return start or 0, end


def _read(
    hub: Hub,
    span: tuple[int, int],
    columns: Sequence[str],
    where: str,
    values: list[object],
    parameters: QueryDict,
    now: datetime,
) -> tuple[pa.Table, dict[str, Any]]:
    """The columns of the hub's events in a range of occurrence that pass, and what the answer says of itself."""
    robots = read_one_of(parameters, "robots", ROBOTS) or ROBOTS[0]
    named = {name: name for name in columns}
    found, current = events_at(hub, span, named, f"{where} AND {raw.ROBOTS[robots]}", values, now)
    return found, meta_of(hub, span, current)


def events_at(
    hub: Hub, span: tuple[int, int], columns: Mapping[str, str], where: str, values: Sequence[object], now: datetime
) -> tuple[pa.Table, Moment]:
    """The events of a hub that occurred in `span` and pass, in any order, at one moment; `columns` as raw.table takes them.

    Since when the hub keeps raw events is read after that moment.
    """

    def read() -> tuple[pa.Table, Moment]:
        current = moment(hub.slug, [], now)
        hub.refresh_from_db(fields=["events_since"])
        found = raw.table(current, hub.slug, span, columns, where, values)
        verify(current)
        return found, current

    return steady(read)


def meta_of(hub: Hub, span: tuple[int, int], current: Moment) -> dict[str, Any]:
    """What an answer from a hub's raw events that occurred in `span` says of itself."""
    warnings = [] if current.has_buffers else [WITHOUT_BUFFERS]
    if hub.events_since is not None and span[0] < instant_ms(hub.events_since):
        warnings.append(f"{hub.slug} keeps raw events since {utc(hub.events_since)}: earlier ones are not in it.")
    cut_ms = instant_ms(current.cut_at) if current.cut_at else 0
    return {
        "batch_until": utc(current.cut_at) if current.cut_at else None,
        "as_of": utc(current.as_of),
        "exact": current.has_buffers,
        "provisional": span[1] > cut_ms - cut_ms % HOUR_MS,
        "source": "raw",
        "warnings": warnings,
    }
