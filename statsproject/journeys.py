"""The admin's pages of journeys: what comes before and after any step, where visits end, what follows features."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone

from aggregations.buckets import instant_ms
from batch.view_store import RowsGone
from events.models import Hub
from insights.journeys.flow import START, Ends, Tally, after_features, ends, following, preceding, total
from insights.journeys.lesson import UNSEEN, refusal
from insights.journeys.score import Score, Scores, together
from insights.journeys.visits import EXIT, FEATURE
from views_layer.insights import RANGE
from views_layer.journeys import Known, asked, meta_of_all, prediction, ranked, read_after
from views_layer.pages.wording import count, instant
from views_layer.question import QueryError, refuse_all_but

PERIODS = {"7d": "7 days", "30d": "30 days", "12mo": "12 months", "all": "All time"}
ORDERS = {"taken": "Most taken first", "exits": "Most ends first", "rate": "Highest drop-off first"}
ROWS = 100
"""Rows of a table before the rest is summed up; `all=1` shows every one."""
PREDICTED = 10
FOLLOWERS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """A step in a table; `address` leads to the page about it, None where nothing can be asked of it."""

    name: str
    address: str | None
    count: str
    share: str
    width: int
    visits: str = ""
    ends: str = ""
    drop_off: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """The rows of a table, and what is left out of it."""

    rows: list[Row]
    rest_steps: int
    rest_count: str
    rest_share: str


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature by its use, and what follows it most."""

    name: str
    address: str
    count: str
    visits: str
    followers: list[tuple[str, str | None, str]]
    more: int


@dataclass(frozen=True, slots=True)
class Page:
    """What one page is made from."""

    known: dict[str, Known]
    after: list[str]
    parameters: QueryDict
    now: datetime

    @property
    def _parts(self) -> Iterable[Any]:
        return [part for one in self.known.values() for part in one.parts]

    @property
    def _at(self) -> int:
        return instant_ms(self.now)

    def context(self) -> dict[str, Any]:
        """What the template shows."""
        meta = meta_of_all(self.known)
        scores = together([one.journeys.scores for one in self.known.values() if one.journeys.scores])
        return {
            "meta": meta,
            "visits": count(meta["visits"]),
            "as_of": instant(meta["as_of"]) if meta["as_of"] else None,
            "trained_until": instant(meta["trained_until"]) if meta["trained_until"] else None,
            "scores": _scores(scores),
            "predicted_steps": count(scores.model.predicted) if scores else "0",
            "refused": refusal(scores),
            **(self._of_step() if self.after else self._of_all()),
        }

    def _of_all(self) -> dict[str, Any]:
        tally = total(following(part, [], self._at) for part in self._parts)
        found = sum((ends(part, self._at) for part in self._parts), Ends())
        order = self.parameters.get("order", "taken")
        keys = {
            "taken": lambda step: (-tally.times[step], step),
            "exits": lambda step: (-found.exits[step], step),
            "rate": lambda step: (-_part(found.exits[step], found.reached[step]), -found.exits[step], step),
        }
        steps = sorted((step for step in tally.times if step != EXIT), key=keys[order])
        return {
            "steps": self._listed([(step, tally.times[step]) for step in steps], tally.visits, [], found),
            "features": self._features(),
            "orders": [(title, self._address(order=name), name == order) for name, title in ORDERS.items()],
        }

    def _features(self) -> list[Feature]:
        followed: dict[str, Tally] = {}
        for part in self._parts:
            for name, tally in after_features(part, self._at).items():
                followed[name] = followed.get(name, Tally()) + tally
        used = total(following(part, [], self._at) for part in self._parts)
        features = [(step, times) for step, times in ranked(used) if step.startswith(FEATURE)]
        return [self._feature(step, times, used.visits[step], followed.get(step, Tally())) for step, times in features]

    def _feature(self, step: str, times: int, visits: int, followed: Tally) -> Feature:
        whole = followed.times.total()
        return Feature(
            name=step.removeprefix(FEATURE),
            address=self._address(after=[step]),
            count=count(times),
            visits=count(visits),
            followers=[
                (_named(name), self._next(name, [step]), _percent(_part(often, whole)))
                for name, often in ranked(followed)[:FOLLOWERS]
            ],
            more=max(len(followed.times) - FOLLOWERS, 0),
        )

    def _of_step(self) -> dict[str, Any]:
        after = total(following(part, self.after, self._at) for part in self._parts)
        reached, exits = after.times.total(), after.times[EXIT]
        found = prediction(self.known, self.after, self.now)
        context = {
            "after": [(step, self._address(after=[step])) for step in self.after],
            "following": self._listed(ranked(after), after.visits, self.after),
            "reached": count(reached),
            "exits": count(exits),
            "drop_off": _percent(_part(exits, reached)),
            "predicted": None if found is None else self._predicted(found),
        }
        if len(self.after) == 1:
            before = total(preceding(part, self.after[0], self._at) for part in self._parts)
            context["preceding"] = self._listed(ranked(before), before.visits, None)
        return context

    def _predicted(self, found: dict[str | None, float]) -> Listed:
        """The likeliest steps, and what is left to all others."""
        ordered = sorted(found, key=lambda step: (-found[step], step is UNSEEN, step or ""))
        most = found[ordered[0]] if ordered else 1.0
        rows = [
            Row(
                name="A step that was never seen before" if step is UNSEEN else _named(step),
                address=None if step is UNSEEN else self._next(step, self.after),
                count="",
                share=_percent(found[step]),
                width=round(100 * found[step] / most),
            )
            for step in ordered[:PREDICTED]
        ]
        rest = ordered[PREDICTED:]
        return Listed(rows, len(rest), "", _percent(sum(found[step] for step in rest)))

    def _listed(
        self,
        entries: Sequence[tuple[Any, int]],
        visits: Counter[Any],
        after: list[str] | None,
        found: Ends | None = None,
    ) -> Listed:
        """A table of steps; they come after `after`, or with None before the step of the page."""
        whole = sum(times for _, times in entries)
        most = max((times for _, times in entries), default=0)
        shown = len(entries) if "all" in self.parameters else ROWS
        rows = [
            Row(
                name=_named(step),
                address=self._before(step) if after is None else self._next(step, after),
                count=count(times),
                share=_percent(_part(times, whole)),
                width=round(100 * times / most),
                visits=count(visits[step]),
                ends=count(found.exits[step]) if found else "",
                drop_off=_percent(_part(found.exits[step], found.reached[step])) if found else "",
            )
            for step, times in entries[:shown]
        ]
        rest = [times for _, times in entries[shown:]]
        return Listed(rows, len(rest), count(sum(rest)), _percent(_part(sum(rest), whole)))

    def _next(self, step: str, after: Sequence[str]) -> str | None:
        """The page of a step that came after others."""
        return None if step == EXIT else self._address(after=[*after, step][-2:])

    def _before(self, step: str | None) -> str | None:
        """The page of a step that came before the one of this page, and that one."""
        return None if step is START or self.after == [EXIT] else self._address(after=[step, *self.after])

    def _address(self, **changed: Any) -> str:
        other = self.parameters.copy()
        for name, value in changed.items():
            other.setlist(name, value if isinstance(value, list) else [value])
        if "after" in changed:
            other.pop("all", None)
        return "?" + other.urlencode()


@dataclass(frozen=True, slots=True)
class Scored:
    """A row of the table of scores."""

    name: str
    top1: str
    top3: str
    log_loss: str
    calibration_error: str


def _scores(scores: Scores | None) -> list[Scored]:
    if scores is None:
        return []
    named = (
        ("The last two steps", scores.model),
        ("Popularity", scores.popularity),
        ("The last step alone, without smoothing", scores.one_step),
    )
    return [_scored(name, score) for name, score in named]


def _scored(name: str, score: Score) -> Scored:
    return Scored(
        name, _percent(score.top1), _percent(score.top3), f"{score.log_loss:.3f}", _percent(score.calibration_error)
    )


def _named(step: str | None) -> str:
    if step is START:
        return "Start of the visit"
    return "End of the visit" if step == EXIT else step


def _part(some: int, whole: int) -> float:
    return some / whole if whole else 0.0


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"


def page(request: HttpRequest) -> HttpResponse:
    """The page of all steps, or of what comes before and after some; counted as GET /api/journeys counts."""
    context = admin.site.each_context(request) | {"title": "Journeys", "all_time": "?period=all"}
    now = timezone.now()
    try:
        parameters = _read(request.GET)
        after = read_after(parameters)
        made = Page(asked(parameters, now).known(), after, request.GET, now).context()
    except QueryError as error:
        return render(request, "admin/journeys.html", context | {"error": str(error)}, status=400)
    except RowsGone:
        told = "Rows or raw events are being computed again; reload soon."
        return render(request, "admin/journeys.html", context | {"error": told}, status=503)
    chosen = {name: parameters.get(name, "") for name in ("hub", "period")}
    context |= made | {
        "hubs": [(slug, slug == chosen["hub"]) for slug in Hub.objects.order_by("slug").values_list("slug", flat=True)],
        "periods": [(name, title, name == (chosen["period"] or "all")) for name, title in PERIODS.items()],
        "home": Page({}, [], request.GET, now)._address(after=[]),
        "everything": "?" + _with_all(request.GET),
    }
    return render(request, "admin/journeys.html", context)


def _read(parameters: QueryDict) -> QueryDict:
    """The parameters of the page. Raises QueryError."""
    refuse_all_but(parameters, "hub", "after", "order", "all", *RANGE)
    if parameters.get("order", "taken") not in ORDERS:
        raise QueryError(
            "invalid_order", f"order {parameters['order']!r} is unknown; use one of {', '.join(ORDERS)}.", "order"
        )
    return parameters


def _with_all(parameters: QueryDict) -> str:
    other = parameters.copy()
    other["all"] = "1"
    return other.urlencode()
