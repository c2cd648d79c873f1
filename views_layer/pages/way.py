"""The way from opened to read to acted, as a card: a line for each step."""

from datetime import datetime

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from views_layer.pages.downloads import csv_file
from views_layer.pages.selection import Selection
from views_layer.pages.visits import Card, Shown, line, shown_of
from views_layer.pages.wording import count, share
from views_layer.way import Way, way_of_visits


def _shown(selection: Selection, now: datetime) -> Shown:
    found = _asked(selection, now)
    if not found.opened:
        return shown_of(selection, [], "", None, now)
    rows = [line(label, visits, found.opened, found.opened) for label, visits in _steps(found)]
    return shown_of(selection, rows, _summary(found), found.since, now)


def _download(selection: Selection, now: datetime, name: str) -> StreamingHttpResponse:
    return csv_file([[_("Step"), _("Visits")], *map(list, _steps(_asked(selection, now)))], name)


def _asked(selection: Selection, now: datetime) -> Way:
    return way_of_visits(selection.hub, selection.asked(["visits"], now), now)


def _steps(found: Way) -> list[tuple[str, int]]:
    return [
        (_("Opened a media"), found.opened),
        (_("Read on"), found.read),
        (_("Acted"), found.acted),
    ]


def _summary(found: Way) -> str:
    if not found.read:
        said = [_("No visit read on (to page 2, or for 10 s).")]
    else:
        parts = {"read": share(found.read, found.opened), "acted": share(found.acted, found.read)}
        said = [
            _("%(read)s read on (to page 2, or for 10 s), and %(acted)s of these acted: shared, clicked, …") % parts
        ]
    if found.acted_only:
        text = ngettext(
            "%(count)s more visit acted without it.", "%(count)s more visits acted without it.", found.acted_only
        )
        said.append(text % {"count": count(found.acted_only)})
    return " ".join(said)


WAY = Card(_shown, _download)
