"""How long visits last, as a card: a row for each class of active time, and mean and median beside each other."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

from views_layer.ask import answer as ask
from views_layer.lengths import BOUNDS_MS, Lengths, visit_lengths
from views_layer.pages.downloads import csv_file
from views_layer.pages.selection import Selection
from views_layer.pages.wording import clock, count, dated, share


@dataclass(frozen=True, slots=True)
class Class:
    """A class of lengths; `bar` is its width in percent of the largest."""

    label: str
    visits: str
    share: str
    bar: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The classes, none where there is no visit; a sentence with mean and median; since when raw events are kept.

    `query` and `meta` are those of an answer about the same visits.
    """

    rows: list[Class]
    summary: str
    since: str
    query: dict
    meta: dict


def lengths_of(selection: Selection, now: datetime) -> Shown:
    """The card. Raises QueryError."""
    found = _asked(selection, now)
    answer = ask(selection.hub, selection.asked(["visits"], now), now)
    if found.mean_ms is None or found.median_ms is None:
        return Shown([], "", "", answer["query"], answer["meta"])
    most = max(found.counts)
    rows = [
        Class(label, count(visits), share(visits, found.visits), f"{100 * visits / most:.2f}")
        for label, visits in zip(_labels(), found.counts, strict=True)
    ]
    said = {"median": clock(found.median_ms), "mean": clock(found.mean_ms)}
    summary = _("Half of the visits have %(median)s of active time or less; the mean is %(mean)s.") % said
    since = dated(found.since.astimezone(selection.zone()), "d MMM y, HH:mm") if found.since else ""
    return Shown(rows, summary, since, answer["query"], answer["meta"])


def download_lengths(selection: Selection, now: datetime, name: str) -> StreamingHttpResponse:
    """The classes as CSV, half-open in milliseconds. Raises QueryError."""
    bounds = (0, *BOUNDS_MS, None)
    heading = [_("From (ms)"), _("Below (ms)"), _("Visits")]
    counts = _asked(selection, now).counts
    lines = ([*ends, visits] for ends, visits in zip(pairwise(bounds), counts, strict=True))
    return csv_file([heading, *lines], name)


def _asked(selection: Selection, now: datetime) -> Lengths:
    return visit_lengths(selection.hub, selection.asked(["visits"], now), now)


def _labels() -> list[str]:
    texts = [_bound(bound) for bound in BOUNDS_MS]
    between = [f"{first} – {last}" for first, last in pairwise(texts[1:])]
    return [
        _("No active time"),
        _("Less than %(length)s") % {"length": texts[1]},
        *between,
        _("%(length)s and more") % {"length": texts[-1]},
    ]


def _bound(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"
