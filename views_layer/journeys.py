"""Journeys of readers: what follows what in visits, and what will, for one hub or all of them together."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import pyarrow as pa
from django.http import Http404, QueryDict

from aggregations.buckets import instant_ms
from batch.run import Progress, silent
from events.models import Hub
from insights.journeys.flow import STEPS_BACK, Tally, following, total
from insights.journeys.lesson import JOURNEYS, Journeys, corrected, decode, journeys_of, refusal
from insights.journeys.score import NAMES, SHOWN, Scores, split, together
from insights.journeys.visits import COLUMNS, Visits, visits_of
from views_layer import raw
from views_layer.ask import steady, utc
from views_layer.insights import RANGE, events_at, meta_of
from views_layer.learnt import learnt
from views_layer.period import LAST_MS
from views_layer.question import ROBOTS, QueryError, read_limit, read_one_of, read_range, refuse_all_but
from views_layer.seam import Moment, moment, verify

ROWS = 1_000
ROWS_AT_MOST = 10_000
DECODED = 8
"""Hubs whose journeys a process keeps ready."""


@dataclass(frozen=True, slots=True)
class Known:
    """A hub's visits in a range, in parts, and what predicts them: learnt from them, or from most of them a while ago."""

    parts: list[Visits]
    journeys: Journeys
    trained_until: datetime
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question reads: hubs, a range, robots or not. `is_kept`: it is what lessons are learnt from."""

    hubs: Sequence[Hub]
    parameters: QueryDict
    robots: str
    now: datetime

    @property
    def is_kept(self) -> bool:
        return self.robots == ROBOTS[0] and not self.parameters.keys() & {"from", "to"} and self._period == "all"

    @property
    def _period(self) -> str:
        return self.parameters.get("period") or "all"

    def known(self) -> dict[str, Known]:
        """What is known of each hub, by its slug. Raises QueryError."""
        return {hub.slug: self._known(hub) for hub in self.hubs}

    def _known(self, hub: Hub) -> Known:
        zone = hub.timezone if len(self.hubs) == 1 and self.parameters.get("hub") else "UTC"
        start, end = read_range(self.parameters, zone, self.now, default="all")

        def read() -> Known:
            current = moment(hub.slug, [], self.now)
            hub.refresh_from_db(fields=["events_since"])
            found = self._kept(hub, current, end) if self.is_kept else None
            found = found or self._counted(hub, current, (start or 0, end))
            verify(current)
            return found

        return steady(read)

    def _kept(self, hub: Hub, current: Moment, end: int) -> Known | None:
        """From what was learnt, and the events that came since; None where some of them occurred after the range."""
        known = learnt(hub, JOURNEYS, current)
        journeys = _decoded(known.payload, known.digest)
        parts = [journeys.visits]
        if known.epoch:
            later = raw.table_since(current, hub.slug, known.epoch, COLUMNS, JOURNEYS.where)
            parts = corrected(journeys.visits, later, _reader(hub, current))
        if any(len(part) and part.last_at.max() >= end for part in parts):
            return None
        return Known(parts, journeys, known.trained_until, meta_of(hub, (0, end), current) | {"source": "learnt+raw"})

    def _counted(self, hub: Hub, current: Moment, span: tuple[int, int]) -> Known:
        """From the raw events of the range alone."""
        visits = visits_of(raw.table(current, hub.slug, span, COLUMNS, raw.ROBOTS[self.robots], []))
        steps_back = {len(self.parameters.getlist("after"))} - {0}
        journeys = journeys_of(visits, instant_ms(self.now), steps_back)
        return Known([visits], journeys, self.now, meta_of(hub, span, current))


def _reader(hub: Hub, current: Moment) -> Callable[[Collection[int], int, int], pa.Table]:
    """Reads all events of some visits."""

    def read(numbers: Collection[int], first: int, last: int) -> pa.Table:
        where = f"{JOURNEYS.where} AND visit IN ({', '.join(map(str, numbers))})"
        return raw.table(current, hub.slug, (first, last + 1), COLUMNS, where, [])

    return read


@lru_cache(DECODED)
def _decoded(payload: bytes, digest: str) -> Journeys:
    return decode(payload)


def asked(parameters: QueryDict, now: datetime) -> Asked:
    """The hubs, range and robots of a question. Raises QueryError, and Http404 for a hub that is unknown."""
    slug = parameters.get("hub")
    hubs = list(Hub.objects.filter(slug=slug) if slug else Hub.objects.order_by("slug"))
    if slug and not hubs:
        raise Http404(f"There is no hub {slug!r} here.")
    return Asked(hubs, parameters, read_one_of(parameters, "robots", ROBOTS) or ROBOTS[0], now)


def journeys(parameters: QueryDict, now: datetime) -> dict[str, Any]:
    """What follows up to two steps, as JSON values (docs/api.md). Raises QueryError, and Http404 for an unknown hub."""
    refuse_all_but(parameters, "hub", "after", "limit", *RANGE)
    after = read_after(parameters)
    limit = read_limit(parameters, ROWS_AT_MOST, ROWS)
    known = asked(parameters, now).known()
    tally = total(following(part, after, instant_ms(now)) for one in known.values() for part in one.parts)
    scores = together([one.journeys.scores for one in known.values() if one.journeys.scores])
    predicted = prediction(known, after, now)
    whole = tally.times.total()
    rows = [
        {
            "step": step,
            "probability": times / whole,
            "visits": tally.visits[step],
            "predicted": None if predicted is None else predicted.get(step, 0.0),
        }
        for step, times in ranked(tally)
    ]
    rest = rows[limit:]
    meta = {
        **meta_of_all(known),
        "total_rows": len(rows),
        "rest": {"steps": len(rest), "probability": sum(row["probability"] for row in rest)},
        "refused": refusal(scores),
    }
    return {"next": rows[:limit], "score": score_shown(scores), "meta": meta}


def read_after(parameters: QueryDict) -> list[str]:
    """The steps of `after`, oldest first. Raises QueryError."""
    after = parameters.getlist("after")
    if len(after) > STEPS_BACK:
        raise QueryError(
            "invalid_after", f"after names {len(after)} steps; give {STEPS_BACK} at most, oldest first.", "after"
        )
    if "" in after:
        raise QueryError(
            "invalid_after", "after '' is no step; a step is media:<id>, feature:<target>, or an action.", "after"
        )
    return after


def ranked(tally: Tally) -> list[tuple[Any, int]]:
    """Steps with their times, most first, ties by step; what has no name is last among them."""
    return sorted(tally.times.items(), key=lambda entry: (-entry[1], entry[0] is None, entry[0] or ""))


def prediction(known: dict[str, Known], after: Sequence[str], now: datetime) -> dict[str | None, float] | None:
    """The smoothed probability of each step after one or two, and of UNSEEN; None where none is given, or it is refused.

    Of several hubs: the mean of their predictions, each weighted by how often the last step was followed there.
    """
    if not after or refusal(together([one.journeys.scores for one in known.values() if one.journeys.scores])):
        return None
    if len(known) == 1:
        return next(iter(known.values())).journeys.predicted(after)
    mixed: dict[str | None, float] = {}
    weights = {hub: _weight(one, after[-1:], now) for hub, one in known.items() if not one.journeys.refusal}
    whole = sum(weights.values())
    for hub, weight in weights.items():
        share = weight / whole if whole else 1 / len(weights)
        for step, probability in known[hub].journeys.predicted(after).items() if share else ():
            mixed[step] = mixed.get(step, 0.0) + share * probability
    return mixed


def _weight(known: Known, after: Sequence[str], now: datetime) -> int:
    return sum(following(part, after, instant_ms(now)).times.total() for part in known.parts)


def score_shown(scores: Scores | None) -> dict[str, Any]:
    """The score as the API has it; null where none could be told."""
    if scores is None:
        nothing: dict[str, Any] = dict.fromkeys(SHOWN)
        return nothing | {"popularity": dict(nothing)}
    return scores.model.shown() | {"popularity": scores.popularity.shown()}


def meta_of_all(known: dict[str, Known]) -> dict[str, Any]:
    """What an answer says of itself: the oldest of its hubs' times, and the warnings of all."""
    metas = [one.meta for one in known.values()]
    untils = [meta["batch_until"] for meta in metas]
    return {
        "hubs": len(known),
        "visits": sum(len(part) for one in known.values() for part in one.parts),
        "batch_until": min(untils, default=None, key=_instant) if all(untils) else None,
        "as_of": min((meta["as_of"] for meta in metas), default=None, key=_instant),
        "trained_until": min((utc(one.trained_until) for one in known.values()), default=None, key=_instant),
        "exact": all(meta["exact"] for meta in metas),
        "provisional": any(meta["provisional"] for meta in metas),
        "source": "+".join(sorted({part for meta in metas for part in meta["source"].split("+")})),
        "warnings": list(dict.fromkeys(warning for meta in metas for warning in meta["warnings"])),
    }


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def evaluation(hub: Hub, now: datetime, progress: Progress = silent) -> dict[str, Any]:
    """How well the next step is predicted, from the raw events of a hub up to now, beside popularity and one step back."""
    progress("read", 0, 2)
    events, _current = events_at(hub, (0, LAST_MS), COLUMNS, JOURNEYS.where, [], now)
    visits = visits_of(events)
    progress("score", 1, 2)
    train, test = split(visits)
    found = journeys_of(visits, instant_ms(now))
    progress("score", 2, 2)
    return {
        "visits": {"train": len(train), "test": len(test)},
        **(found.scores.as_json() if found.scores else dict.fromkeys(NAMES)),
        "better_than": found.scores.gains() if found.scores else None,
        "smoothing": {steps: asdict(smoothing) for steps, smoothing in found.smoothings.items()},
        "refused": found.refusal,
    }
