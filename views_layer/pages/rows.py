"""The rows of a table, from one answer of the API."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from django.http import QueryDict
from django.utils.translation import gettext_lazy as lazy

from events.models import Hub, Media
from views_layer.ask import answer as ask
from views_layer.ask import every_row
from views_layer.pages.panels import Table
from views_layer.pages.selection import Selection
from views_layer.pages.wording import ABSENT_NUMBER, ABSENT_VALUES, MEDIA_KINDS, count, figure, percent, share, value_of
from views_layer.positions import completion, length_of
from views_layer.question import LIMIT

COLUMNS = {"page_reads": lazy("Reads"), "engaged_visits": lazy("Engaged")}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers; `url` orders the table by it, and is empty where nothing does; `direction` says whether it does already."""

    title: str
    definition: str
    url: str
    direction: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row. `bar` is the width of its bar in percent; `url` the page filtered by it, `page` that of the media itself."""

    label: str
    note: str
    link: str
    url: str
    page: str
    bar: str
    cells: list[str]
    share: str
    is_filtered: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as shown: `total` counts all rows of the question, `next_query` leads to those after these.

    `query` and `meta` are those of the answer.
    """

    columns: list[Column]
    rows: list[Row]
    total: int
    has_more: bool
    next_query: str
    shares_of: str
    query: dict
    meta: dict

    @property
    def total_text(self) -> str:
        return count(self.total)


def media_of(hub: Hub, keys: Collection[str]) -> dict[str, Media]:
    """What the catalogue knows of the media `keys`, in one query."""
    return {media.key: media for media in hub.media.filter(key__in=keys)} if keys else {}


Facts = tuple[int | None, float | None]
FACTS = (
    (lazy("Pages"), lazy("Pages of the media, as events say.")),
    (lazy("Completion"), lazy("The part of its pages that a visitor of the media saw, on average.")),
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the media of a table: the catalogue's, the addresses of their pages, and their facts."""

    media: dict[str, Media]
    urls: dict[str, str]
    facts: dict[str, Facts] = field(default_factory=dict)


def facts_of(media: dict[str, Media], visitors: dict[str, int], selection: Selection, now) -> dict[str, Facts]:
    """The pages of some media, and the mean part of them that one of their `visitors` saw; None where they have none."""
    if not media:
        return {}
    asked = selection.asked(["visitors"], now, by="media,page", limit=LIMIT)
    asked.setlist("media", [*media])
    readers: dict[str, dict[int, int]] = {key: {} for key in media}
    for row in every_row(selection.hub, asked, now):
        if row["page"] is not None:
            readers[row["media"]][row["page"]] = row["visitors"]
    return {
        key: (known.pages, completion(length_of(known.pages, readers[key]), visitors[key], readers[key]))
        for key, known in media.items()
    }


def filters_of(table: Table, selection: Selection) -> dict[str, list[str]] | None:
    """The table's own filters, narrowed by the page's on the same dimension; None where nothing can pass both."""
    filters: dict[str, list[str]] = {}
    for name, value in table.where:
        if name not in selection.filters or value in selection.filters[name]:
            filters.setdefault(name, []).append(value)
        else:
            filters.setdefault(name, [])
    return None if any(not values for values in filters.values()) else filters


def grid(
    table: Table,
    selection: Selection,
    metrics: dict[str, dict],
    parameters: QueryDict,
    limit: int,
    now,
    media_url: Callable[[str], str],
) -> Grid | None:
    """The rows of `table` in the order that `parameters` ask for; None where no row can be. Raises QueryError."""
    filters = filters_of(table, selection)
    if filters is None:
        return None
    order = parameters.get("order") or table.default_order
    asked = selection.asked([*table.measures], now, by=table.by, order=order, limit=limit)
    for name, values in filters.items():
        asked.setlist(name, values)
    if parameters.get("cursor"):
        asked["cursor"] = parameters.get("cursor", "")
    answer = ask(selection.hub, asked, now)
    ordered_by = order.lstrip("-") if order.lstrip("-") in table.measures else table.measures[0]
    results = [row for row in answer["results"] if not (table.hides_absent and row[table.by] is None)]
    keys = {row["media"] for row in results if row["media"]} if table.by == "media" else set()
    media = media_of(selection.hub, keys)
    columns = [_column(name, metrics, order, selection) for name in table.measures]
    known = Known(media, {key: url + selection.query(media=None) for key in media if (url := media_url(key))})
    if table.has_facts:
        columns += [Column(str(title), str(definition), "", "") for title, definition in FACTS]
        visitors = {row["media"]: row["visitors"] for row in results}
        known.facts.update(facts_of(media, visitors, selection, now))
    return Grid(
        columns=columns,
        rows=_rows(table, results, answer["totals"], ordered_by, metrics, selection, known),
        total=answer["meta"]["total_rows"] - _hidden(table, answer, asked, now, selection),
        has_more=bool(answer["meta"].get("next_cursor")),
        next_query=_next_query(selection, order, answer["meta"].get("next_cursor")),
        shares_of=metrics[ordered_by]["title"].lower(),
        query=answer["query"],
        meta=answer["meta"],
    )


def _hidden(table: Table, answer: dict, asked: QueryDict, now, selection: Selection) -> int:
    """How many rows of a question the table hides: the absent value is one, or none. It is asked for where pages are many."""
    if not table.hides_absent or "" not in asked.getlist(table.by, [""]):
        return 0
    if "cursor" not in asked and not answer["meta"].get("next_cursor"):
        return sum(row[table.by] is None for row in answer["results"])
    absent = asked.copy()
    absent.pop("cursor", None)
    absent[table.by] = ""
    return ask(selection.hub, absent, now)["meta"]["total_rows"]


def _next_query(selection: Selection, order: str, cursor: str | None) -> str:
    return selection.query(order=order, cursor=cursor) if cursor else ""


def _column(name: str, metrics: dict[str, dict], order: str, selection: Selection) -> Column:
    descending = order == f"-{name}"
    return Column(
        title=str(COLUMNS.get(name) or metrics[name]["title"]),
        definition=metrics[name]["definition"],
        url=selection.query(order=name if descending else f"-{name}"),
        direction="descending" if descending else "ascending" if order == name else "",
    )


def _rows(table, results, totals, measure, metrics, selection, known) -> list[Row]:
    widest = max((row[measure] or 0 for row in results), default=0)
    whole = totals.get(measure)
    return [_row(table, row, measure, metrics, selection, known, widest, whole) for row in results]


def _row(table, row, measure, metrics, selection, known, widest, whole) -> Row:
    value = row[table.by]
    media = known.media.get(value) if table.by == "media" else None
    kept = "" if value is None else _written(value)
    return Row(
        label=str(media) if media else _label(table.by, value),
        note=str(MEDIA_KINDS.get(media.kind, media.kind)) if media else "",
        link=value if table.by == "target" and str(value).startswith(("https://", "http://")) else "",
        url=selection.query(**{table.by: [kept]}),
        page=known.urls.get(value, "") if media else "",
        bar=f"{100 * (row[measure] or 0) / widest:.1f}" if widest else "0",
        cells=[figure(name, metrics[name]["unit"], row[name]) for name in table.measures]
        + (_fact_texts(known.facts.get(value)) if table.has_facts else []),
        share=share(row[measure], whole),
        is_filtered=kept in selection.filters.get(table.by, []),
    )


def _fact_texts(facts: Facts | None) -> list[str]:
    pages, part = facts or (None, None)
    return [count(pages) if pages else ABSENT_NUMBER, ABSENT_NUMBER if part is None else percent(part)]


def _written(value: object) -> str:
    """A dimension's value as its filter is written."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _label(dimension: str, value: object) -> str:
    text = value_of(dimension, value)
    if dimension == "target" and text not in ABSENT_VALUES.values():
        return text.removeprefix("https://").removeprefix("http://").removeprefix("www.")
    return text
