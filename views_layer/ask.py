"""Ask: a question's answer as the API and the pages show it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from zlib import crc32

from django.http import QueryDict

from aggregations.buckets import instant_ms, moment_of
from aggregations.cells import Cells, regroup
from aggregations.columns import value_order
from aggregations.metrics import catalogue, present, zero
from aggregations.rollups import HOUR_MS, rollup_named
from batch.rows import first_event_at
from batch.view_store import RowsGone, view_store
from events.connections import renew
from events.models import Hub
from views_layer import raw
from views_layer.gather import Gathered, gather, refuse_until_rebuilt, rollups_for
from views_layer.question import PROPERTY, QueryError, Question, cursor_text, read_question
from views_layer.seam import Moment, moment, verify

__all__ = ["QueryError", "answer", "beat", "live", "metric_catalogue", "utc"]

TRIES = 5
T = TypeVar("T")
HUB_ROLLUP = rollup_named("hub")
WITHOUT_BUFFERS = "The real-time buffers do not answer: the numbers end at the last batch run."
WITHOUT_ROWS = "The view rows are being rebuilt: the numbers come from the raw events."


def answer(hub: Hub, parameters: QueryDict, now: datetime) -> dict[str, Any]:
    """The answer to `parameters` (DESIGN, section 7) as JSON values. All its numbers are of one epoch and log position.

    Raises QueryError for a question that cannot be answered.
    """
    question = read_question(parameters, hub.timezone, now)

    def read() -> dict[str, Any]:
        current = moment(hub.slug, rollups_for(question), now)
        # Read after the moment: what was removed by then, it does not have.
        hub.refresh_from_db(fields=["events_since", "rows_since"])
        found = _answer(hub, question, current, parameters)
        verify(current, are_rows_unproved=found["meta"]["source"] == "raw")
        return found

    return steady(read)


def every_page(hub: Hub, parameters: QueryDict, now: datetime) -> Iterator[dict[str, Any]]:
    """The answers to `parameters`, page after page to the last row. Raises QueryError, before the first."""
    asked = parameters.copy()
    while True:
        found = answer(hub, asked, now)
        renew()  # whoever reads slowly keeps no connection of a pool
        yield found
        if not found["meta"]["next_cursor"]:
            return
        asked["cursor"] = found["meta"]["next_cursor"]


def every_row(hub: Hub, parameters: QueryDict, now: datetime) -> Iterator[dict[str, Any]]:
    """The rows of all pages of an answer. Raises QueryError, before the first row."""
    for page in every_page(hub, parameters, now):
        yield from page["results"]


def metric_catalogue() -> list[dict[str, Any]]:
    """Every metric with its name, title, definition, unit, whether rows may be added up, and its dimensions."""
    return [asdict(metric) | {"dimensions": list(metric.dimensions)} for metric in catalogue()]


def live(hub: Hub, now: datetime) -> dict[str, Any]:
    """The last minutes of a hub, without robots: visitors in five minutes, events a minute for thirty, media read."""
    return beat(hub, now)[0]


def beat(hub: Hub, now: datetime) -> tuple[dict[str, Any], str]:
    """What is live in a hub, and the version of its answers, both of one moment."""
    end = instant_ms(now)
    first_minute = end // 60_000 - 29
    span = (first_minute * 60_000, end + 1)

    def read() -> tuple[list[tuple], str]:
        current = moment(hub.slug, [HUB_ROLLUP], now)
        found = raw.rows(current, hub.slug, span, "occurred_at, visitor, media", "NOT is_bot")
        verify(current)
        return found, _version_of(current)

    found, version_then = steady(read)
    minutes: list[tuple[int, set[int]]] = [(0, set()) for _ in range(30)]
    recent: set[int] = set()
    media: dict[str, set[int]] = {}
    for occurred_at, visitor, key in found:
        number = occurred_at // 60_000 - first_minute
        minutes[number] = (minutes[number][0] + 1, minutes[number][1] | {visitor})
        if occurred_at > end - 300_000:
            recent.add(visitor)
            if key is not None:
                media.setdefault(key, set()).add(visitor)
    told = {
        "visitors": len(recent),
        "minutes": [
            {"time": utc(moment_of((first_minute + number) * 60_000)), "events": events, "visitors": len(visitors)}
            for number, (events, visitors) in enumerate(minutes)
        ],
        "media": [
            {"media": key, "visitors": len(visitors)}
            for key, visitors in sorted(media.items(), key=lambda entry: (-len(entry[1]), entry[0]))
        ],
    }
    return told, version_then


def version(hub: Hub, now: datetime) -> str:
    """Another text whenever answers about the hub may be others: an epoch was published, or an event of it applied."""

    def read() -> str:
        current = moment(hub.slug, [HUB_ROLLUP], now)
        verify(current)
        return _version_of(current)

    return steady(read)


def _version_of(current: Moment) -> str:
    """The version of answers about the hub whose buffers' cells a moment has."""
    events = sum(int(cells.columns["events"].sum()) for cells in current.cells.get("hub", []) if cells.size)
    return f"{current.epoch}.{events}"


def steady(read: Callable[[], T]) -> T:
    """What `read` gives; again where the rows that it began with were cleaned up meanwhile."""
    for _ in range(TRIES - 1):
        try:
            return read()
        except RowsGone:
            continue
    return read()


def _answer(hub: Hub, question: Question, current: Moment, parameters: QueryDict) -> dict[str, Any]:
    if question.start is None:
        question = replace(question, start=_first_event_at(hub, current, question.end))
    warnings: list[str] = []
    question = _kept_part(hub, question, warnings)
    question.refuse_many_buckets()
    earlier_question = question.earlier() if question.compare else None
    found = gather(hub, question, current)
    rows = _rows(question, found)
    totals = _totals(question, found)
    if earlier_question and _keeps_earlier(hub, earlier_question, warnings):
        earlier = gather(hub, earlier_question, current)
        _compare(question, rows, _rows(earlier_question, earlier))
        totals["previous"] = _totals(earlier_question, earlier)
    elif earlier_question:
        for row in [*rows, totals]:
            row["previous"] = dict.fromkeys(question.metrics)
    page, next_cursor = _page(question, _sorted(question, rows))
    return {
        "query": _query(hub, question, parameters),
        "results": [_shown(question, found.bounds, row) for row in page],
        "totals": totals,
        "meta": _meta(question, current, found, len(rows), next_cursor, warnings),
    }


def _kept_part(hub: Hub, question: Question, warnings: list[str]) -> Question:
    """The question without the time of which the hub keeps no numbers any more. Raises QueryError where nothing is left."""
    if hub.rows_since is None:
        return question
    since, shown = instant_ms(hub.rows_since), utc(hub.rows_since)
    if question.end <= since:
        raise QueryError("not_kept", f"{hub.slug} keeps numbers since {shown}; ask for a range that ends later.", "to")
    if question.start is not None and question.start < since:
        warnings.append(f"{hub.slug} keeps numbers since {shown}: the range begins there.")
        question = replace(question, start=since)
    return question


def _keeps_earlier(hub: Hub, earlier: Question, warnings: list[str]) -> bool:
    """True where the hub keeps all numbers of the earlier range; else a comparison would be with a part of it."""
    if hub.rows_since is None or (earlier.start or 0) >= instant_ms(hub.rows_since):
        return True
    warnings.append(f"{hub.slug} keeps numbers since {utc(hub.rows_since)}: there is nothing to compare with.")
    return False


def _first_event_at(hub: Hub, current: Moment, end: int) -> int:
    """The occurrence of the hub's first event; where there is none, a moment before `end`."""
    firsts = [int(cells.columns["first_at"].min()) for cells in current.cells.get("hub", []) if cells.size]
    if not current.has_rows:
        refuse_until_rebuilt(hub, 0)
        found = raw.rows(current, hub.slug, (0, end), "min(occurred_at)")
        return found[0][0] if found and found[0][0] is not None else end - 1
    first_at = first_event_at(view_store(), hub.slug, current.epoch)
    return min([*firsts, *([] if first_at is None else [first_at]), end - 1])


def _rows(question: Question, found: Gathered) -> list[dict[str, Any]]:
    """The rows of an answer: `bucket`, the dimensions, the metrics; zero-filled where there is no `by`."""
    cells = found.cells
    names = ["bucket", *question.by]
    columns: list[Sequence[str | int | float | None]] = [cells.keys[name].values() for name in names]
    columns += [present(cells, metric) for metric in question.metrics]
    rows = [dict(zip([*names, *question.metrics], values, strict=True)) for values in zip(*columns, strict=True)]
    for name in question.by:
        if name.startswith(PROPERTY):
            for row in rows:
                row[name] = raw.property_value(row[name])
    if question.by:
        return rows
    of_bucket = {row["bucket"]: row for row in rows}
    nothing = {metric: zero(metric) for metric in question.metrics}
    count = len(found.bounds) - 1 if question.interval else 1
    return [of_bucket.get(bucket, {"bucket": bucket} | nothing) for bucket in range(count)]


def _totals(question: Question, found: Gathered) -> dict[str, Any]:
    cells = found.cells
    if cells.size == 0:
        return {metric: zero(metric) for metric in question.metrics}
    whole: Cells = regroup([(cells, {}, None)], found.measures)
    return {metric: present(whole, metric)[0] for metric in question.metrics}


def _compare(question: Question, rows: list[dict[str, Any]], earlier: list[dict[str, Any]]) -> None:
    """Give each row `previous`: the earlier row of the same dimensions in the bucket of the same number."""

    def key(row: dict[str, Any]) -> tuple:
        return (row["bucket"], *((type(row[name]), row[name]) for name in question.by))

    of_key = {key(row): row for row in earlier}
    for row in rows:
        match = of_key.get(key(row))
        row["previous"] = {m: match[m] if match else zero(m) for m in question.metrics}


def _order(question: Question) -> Sequence[tuple[str, bool]]:
    """What rows are sorted by, and whether it descends: the order asked for, else time, else the first metric."""
    if question.order or question.interval:
        return question.order
    return ((question.metrics[0], True),)


def _sort_key(question: Question, row: dict[str, Any]) -> list:
    """What rows are sorted by: the order asked for with nulls last, then time, then dimensions. JSON values only."""
    key: list = []
    for name, is_descending in _order(question):
        value = row["bucket"] if name == "time" else row[name]
        if isinstance(value, str):
            key.append([value is None, *_text_order(value, is_descending)])
        else:
            key.append([value is None, 0, 0 if value is None else -value if is_descending else value])
    return [*key, row["bucket"], *(_dimension_order(row[name]) for name in question.by)]


def _text_order(text: str, is_descending: bool) -> list:
    return [1, [-ord(letter) for letter in text] + [1]] if is_descending else [1, [ord(letter) for letter in text]]


def _dimension_order(value: Any) -> list:
    if isinstance(value, bool):
        return [1, 0, int(value)]
    is_set, is_text, shown = value_order(value)
    return [int(not is_set), int(is_text) + 1, shown if is_set else 0]


def _sorted(question: Question, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(_leading(question, rows), key=lambda row: _sort_key(question, row))


def _leading(question: Question, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that can be on the first page or start the next, by the first metric of the order alone.

    A sort key takes microseconds, and a question of two dimensions has tens of thousands of rows.
    """
    name, is_descending = next(iter(_order(question)), ("", False))
    if question.cursor is not None or name not in question.metrics or len(rows) <= question.limit:
        return rows
    best = sorted((row[name] for row in rows if row[name] is not None), reverse=is_descending)
    if len(best) <= question.limit:
        return rows
    last = best[question.limit]
    return [
        row for row in rows if row[name] is not None and (row[name] >= last if is_descending else row[name] <= last)
    ]


def _page(question: Question, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str | None]:
    """The rows after the cursor, and the cursor of the next page."""
    if question.cursor is not None:
        try:
            mark, *after = question.cursor
            if mark != _question_mark(question):
                raise TypeError
            rows = [row for row in rows if _sort_key(question, row) > after]
        except (TypeError, ValueError):
            raise QueryError(
                "invalid_cursor", "This cursor is of another question; ask the same one as before.", "cursor"
            ) from None
    page = rows[: question.limit]
    more = len(rows) > question.limit
    return page, cursor_text([_question_mark(question), *_sort_key(question, page[-1])]) if more else None


def _question_mark(question: Question) -> int:
    """Tells questions apart whose rows are in different orders, for a cursor."""
    asked = (
        question.metrics,
        question.by,
        question.interval,
        question.order,
        sorted(question.filters.items(), key=repr),
    )
    return crc32(repr(asked).encode())


def _shown(question: Question, bounds: list[int], row: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if question.interval:
        shown["time"] = moment_of(bounds[row["bucket"]]).astimezone(question.zone).isoformat(timespec="seconds")
    names = [*question.by, *question.metrics, *(["previous"] if question.compare else [])]
    return shown | {name: row[name] for name in names}


def _query(hub: Hub, question: Question, parameters: QueryDict) -> dict[str, Any]:
    assert question.start is not None
    query: dict[str, Any] = {
        "hub": hub.slug,
        "metrics": list(question.metrics),
        "from": utc(moment_of(question.start)),
        "to": utc(moment_of(question.end)),
        "timezone": str(question.zone),
    }
    for name in ("period", "interval", "robots", "compare", "order"):
        if parameters.get(name):
            query[name] = parameters[name]
    if question.by:
        query["by"] = list(question.by)
    if question.filters:
        query["filters"] = {name: list(values) for name, values in question.filters.items()}
    return query


def _meta(
    question: Question,
    current: Moment,
    found: Gathered,
    total_rows: int,
    next_cursor: str | None,
    warnings: list[str],
) -> dict[str, Any]:
    warnings = warnings + ([] if current.has_buffers else [WITHOUT_BUFFERS])
    warnings += [] if current.has_rows else [WITHOUT_ROWS]
    cut_ms = instant_ms(current.cut_at) if current.cut_at else 0
    source = "raw" if found.is_raw else "views+buffers" if found.used_buffers else "views"
    return {
        "batch_until": utc(current.cut_at) if current.cut_at else None,
        "as_of": utc(current.as_of),
        "exact": current.has_buffers,
        "provisional": found.is_provisional or question.end > cut_ms - cut_ms % HOUR_MS,
        "source": source,
        "total_rows": total_rows,
        "next_cursor": next_cursor,
        "warnings": warnings,
    }


def utc(at: datetime) -> str:
    """ISO 8601 in UTC with Z; milliseconds only where there are some."""
    at = at.astimezone(UTC)
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")
