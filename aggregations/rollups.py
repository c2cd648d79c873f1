"""What is counted: dimensions, measures, rollups, metrics. Adding a metric is one line here."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from aggregations.fields import INTEGER_FIELDS, STRING_FIELDS, Field
from aggregations.measures import Count, Distinct, Max, Measure, Min, Ratio, Sum

HOUR_MS = 3_600_000

action, duration_ms, media, page = Field("action"), Field("duration_ms"), Field("media"), Field("page")
previous, visit_number = Field("previous"), Field("visit_number")

is_read_on = (action == "read") & (page >= 2)
is_engaged = ((action != "view") & (action != "read")) | is_read_on | (duration_ms >= 10_000) | previous.is_set

MEASURES: tuple[Measure, ...] = (
    Count("events"),
    Count("views", where=(action == "view") & media.is_set),
    Distinct("visits", "visit"),
    Distinct("visitors", "visitor"),
    Distinct("new_visitors", "visitor", where=visit_number == 1),
    Distinct("returning_visitors", "visitor", where=visit_number >= 2),
    Count("page_reads", where=(action == "read") & page.is_set),
    Sum("duration_ms", "duration_ms"),
    Distinct("engaged_visits", "visit", where=is_engaged),
    Count("shares", where=action == "share"),
    Count("downloads", where=action == "download"),
    Count("prints", where=action == "print"),
    Count("clicks", where=action == "click"),
    Count("searches", where=action == "search"),
    Count("plays", where=action == "play"),
)
RATIOS: tuple[Ratio, ...] = (
    Ratio("avg_visit_duration_ms", "duration_ms", "visits"),
    Ratio("visits_per_visitor", "visits", "visitors"),
    Ratio("bounce_rate", "engaged_visits", "visits", complement=True),
)
BOUNDS: tuple[Measure, ...] = (Min("first_at", "occurred_at"), Max("last_at", "occurred_at"))
"""First and last occurrence: they tell the query whether an hour lies wholly in a range that cuts through it."""

DIMENSIONS: tuple[str, ...] = (
    "media", "page", "network", "action", "device", "browser", "os", "country", "language", "source",
    "intermediary", "via", "visit_number", "target", "previous",
)  # fmt: skip
"""Dimensions that are a field of the event. Beside them: `hour_of_day`, `weekday`, and `properties.<key>`."""


@dataclass(frozen=True)
class Rollup:
    """Measures of a hub's events by some dimensions, kept per hour for people and for robots apart.

    Raises ValueError, with the way out, where the declaration cannot be counted exactly.
    """

    name: str
    by: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = MEASURES

    def __post_init__(self) -> None:
        for dimension in self.by:
            if dimension == "hub":
                raise ValueError(f"Rollup {self.name}: 'hub' is no dimension; every rollup is kept by hub anyway.")
            if dimension not in INTEGER_FIELDS | STRING_FIELDS:
                raise ValueError(f"Rollup {self.name}: {dimension!r} is no field of an event; see aggregations.event.")
        if len(set(self.by)) < len(self.by):
            raise ValueError(f"Rollup {self.name} names a dimension twice: {', '.join(self.by)}.")
        for measure in self.measures:
            if not isinstance(measure, Measure) or isinstance(measure.zero(), float):
                raise ValueError(
                    f"Rollup {self.name}: {measure!r} has no exact state; use a kind of aggregations.measures."
                )
        refuse_duplicates([measure.name for measure in self.measures], f"Rollup {self.name} measures")

    @property
    def keys(self) -> tuple[str, ...]:
        """The key columns of its cells."""
        return ("hour", "is_bot", *self.by)


def refuse_duplicates(names: Sequence[str], what: str) -> None:
    """Raises ValueError where a name is there twice."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{what} {', '.join(map(repr, twice))} twice; each name may be declared once.")


ROLLUPS: tuple[Rollup, ...] = (
    Rollup("hub", measures=MEASURES + BOUNDS),
    *(Rollup(dimension, by=(dimension,)) for dimension in DIMENSIONS),
    Rollup("media_page", by=("media", "page")),
    Rollup("media_network", by=("media", "network")),
)
refuse_duplicates([rollup.name for rollup in ROLLUPS], "ROLLUPS names")
refuse_duplicates([m.name for m in MEASURES] + [r.name for r in RATIOS], "MEASURES and RATIOS name")


for ratio in RATIOS:
    if unknown := {ratio.numerator, ratio.denominator} - {m.name for m in MEASURES}:
        raise ValueError(f"Ratio {ratio.name} divides {', '.join(sorted(unknown))}, which MEASURES does not declare.")


def rollup_named(name: str) -> Rollup:
    """The rollup of that name. Raises KeyError."""
    return _BY_NAME[name]


def rollup_for(dimensions: Sequence[str]) -> Rollup | None:
    """The rollup with the fewest dimensions that holds all of these; None where there is none."""
    holding = [rollup for rollup in ROLLUPS if set(dimensions) <= set(rollup.by)]
    return min(holding, key=lambda rollup: len(rollup.by), default=None)


def declaration_of(rollups: Sequence[Rollup]) -> str:
    """A digest of all that decides what states mean: rows and buffers of another one do not count for this one."""
    said = [
        [r.name, *r.by, *([type(m).__name__, m.name, m.field, m.where and m.where.sql()] for m in r.measures)]
        for r in rollups
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


DECLARATION = declaration_of(ROLLUPS)
_BY_NAME = {rollup.name: rollup for rollup in ROLLUPS}
