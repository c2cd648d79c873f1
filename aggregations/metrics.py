"""Metrics: what a reader may ask for. Each is a measure of the declaration, or a ratio of two."""

from dataclasses import dataclass

from aggregations.cells import Cells
from aggregations.measures import Count, Measure, Sum
from aggregations.rollups import DIMENSIONS, MEASURES, RATIOS

MEASURE_NAMED: dict[str, Measure] = {measure.name: measure for measure in MEASURES}
RATIO_NAMED = {ratio.name: ratio for ratio in RATIOS}
METRICS: tuple[str, ...] = (*MEASURE_NAMED, *RATIO_NAMED)

DEFINITIONS: dict[str, tuple[str, str]] = {
    "events": ("Events", "Number of events."),
    "views": ("Views", "View events that name a media."),
    "visits": ("Visits", "Distinct visits: runs of a visitor's events without a gap of more than 30 minutes."),
    "visitors": ("Visitors", "Distinct visitors: browsers, or without storage a browser on one day."),
    "new_visitors": ("New visitors", "Distinct visitors with an event of their first visit."),
    "returning_visitors": ("Returning visitors", "Distinct visitors with an event of their second or a later visit."),
    "page_reads": ("Pages read", "Read events that name a page."),
    "duration_ms": ("Active time", "Time with a visible tab and recent input, summed."),
    "engaged_visits": (
        "Engaged visits",
        "Distinct visits that did more than open: an action other than view and read, page 2 or later, 10 seconds or"
        " more in one event, or a media seen before.",
    ),
    "shares": ("Shares", "Share events."),
    "downloads": ("Downloads", "Download events."),
    "prints": ("Prints", "Print events."),
    "clicks": ("Clicks", "Click events: links and enrichments."),
    "searches": ("Searches", "Search events."),
    "plays": ("Plays", "Play events."),
    "avg_visit_duration_ms": ("Time per visit", "Active time divided by visits."),
    "visits_per_visitor": ("Visits per visitor", "Visits divided by visitors."),
    "bounce_rate": ("Bounce rate", "Share of visits that are not engaged: 1 - engaged visits / visits."),
}
if missing := set(METRICS) ^ set(DEFINITIONS):
    raise ValueError(f"DEFINITIONS and the declared metrics differ in {sorted(missing)}; define each metric once.")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as the catalogue shows it."""

    name: str
    title: str
    definition: str
    unit: str
    additive: bool
    dimensions: tuple[str, ...]


def catalogue() -> list[Metric]:
    """All metrics. `additive`: rows may be summed; a distinct count or a ratio may not."""
    dimensions = (*DIMENSIONS, "hour_of_day", "weekday", "properties.<key>")
    return [
        Metric(name, *DEFINITIONS[name], _unit(name), isinstance(MEASURE_NAMED.get(name), Count | Sum), dimensions)
        for name in METRICS
    ]


def measures_for(metrics: list[str]) -> list[Measure]:
    """The measures that must be read to present metrics, each once."""
    names: dict[str, None] = {}
    for metric in metrics:
        ratio = RATIO_NAMED.get(metric)
        names.update(dict.fromkeys([ratio.numerator, ratio.denominator] if ratio else [metric]))
    return [MEASURE_NAMED[name] for name in names]


def present(cells: Cells, metric: str) -> list[int | float | None]:
    """A metric of every cell."""
    ratio = RATIO_NAMED.get(metric)
    if ratio is None:
        return MEASURE_NAMED[metric].presented(cells.columns[metric])
    numerators = MEASURE_NAMED[ratio.numerator].presented(cells.columns[ratio.numerator])
    denominators = MEASURE_NAMED[ratio.denominator].presented(cells.columns[ratio.denominator])
    return [ratio.present(n, d) for n, d in zip(numerators, denominators, strict=True)]


def present_row(cells: Cells, cell: int) -> dict[str, int | float | None]:
    """All metrics of one cell."""
    return {metric: present(cells, metric)[cell] for metric in METRICS}


def zero(metric: str) -> int | None:
    """A metric of no events."""
    return None if metric in RATIO_NAMED else 0


def _unit(name: str) -> str:
    if name.endswith("_ms"):
        return "milliseconds"
    return "ratio" if name in RATIO_NAMED else "count"
