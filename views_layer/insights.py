"""What is learnt from a hub's events and is no rollup (DESIGN, section 8), from the raw events of one moment."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.http import QueryDict

from aggregations.buckets import instant_ms
from events.models import Hub
from insights.dissemination import COLUMNS as TREE_COLUMNS
from insights.dissemination import SHARE, disseminate
from insights.dissemination import Row as TreeRow
from insights.retribution import COLUMNS as PATH_COLUMNS
from insights.retribution import MODELS, VISITS, retribute
from insights.retribution import Row as PathRow
from views_layer import raw
from views_layer.ask import WITHOUT_BUFFERS, steady, utc
from views_layer.question import ROBOTS, QueryError, read_limit, read_one_of, read_range, refuse_all_but
from views_layer.seam import Moment, moment, verify

RANGE = ("period", "from", "to", "timezone", "robots")
NODES_AT_MOST = 10_000
NODES = 1_000
GOAL = re.compile("[a-z][a-z0-9_]{0,31}")


def dissemination(hub: Hub, parameters: QueryDict, now: datetime) -> dict[str, Any]:
    """The tree of the shares of a media, or of the whole hub where none is named. Raises QueryError."""
    refuse_all_but(parameters, "media", "limit", *RANGE)
    start, end = _range(hub, parameters, now)
    limit = read_limit(parameters, NODES_AT_MOST, NODES)
    where = f"(action = '{SHARE}' OR via IS NOT NULL)"
    values: list[object] = []
    if (media := parameters.get("media")) is not None:
        where += " AND media IS NULL" if media == "" else " AND media = ?"
        values += [media] if media else []
    rows, meta = _read(hub, (start, end), TREE_COLUMNS, where, values, parameters, now)
    return disseminate(map(TreeRow._make, rows), limit) | {"meta": meta}


def retribution(hub: Hub, parameters: QueryDict, now: datetime) -> dict[str, Any]:
    """The credits of the intermediaries that brought the readers to a goal. Raises QueryError."""
    refuse_all_but(parameters, "goal", "model", *RANGE)
    start, end = _range(hub, parameters, now)
    goal = parameters.get("goal") or VISITS
    if not GOAL.fullmatch(goal):
        raise QueryError("invalid_goal", f"goal {goal!r} is neither {VISITS!r} nor the name of an action.", "goal")
    model = read_one_of(parameters, "model", tuple(MODELS)) or "last"
    # A visit begins where its first event is, and that may lie long before the period.
    rows, meta = _read(hub, (0, end), PATH_COLUMNS, "true", [], parameters, now)
    return retribute(map(PathRow._make, rows), goal, model, start) | {"meta": meta}


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
) -> tuple[list[tuple], dict[str, Any]]:
    """The columns of the hub's events in a range of occurrence that pass, and what the answer says of itself."""
    robots = read_one_of(parameters, "robots", ROBOTS) or ROBOTS[0]

    def read() -> tuple[list[tuple], Moment]:
        current = moment(hub.slug, [], now)
        hub.refresh_from_db(fields=["events_since"])
        found = raw.rows(current, hub.slug, span, ", ".join(columns), f"{where} AND {raw.ROBOTS[robots]}", values)
        verify(current)
        return found, current

    found, current = steady(read)
    return found, meta_of(hub, span[0], current)


def meta_of(hub: Hub, start: int, current: Moment) -> dict[str, Any]:
    """What an answer from raw events since `start` says of itself."""
    warnings = [] if current.has_buffers else [WITHOUT_BUFFERS]
    if hub.events_since is not None and start < instant_ms(hub.events_since):
        warnings.append(f"{hub.slug} keeps raw events since {utc(hub.events_since)}: earlier ones are not in it.")
    return {
        "batch_until": utc(current.cut_at) if current.cut_at else None,
        "as_of": utc(current.as_of),
        "exact": current.has_buffers,
        "source": "raw",
        "warnings": warnings,
    }
