"""The trust line: how far the numbers of a page can be relied upon, in words."""

import zoneinfo
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from views_layer.pages.selection import Selection
from views_layer.pages.viewer import Viewer
from views_layer.pages.wording import date_range, instant, time_of_day
from views_layer.restated import restated


@dataclass(frozen=True, slots=True)
class TrustLine:
    """`tone` is calm or warning; `sentences` are shown in order, `warnings` after them."""

    tone: str
    verdict: str
    sentences: list[str]
    warnings: list[str]


def trust_line(meta: dict, now: datetime, zone: zoneinfo.ZoneInfo) -> TrustLine:
    """The trust line of an answer's `meta`."""
    warnings = [_(warning) for warning in meta["warnings"]]
    exact = bool(meta.get("exact"))
    batch_until = meta.get("batch_until") and time_of_day(instant(meta["batch_until"]), now, zone)
    as_of = time_of_day(instant(meta["as_of"]), now, zone, with_seconds=True)
    times = {"batch": batch_until, "live": as_of, "zone": zone.key}
    if batch_until:
        where = _("Batch until %(batch)s, live until %(live)s (%(zone)s).")
    else:
        where = _("Not yet computed by batch, live until %(live)s (%(zone)s).")
    sentences = [where % times]
    if not meta.get("provisional"):
        sentences.append(_("All figures of this period are settled."))
    elif batch_until:
        sentences.append(_("Figures since %(batch)s are provisional.") % times)
    else:
        sentences.append(_("All figures are provisional."))
    if meta.get("source") == "raw":
        sentences.append(_("Computed from the raw events."))
    tone = "calm" if exact and not warnings else "warning"
    return TrustLine(tone, _("Exact.") if exact else _("Not exact."), sentences, warnings)


def reliance(query: dict, meta: dict, viewer: Viewer, selection: Selection, now: datetime) -> dict:
    """Which days an answer is about, and how far it can be relied upon."""
    zone = selection.zone()
    days = date_range(instant(query["from"]), instant(query["to"]), zone)
    start, end = (round(instant(query[name]).timestamp() * 1000) for name in ("from", "to"))
    return {
        "trust": trust_line(meta, now, zone),
        "range": days,
        "restated_count": restated(selection.hub, start, end).count() if viewer.sees_all else 0,
        "restated_url": viewer.url("restatements") + selection.query(metric=None, interval=None),
    }
