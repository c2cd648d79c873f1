"""Who brought the readers, as a page: credits, seven models side by side, paths, amounts, statements.

For the link of an intermediary a page of his own, on which nothing of others stands.
"""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
from babel.numbers import format_currency
from django.http import Http404, HttpResponse, HttpResponseBase
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from aggregations.buckets import moment_of
from insights.retribution import MILLION, VISITS, Paths, common_paths, credits, listed
from insights.statement import Line
from views_layer.ask import answer as ask
from views_layer.ask import utc
from views_layer.insights import Visited, read_goal, read_model, visited
from views_layer.models import Statement, in_units
from views_layer.pages.downloads import csv_file
from views_layer.pages.panels import RETRIBUTION
from views_layer.pages.selection import Choice, Selection
from views_layer.pages.trust import reliance
from views_layer.pages.viewer import Request, Viewer
from views_layer.pages.whole import Found, page_of
from views_layer.pages.wording import ABSENT_NUMBER, count, dated, decimal, locale, share, value_of
from views_layer.statements import lines_of, model_of, owed

ROWS_SHOWN = 100
PATHS_SHOWN = 20
GOALS_SHOWN = 30
STATEMENTS_SHOWN = 60

MODEL_TEXTS: dict[str, tuple[str | Promise, str | Promise]] = {
    "last": (lazy("Last"), lazy("All of a goal to the last intermediary before it.")),
    "first": (lazy("First"), lazy("All of a goal to the first intermediary of its path.")),
    "linear": (lazy("Linear"), lazy("Each visit of the path an equal part.")),
    "position": (lazy("Position"), lazy("40% to the first, 40% to the last, 20% to those between; halves where there are two.")),
    "time_decay": (lazy("Time decay"), lazy("Half as much for each seven days between a visit and the goal.")),
    "shapley": (lazy("Shapley"), lazy("Each intermediary of the path an equal part, however often it came.")),
    "markov": (lazy("Markov"), lazy("By how many goals would be lost without it, in the chain of all paths.")),
}  # fmt: skip
"""Title and definition of each model, in order."""


@page_of(RETRIBUTION)
def retribution(request: Request, viewer: Viewer, selection: Selection, now: datetime) -> Found:
    """The page of the hub, or that of an intermediary; one of its tables, or a statement, as a file."""
    if "statement" in request.GET and viewer.sees_all:
        return _statement_file(viewer, request.GET["statement"], request.GET.get("format", ""))
    goal, model = read_goal(request.GET), _model(request, viewer)
    found = visited(viewer.hub, selection.unfiltered(), now)
    if request.GET.get("format") == "csv":
        return _download(request.GET.get("table", ""), viewer, found, goal, model)
    template, parts = ("retribution", _page) if viewer.sees_all else ("intermediary", _page_of_intermediaries)
    common = _common(viewer, found, selection, goal, model, now)
    return template, common | parts(viewer, found, selection, goal, model)


def _model(request: Request, viewer: Viewer) -> str:
    """The model asked for, else that of the hub's statements. Raises QueryError."""
    return read_model(request.GET) if request.GET.get("model") else model_of(viewer.hub)


def _common(
    viewer: Viewer, found: Visited, selection: Selection, goal: str, model: str, now: datetime
) -> dict[str, Any]:
    start = found.start or min(_starts(viewer, found), default=found.end - 1)
    query = {"from": utc(moment_of(start)), "to": utc(moment_of(found.end))}
    return reliance(query, found.meta, viewer, selection, now) | {
        "goal": _goal_title(goal),
        "goals": _goals(selection, goal, now),
        "models": [
            Choice(str(title), selection.query(model=name), name == model, name)
            for name, (title, _definition) in MODEL_TEXTS.items()
        ],
        "model_title": MODEL_TEXTS[model][0],
        "model_definition": MODEL_TEXTS[model][1],
        "meanings": list(MODEL_TEXTS.values()),
    }


def _starts(viewer: Viewer, found: Visited) -> list[int]:
    """When the visits began that the viewer may know of."""
    visits = found.visits
    if viewer.sees_all:
        return visits.start.tolist()
    own = [number for number, name in enumerate(visits.names) if name in viewer.intermediaries]
    return visits.start[np.isin(visits.by, own)].tolist()


def _goals(selection: Selection, goal: str, now: datetime) -> list[Choice]:
    """Visits, and the actions of the period, most frequent first."""
    asked = selection.unfiltered(metrics="events", by="action", order="-events", limit=GOALS_SHOWN)
    for name, values in selection.forced.items():
        asked.setlist(name, values)
    actions = [row["action"] for row in ask(selection.hub, asked, now)["results"]]
    names = dict.fromkeys([VISITS, *actions, goal])
    return [Choice(_goal_title(name), selection.query(goal=name), name == goal) for name in names]


def _goal_title(goal: str) -> str:
    return _("Visits") if goal == VISITS else value_of("action", goal)


def _page(viewer: Viewer, found: Visited, selection: Selection, goal: str, model: str) -> dict[str, Any]:
    """The parts that are about all intermediaries."""
    paths = found.visits.paths(goal, found.start, found.end)
    by_model = _by_model(paths)
    dealt = listed(paths, by_model[model])
    amounts = _amounts(owed(viewer.hub, found.visits, model, found.start, found.end), goal)
    table = _side_by_side(by_model)
    url = viewer.url(RETRIBUTION.name)
    return {
        "total": count(paths.count),
        "credits": [
            {
                "label": value_of("intermediary", row["intermediary"]),
                "bar": f"{100 * row['credit'] / dealt[0]['credit']:.1f}",
                "credit": _credit(row["credit"]),
                "part": share(row["credit"], paths.count),
                "amount": amounts.get(row["intermediary"], ""),
            }
            for row in dealt[:ROWS_SHOWN]
        ],
        "credit_count": len(dealt),
        "has_amounts": bool(amounts),
        "side_by_side": [(name, [_credit(part) for part in parts]) for name, parts in table[:ROWS_SHOWN]],
        "paths": [
            ([*names], count(number), share(number, paths.count)) for names, number in common_paths(paths, PATHS_SHOWN)
        ],
        "path_count": count(len(paths.sequences) + bool(paths.direct)),
        "statements": [_statement_row(statement) for statement in _statements(viewer)],
        "statement_url": url + selection.query() + "&statement=",
        "csv": {name: url + selection.query(format="csv", table=name) for name in TABLES},
    }


def _by_model(paths: Paths) -> dict[str, dict[str, int]]:
    return {name: credits(paths, name) for name in MODEL_TEXTS}


def _side_by_side(by_model: dict[str, dict[str, int]]) -> list[tuple[str, list[float]]]:
    """Each intermediary with its credit by each model; those with most by the first model first, then by name."""
    names = {name for dealt in by_model.values() for name in dealt}
    rows = [(name, [dealt.get(name, 0) / MILLION for dealt in by_model.values()]) for name in names]
    return sorted(rows, key=lambda row: (-row[1][0], row[0]))


def _credit(credit: float) -> str:
    return decimal(credit) if credit else ABSENT_NUMBER


def _amounts(lines: list[tuple[str, Line]], goal: str | None) -> dict[str, str]:
    """What each intermediary is owed of a goal, of all goals where it is None; in two currencies where it is so."""
    sums: dict[tuple[str, str], int] = {}
    for currency, line in lines:
        if goal in (None, line.goal):
            key = (line.intermediary, currency)
            sums[key] = sums.get(key, 0) + line.amount
    found: dict[str, str] = {}
    for (name, currency), amount in sums.items():
        text = _money(in_units(amount, currency), currency)
        found[name] = f"{found[name]} + {text}" if name in found else text
    return found


def _money(amount: Decimal, currency: str) -> str:
    return format_currency(amount, currency, locale=locale())


def _statements(viewer: Viewer) -> list[Statement]:
    """The statements of a hub, latest first."""
    issued = Statement.objects.filter(hub=viewer.hub).defer("pdf", "csv")
    return list(issued.order_by("-month")[:STATEMENTS_SHOWN])


def _statement_row(statement: Statement) -> dict[str, Any]:
    return {
        "month": dated(statement.month, "MMMM y"),
        "key": f"{statement.month:%Y-%m}",
        "number": statement.number,
        "model": MODEL_TEXTS[statement.model][0],
        "total": _money(statement.money(statement.total), statement.currency),
        "corrections": len(statement.corrections),
        "issued_at": statement.issued_at,
    }


def _statement_file(viewer: Viewer, month: str, form: str) -> HttpResponse:
    """An issued statement as CSV or PDF. Raises Http404."""
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError:
        first = date.min
    issued = Statement.objects.filter(hub=viewer.hub, month=first).first()
    if issued is None or form not in {"csv", "pdf"}:
        raise Http404(_("There is no statement of %(month)s here.") % {"month": month})
    types = {"csv": "text/csv; charset=utf-8", "pdf": "application/pdf"}
    response = HttpResponse(bytes(issued.pdf) if form == "pdf" else issued.csv, content_type=types[form])
    response["Content-Disposition"] = f'attachment; filename="{issued.name}.{form}"'
    return response


# The page of an intermediary: from all that is computed, only rows of his own are taken.


def _page_of_intermediaries(
    viewer: Viewer, found: Visited, selection: Selection, goal: str, model: str
) -> dict[str, Any]:
    """What the codes of a link see of themselves: credits, amounts and lines of statements. No totals, no parts."""
    codes = viewer.intermediaries
    paths = found.visits.paths(goal, found.start, found.end)
    by_model = _by_model(paths)
    amounts = _amounts(owed(viewer.hub, found.visits, model, found.start, found.end), None)
    url = viewer.url(RETRIBUTION.name)
    return {
        "intermediaries": [
            {
                "code": code,
                "credits": [
                    (title, _credit(by_model[name].get(code, 0) / MILLION))
                    for name, (title, _definition) in MODEL_TEXTS.items()
                ],
                "amount": amounts.get(code, ABSENT_NUMBER),
            }
            for code in codes
        ],
        "lines": [
            {
                "month": dated(statement.month, "MMMM y"),
                "intermediary": row["intermediary"],
                "what": _what(row),
                "credit": _credit(row["credit"]) if row["credit"] is not None else "",
                "amount": _money(statement.money(row["amount"]), statement.currency),
            }
            for statement, row in _own_lines(viewer)
        ],
        "csv": {"statements": url + selection.query(format="csv", table="statements")},
    }


def _own_lines(viewer: Viewer) -> Iterator[tuple[Statement, dict[str, Any]]]:
    """The lines and corrections of statements that are of the codes of a link, latest month first."""
    codes = viewer.intermediaries
    for statement in _statements(viewer):
        for line in lines_of(statement):
            if line.intermediary in codes:
                yield (
                    statement,
                    {
                        "intermediary": line.intermediary,
                        "goal": line.goal,
                        "of_month": "",
                        "credit": line.credit / MILLION,
                        "amount": line.amount,
                    },
                )
        for one in statement.corrections:
            if one["intermediary"] in codes:
                yield (
                    statement,
                    {
                        "intermediary": one["intermediary"],
                        "goal": "",
                        "of_month": one["month"],
                        "credit": None,
                        "amount": one["new"] - one["old"],
                    },
                )


def _what(row: dict[str, Any]) -> str:
    return _("Correction of %(month)s") % {"month": row["of_month"]} if row["of_month"] else _goal_title(row["goal"])


def _download(name: str, viewer: Viewer, found: Visited, goal: str, model: str) -> HttpResponseBase:
    """Every row of a table, of those that the viewer may see. Raises Http404 for one that there is not."""
    tables = TABLES if viewer.sees_all else {"statements": _own_rows}
    if name not in tables:
        raise Http404(f"There is no table {name!r}; use {', '.join(tables)}.")
    rows = tables[name](viewer, found, goal, model)
    return csv_file(rows, f"{viewer.hub.slug}-retribution-{name}.csv")


def _credit_rows(viewer: Viewer, found: Visited, goal: str, model: str) -> Iterator[list]:
    """An intermediary that is owed in two currencies has a row for each, with its credit in the first."""
    sums: dict[str, dict[str, int]] = {}
    for currency, line in owed(viewer.hub, found.visits, model, found.start, found.end):
        if line.goal == goal:
            own = sums.setdefault(line.intermediary, {})
            own[currency] = own.get(currency, 0) + line.amount
    paths = found.visits.paths(goal, found.start, found.end)
    yield [_("Intermediary"), _("Credit"), _("Amount"), _("Currency")]
    for row in listed(paths, credits(paths, model)):
        name, owing = row["intermediary"], [*sums.get(row["intermediary"], {}).items()]
        if not owing:
            yield [name, row["credit"], None, None]
        for place, (currency, amount) in enumerate(owing):
            yield [name, None if place else row["credit"], in_units(amount, currency), currency]


def _model_rows(viewer: Viewer, found: Visited, goal: str, model: str) -> Iterator[list]:
    yield [_("Intermediary"), *(str(title) for title, _definition in MODEL_TEXTS.values())]
    for name, parts in _side_by_side(_by_model(found.visits.paths(goal, found.start, found.end))):
        yield [name, *parts]


def _path_rows(viewer: Viewer, found: Visited, goal: str, model: str) -> Iterator[list]:
    paths = found.visits.paths(goal, found.start, found.end)
    yield [_("Path"), _("Goals")]
    for names, number in common_paths(paths, paths.count):
        yield [" > ".join(names) or None, number]


def _own_rows(viewer: Viewer, found: Visited, goal: str, model: str) -> Iterator[list]:
    yield [_("Month"), _("Intermediary"), _("Goal"), _("Correction of"), _("Credit"), _("Amount"), _("Currency")]
    for statement, row in _own_lines(viewer):
        amount = statement.money(row["amount"])
        names = ("intermediary", "goal", "of_month", "credit")
        yield [f"{statement.month:%Y-%m}", *(row[name] for name in names), amount, statement.currency]


TABLES = {"credits": _credit_rows, "models": _model_rows, "paths": _path_rows}
"""What can be had as CSV of the whole hub."""
