"""Used features: what readers of all hubs use most and least, and whether more or less than before.

A feature is the target of `feature` events; beside them stand the actions, of which `feature` is one. Events, visits
and visitors are summed over hubs: each hub has visits and visitors of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.http import QueryDict

from aggregations.buckets import instant_ms, moment_of
from events.models import Hub
from views_layer.ask import every_page, utc
from views_layer.question import ROBOTS, QueryError, read_one_of, read_range, refuse_all_but

PARAMETERS = ("period", "from", "to", "timezone", "robots", "order")
COUNTED = ("events", "visits", "visitors")
ORDERS = (*COUNTED, "trend", "name")
MOST_USED_FIRST = "-events"
FEATURE = "feature"


@dataclass(slots=True)
class Use:
    """How much a feature or an action is used in a range and in the one before, and by which hubs."""

    now: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    before: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    hubs: dict[str, int] = field(default_factory=dict)

    def shown(self, has_before: bool) -> dict[str, Any]:
        used_by = sorted(self.hubs.items(), key=lambda entry: (-entry[1], entry[0]))
        return {
            **self.now,
            "trend": _trend(self.now["events"], self.before["events"]) if has_before else None,
            "previous": dict(self.before) if has_before else None,
            "hubs": [{"hub": hub, "events": events} for hub, events in used_by],
        }


def _trend(events: int, before: int) -> float | None:
    """By how much events grew, as a part of those before; None where there were none."""
    return round((events - before) / before, 4) if before else None


@dataclass(frozen=True, slots=True)
class Range:
    """The parameters of a hub's question for one range; `start` None: from the hub's first event on."""

    start: int | None
    end: int
    timezone: str
    robots: str

    def question(self, **more: str) -> QueryDict:
        asked = QueryDict(mutable=True)
        asked.update({"metrics": ",".join(COUNTED), "timezone": self.timezone, "robots": self.robots, **more})
        if self.start is None:
            asked["period"] = "all"
        else:
            asked.update({"from": utc(moment_of(self.start)), "to": utc(moment_of(self.end))})
        return asked


def features(parameters: QueryDict, now: datetime) -> dict[str, Any]:
    """Every feature and every action of all hubs, as JSON values (docs/api.md). Raises QueryError.

    Those that were used before and no more are there too, with zeros: nothing is used less. What a hub does not keep is left out
    with a warning.
    """
    refuse_all_but(parameters, *PARAMETERS)
    zone = parameters.get("timezone") or "UTC"
    start, end = read_range(parameters, zone, now, default="all")
    robots = read_one_of(parameters, "robots", ROBOTS) or ROBOTS[0]
    order = _order(parameters)
    current = Range(start, end, zone, robots)
    before = _before(current, now)
    asked = _Asked(now)
    for hub in Hub.objects.all():
        asked.add(hub, current, is_now=True)
        if before:
            asked.add(hub, before, is_now=False)
    query = {
        "from": None if start is None else utc(moment_of(start)),
        "to": utc(moment_of(end)),
        "timezone": zone,
        **({"period": parameters["period"]} if parameters.get("period") else {}),
        "robots": robots,
        "order": parameters.get("order") or MOST_USED_FIRST,
    }
    return {
        "query": query,
        "results": _listed(FEATURE, asked.features, order, before is not None),
        "actions": _listed("action", asked.actions, order, before is not None),
        "meta": asked.meta(),
    }


def _before(current: Range, now: datetime) -> Range | None:
    """The range of the same elapsed time just before; None where nothing of a range has elapsed, or it has no start."""
    if current.start is None:
        return None
    elapsed = min(current.end, instant_ms(now)) - current.start
    start = current.start - elapsed
    return Range(start, current.start, current.timezone, current.robots) if elapsed > 0 and start >= 0 else None


class _Asked:
    """What the hubs have answered so far."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self.features: dict[str | None, Use] = {}
        self.actions: dict[str | None, Use] = {}
        self._hubs = 0
        self._is_exact = True
        self._as_of = utc(now)
        self._warnings: dict[str, None] = {}

    def add(self, hub: Hub, asked: Range, is_now: bool) -> None:
        """Ask a hub for a range. Where no `feature` event is in it, nothing is asked by feature: that needs raw events."""
        self._hubs += is_now
        actions = list(self._rows(hub, asked.question(by="action")))
        self._sum(self.actions, "action", actions, hub, is_now)
        if any(row["action"] == FEATURE for row in actions):
            rows = self._rows(hub, asked.question(by="target", action=FEATURE))
            self._sum(self.features, "target", rows, hub, is_now)

    def _rows(self, hub: Hub, question: QueryDict) -> Iterator[dict[str, Any]]:
        """All rows of an answer; none where the hub does not keep what they are made of."""
        try:
            for page in every_page(hub, question, self._now):
                self._heard(hub, page["meta"])
                yield from page["results"]
        except QueryError as error:
            if error.code != "not_kept":
                raise
            self._warnings[f"{hub.slug}: {error.detail}"] = None

    def _heard(self, hub: Hub, meta: dict[str, Any]) -> None:
        self._is_exact = self._is_exact and meta["exact"]
        self._as_of = min(self._as_of, meta["as_of"], key=datetime.fromisoformat)
        self._warnings |= {f"{hub.slug}: {warning}": None for warning in meta["warnings"]}

    def _sum(
        self, uses: dict[str | None, Use], by: str, rows: Sequence[dict] | Iterator[dict], hub: Hub, is_now: bool
    ) -> None:
        for row in rows:
            use = uses.setdefault(row[by], Use())
            counted = use.now if is_now else use.before
            for name in COUNTED:
                counted[name] += row[name]
            if is_now:
                use.hubs[hub.slug] = row["events"]

    def meta(self) -> dict[str, Any]:
        return {
            "as_of": self._as_of,
            "exact": self._is_exact,
            "hubs": self._hubs,
            "warnings": list(self._warnings),
        }


def _listed(by: str, uses: dict[str | None, Use], order: tuple[str, bool], has_before: bool) -> list[dict[str, Any]]:
    """The rows in an order; nulls last, ties by name."""
    rows = [{by: name, **use.shown(has_before)} for name, use in uses.items()]
    rows.sort(key=lambda row: (row[by] is None, row[by] or ""))
    name, is_descending = order
    key = by if name == "name" else name
    known = [row for row in rows if row[key] is not None]
    # A sort keeps ties in their order, also a reversed one.
    return sorted(known, key=lambda row: row[key], reverse=is_descending) + [row for row in rows if row[key] is None]


def _order(parameters: QueryDict) -> tuple[str, bool]:
    text = parameters.get("order") or MOST_USED_FIRST
    name = text.removeprefix("-")
    if name not in ORDERS:
        raise QueryError(
            "invalid_order", f"order {text!r} is unknown; use one of {', '.join(ORDERS)}, - for descending.", "order"
        )
    return name, text.startswith("-")
