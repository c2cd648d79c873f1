"""How long visits last, as a card: a line for each class of active time, and mean and median beside each other."""

from datetime import datetime
from itertools import pairwise

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

from views_layer.lengths import BOUNDS_MS, Lengths, visit_lengths
from views_layer.pages.downloads import csv_file
from views_layer.pages.selection import Selection
from views_layer.pages.visits import Card, Shown, line, shown_of
from views_layer.pages.wording import clock


def _shown(selection: Selection, now: datetime) -> Shown:
    found = _asked(selection, now)
    if found.mean_ms is None or found.median_ms is None:
        return shown_of(selection, [], "", None, now)
    most = max(found.counts)
    rows = [line(label, visits, found.visits, most) for label, visits in zip(_labels(), found.counts, strict=True)]
    said = {"median": clock(found.median_ms), "mean": clock(found.mean_ms)}
    summary = _("Half of the visits have %(median)s of active time or less; the mean is %(mean)s.") % said
    return shown_of(selection, rows, summary, found.since, now)


def _download(selection: Selection, now: datetime, name: str) -> StreamingHttpResponse:
    """The classes as CSV, half-open in milliseconds."""
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


LENGTHS = Card(_shown, _download)
