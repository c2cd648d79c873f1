"""The same aggregations as portable SQL, for engines that fold columns at rest (DuckDB, Spark).

A statement groups events by the keys and by the fields that sets and histograms collect, with one aggregate for each
measure; `aggregations.cells.assemble` makes cells of its rows. So an engine needs only GROUP BY, count, sum, min, max
and bool_or, and the sets are built by the one codec.
"""

from collections.abc import Mapping, Sequence

from aggregations.measures import Measure
from aggregations.rollups import HOUR_MS, Rollup

HOUR_SQL = f"CAST(floor(occurred_at / {HOUR_MS}.0) AS BIGINT)"


def collected_fields(measures: Sequence[Measure]) -> list[str]:
    """The fields whose values the states hold, in order of first use."""
    return list(dict.fromkeys(m.field for m in measures if m.collects and m.field))


def statement(keys: Mapping[str, str], measures: Sequence[Measure], relation: str, where: str = "") -> str:
    """A statement whose rows `assemble` takes: `keys` as name to SQL expression, over `relation`.

    Its columns: `key_<name>`, `field_<field>`, `measure_<name>`.
    """
    fields = collected_fields(measures)
    grouped = [f"{expression} AS key_{name}" for name, expression in keys.items()]
    grouped += [f"{field} AS field_{field}" for field in fields]
    aggregates = [f"{measure.partial_sql()} AS measure_{measure.name}" for measure in measures]
    numbers = ", ".join(str(n + 1) for n in range(len(grouped)))
    return (
        f"SELECT {', '.join(grouped + aggregates)} FROM {relation}"
        + (f" WHERE {where}" if where else "")
        + (f" GROUP BY {numbers}" if grouped else "")
    )


FAMILIES: tuple[tuple[str, ...], ...] = (
    ("device", "browser", "os", "country", "language", "source", "intermediary", "via", "visit_number"),
    ("media", "network"),
    ("action", "target", "previous"),
    ("media", "page"),
)
"""Dimensions that events share so often that grouping by all of a family gives few rows, fewest first.

Rollups are folded from the rows of a family instead of from the events: exact for any events, since rows with equal
keys merge, and fast where the dimensions of the first hardly change within a visit.
"""


def by_family(rollups: Sequence[Rollup]) -> list[tuple[tuple[str, ...], list[Rollup]]]:
    """Each rollup with the first family that holds its dimensions; one that none holds is a family of its own."""
    found: dict[tuple[str, ...], list[Rollup]] = {}
    for rollup in rollups:
        family = next((family for family in FAMILIES if set(rollup.by) <= set(family)), rollup.by)
        found.setdefault(family, []).append(rollup)
    return list(found.items())


def family_statement(family: Sequence[str], measures: Sequence[Measure], relation: str) -> str:
    """The statement of a family with the keys `hub`, `hour`, `is_bot` and its dimensions."""
    keys = {"hub": "hub", "hour": HOUR_SQL, "is_bot": "CAST(is_bot AS INTEGER)"} | {name: name for name in family}
    return statement(keys, measures, relation)
