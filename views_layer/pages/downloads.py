"""Tables as files: every row of a table, as CSV that a spreadsheet opens."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

from views_layer.ask import answer, every_page
from views_layer.pages.panels import Panel, Table
from views_layer.pages.rows import FACTS, facts_of, filters_of, media_of
from views_layer.pages.selection import Selection
from views_layer.pages.wording import dimension_title, instant, metric_texts
from views_layer.question import LIMIT
from views_layer.tables import cell

BYTE_ORDER_MARK = "\ufeff"
"""Without it Excel takes UTF-8 for the code page of its machine."""


def download_chart(panel: Panel, selection: Selection, now: datetime) -> StreamingHttpResponse:
    """The key numbers of `panel` over time, a bucket in each line. Raises QueryError."""
    return _file(chart_lines(panel.figures, selection, now), f"{selection.hub.slug}-{panel.name}.csv")


def download_table(table: Table, panel: Panel, selection: Selection, now: datetime) -> StreamingHttpResponse:
    """Every row of `table`, in its default order. Raises QueryError before the first byte is sent."""
    return _file(table_lines(table, selection, now), f"{selection.hub.slug}-{panel.name}-{table.name}.csv")


def chart_lines(names: Sequence[str], selection: Selection, now: datetime) -> list[str]:
    """The lines of a file of some metrics over time. Raises QueryError."""
    metrics = metric_texts()
    asked = selection.asked([*names], now, interval=selection.interval(now))
    rows = answer(selection.hub, asked, now)["results"]
    return [
        BYTE_ORDER_MARK + _line([_("Time"), *(metrics[name]["title"] for name in names)]),
        *(_line([row["time"], *(row[name] for name in names)]) for row in rows if instant(row["time"]) <= now),
    ]


def table_lines(table: Table, selection: Selection, now: datetime) -> Iterator[str]:
    """The lines of a file of all rows of a table. Raises QueryError at once, not at the first line."""
    pages = _pages(table, selection, now)
    first = next(pages, [])
    return _lines(table, selection, chain([first], pages), now)


def csv_file(rows: Iterable[list], name: str) -> StreamingHttpResponse:
    """Rows as a file."""
    return _file((BYTE_ORDER_MARK * (not number) + _line(row) for number, row in enumerate(rows)), name)


def _file(lines: Iterable[str], name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _pages(table: Table, selection: Selection, now: datetime) -> Iterator[list[dict]]:
    """The rows of the table's question, a page of the API after the other."""
    filters = filters_of(table, selection)
    if filters is None:
        return
    asked = selection.asked(
        [*table.measures], now, by=",".join(table.dimensions), order=table.default_order, limit=LIMIT
    )
    for name, values in filters.items():
        asked.setlist(name, values)
    for page in every_page(selection.hub, asked, now):
        yield [row for row in page["results"] if not (table.hides_absent and row[table.by] is None)]


def _lines(table: Table, selection: Selection, pages: Iterable[list[dict]], now: datetime) -> Iterator[str]:
    metrics = metric_texts()
    names_media = table.by == "media"
    heading = [*map(dimension_title, table.dimensions), *([_("Title"), _("Kind")] if names_media else [])]
    facts_titles = [str(title) for title, _definition in FACTS] if table.has_facts else []
    yield BYTE_ORDER_MARK + _line([*heading, *(metrics[name]["title"] for name in table.measures), *facts_titles])
    for rows in pages:
        titles = media_of(selection.hub, {row["media"] for row in rows if row["media"]}) if names_media else {}
        visitors = {row[table.by]: row["visitors"] for row in rows} if table.has_facts else {}
        facts = facts_of(titles, visitors, selection, now) if table.has_facts else {}
        for row in rows:
            value = row[table.by]
            known = titles.get(value)
            named = [str(known or ""), known.kind if known else ""] if names_media else []
            counted = facts.get(value, (None, None)) if table.has_facts else ()
            yield _line(
                [*(row[name] for name in table.dimensions), *named, *(row[name] for name in table.measures), *counted]
            )


def _line(values: list) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(map(cell, values))
    return text.getvalue()
