"""The comparison of a period that still runs: its part so far with the same part of the earlier one.

Compared with the whole of the earlier one, a day that is half over would look like a fall.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from aggregations.buckets import moment_of
from views_layer.ask import answer as ask
from views_layer.pages.selection import Selection
from views_layer.pages.wording import instant
from views_layer.question import QueryError, read_question


def elapsed(selection: Selection, names: list[str], answer: dict, now: datetime) -> tuple[dict, datetime] | None:
    """The totals of the period up to its last full hour, those of the earlier one as `previous`, and that hour.

    None where the period of `answer` is over, or has no full hour yet.
    """
    zone = selection.zone()
    start, end = (instant(answer["query"][name]).astimezone(zone) for name in ("from", "to"))
    until = instant(answer["meta"]["as_of"]).astimezone(zone).replace(minute=0, second=0, microsecond=0)
    if end <= now or until <= start:
        return None
    whole = read_question(selection.asked(names, now, compare=selection.compare), selection.hub.timezone, now)
    before = whole.earlier().start
    assert before is not None
    earlier = moment_of(before).astimezone(zone)
    totals = _totals(selection, names, start, until, now)
    totals["previous"] = _totals(selection, names, earlier, _as_far(earlier, until, start, zone), now)
    return totals, until


def _as_far(earlier: datetime, until: datetime, start: datetime, zone: ZoneInfo) -> datetime:
    """As far after `earlier` as `until` is after `start`, on the clock."""
    first, last, begun = (at.replace(tzinfo=None) for at in (earlier, until, start))
    return (first + (last - begun)).replace(tzinfo=zone)


def _totals(selection: Selection, names: list[str], start: datetime, end: datetime, now: datetime) -> dict:
    """The totals of [start, end); without numbers where the hub keeps none of that time."""
    asked = selection.asked(names, now)
    asked.pop("period", None)
    asked["from"], asked["to"] = start.isoformat(), end.isoformat()
    try:
        return ask(selection.hub, asked, now)["totals"]
    except QueryError as error:
        if error.code != "not_kept":
            raise
        return dict.fromkeys(names)
