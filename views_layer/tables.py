"""An answer as CSV."""

import csv
import io
from typing import Any

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_of(answer: dict[str, Any]) -> str:
    """The rows of an answer with a header line; null is an empty cell, earlier metrics are `previous.<metric>`.

    A text that a spreadsheet would take for a formula gets a leading apostrophe (OWASP, CSV injection).
    """
    query, rows = answer["query"], answer["results"]
    names = [*(["time"] if "interval" in query else []), *query.get("by", []), *query["metrics"]]
    earlier = [*query["metrics"]] if "compare" in query else []
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(map(cell, [*names, *(f"previous.{name}" for name in earlier)]))
    for row in rows:
        writer.writerow([cell(row[name]) for name in names] + [cell(row["previous"][name]) for name in earlier])
    return text.getvalue()


def cell(value: Any) -> Any:
    """A value as a cell: null is empty, booleans are small, and no text is a formula."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA_STARTS) else value
    return str(value).lower() if isinstance(value, bool) else value
