"""Raw events at a moment: the archive's files up to its cut, and the log's tail from there to its mark."""

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from aggregations.cells import Cells
from aggregations.measures import Measure
from batch import archive
from batch.engine import Span, raw_engine
from events.log import Chunk, Position, at_or_before, event_log
from views_layer.seam import Moment

PROPERTY = "properties."
ROBOTS = {"exclude": "NOT is_bot", "include": "true", "only": "is_bot"}
"""The SQL of a question's `robots`."""
BYTES_AT_MOST = 128 * 1024 * 1024
"""What a process keeps of the log's tail; about 400,000 events."""
TABLES_AT_MOST = 64


class Kept:
    """The events of one hub after a cut, in tables, and their bytes. `lock` is held by the one that reads on."""

    def __init__(self, cut: Position) -> None:
        self.lock = threading.Lock()
        self.is_too_large = False
        self.start_at(cut)

    def start_at(self, position: Position) -> None:
        """Hold nothing, read as far as `position`."""
        self.read_to, self.tables, self.size = position, list[pa.Table](), 0

    def add(self, table: pa.Table) -> None:
        self.tables.append(table)
        self.size += table.get_total_buffer_size()
        if len(self.tables) > TABLES_AT_MOST:
            self.tables = [pa.concat_tables(self.tables).combine_chunks()]
            self.size = self.tables[0].get_total_buffer_size()


class Tail:
    """The log after a cut, by hub: the events of those hubs alone that were asked for, in at most `bytes_at_most`.

    Each hub's part is read on by itself, so that nobody waits for a question of another hub. Where they exceed the
    bound, the hubs asked for longest ago are let go, and read again from the cut when they are asked for; a hub that
    exceeds it alone is not kept but read for each question. While a hub is read it may hold more. A later cut starts anew.
    """

    def __init__(self, bytes_at_most: int = BYTES_AT_MOST) -> None:
        self._bytes_at_most = bytes_at_most
        self._lock = threading.Lock()
        """Never held while something is read."""
        self._cut: Position | None = None
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def table(self, hub: str, cut: Position, mark: Position) -> pa.Table | None:
        """The hub's events after `cut` up to `mark`; None where there are none."""
        if cut == mark:
            return None
        kept = self._kept_of(hub, cut)
        with kept.lock:
            tables = self._tables(kept, hub, cut, mark)
        if tables is None:
            tables = list(_tables_of(hub, cut, mark))
        return pa.concat_tables(tables) if tables else None

    def size(self) -> int:
        """The bytes of what is kept."""
        return sum(kept.size for kept in self._kept.values())

    def _kept_of(self, hub: str, cut: Position) -> Kept:
        """What is kept of a hub, which was asked for last from now on."""
        with self._lock:
            if self._cut != cut:
                self._cut = cut
                self._kept.clear()
            kept = self._kept.setdefault(hub, Kept(cut))
            self._kept.move_to_end(hub)
            return kept

    def _tables(self, kept: Kept, hub: str, cut: Position, mark: Position) -> list[pa.Table] | None:
        """The hub's events, read on up to `mark`; None where they are not kept, or `mark` lies before what was read."""
        if kept.is_too_large or not at_or_before(kept.read_to, mark):
            return None
        try:
            for table in _tables_of(hub, kept.read_to, mark):
                kept.add(table)
                self._let_go()
        except Exception:
            kept.start_at(cut)  # some of the tables may be there already
            raise
        kept.read_to = mark
        tables = list(kept.tables)
        if kept.size > self._bytes_at_most:
            kept.is_too_large = True
            kept.start_at(cut)
        return tables

    def _let_go(self) -> None:
        """Let go the hubs asked for longest ago, all but one, while there is too much."""
        with self._lock:
            while len(self._kept) > 1 and self.size() > self._bytes_at_most:
                self._kept.popitem(last=False)


def _tables_of(hub: str, after: Position, until: Position) -> Iterator[pa.Table]:
    """A hub's events of a range of the log."""
    return archive.tables(_of_hub(event_log().read(after, until), hub))


def _of_hub(chunks: Iterable[Chunk], hub: str) -> Iterator[Chunk]:
    """Chunks with the events of a hub alone."""
    for chunk in chunks:
        yield replace(chunk, events=[event for event in chunk.events if event.hub == hub])


_tail = Tail()


def fold(
    moment: Moment,
    hub: str,
    spans: Sequence[Span],
    unit_ms: int | None,
    dimensions: Sequence[str],
    measures: Sequence[Measure],
) -> Cells:
    """The hub's events that occurred in `spans`, folded by `is_bot`, `dimensions` and units of time.

    The key `unit` is the start of the unit in milliseconds (0 where `unit_ms` is None). Properties come as JSON text.
    """
    keys = {"unit": f"CAST(floor(occurred_at / {unit_ms}.0) AS BIGINT) * {unit_ms}" if unit_ms else "0"}
    keys["is_bot"] = "CAST(is_bot AS INTEGER)"
    names = {f"d{number}": name for number, name in enumerate(dimensions)}
    keys |= {alias: expression(name) for alias, name in names.items()}
    paths, tail, where, parameters = _events(moment, hub, spans)
    with archive.intact(paths):
        cells = raw_engine().ask(paths, tail, where, parameters, keys, measures)
    return Cells({names.get(alias, alias): key for alias, key in cells.keys.items()}, cells.columns, cells.size)


def rows(
    moment: Moment, hub: str, span: Span, select: str, where: str = "true", values: Sequence[object] = ()
) -> list[tuple]:
    """Rows of an SQL selection over a hub's events in a range of occurrence; `values` are the parameters of `where`."""
    paths, tail, condition, parameters = _events(moment, hub, [span])
    with archive.intact(paths):
        return list(raw_engine().select(paths, tail, select, f"{condition} AND {where}", [*parameters, *values]))


def table(
    moment: Moment, hub: str, span: Span, columns: Mapping[str, str], where: str, parameters: Sequence[object]
) -> pa.Table:
    """The same as a table of `columns`, SQL expressions by name; `parameters` are those of `where`."""
    paths, tail, condition, first = _events(moment, hub, [span])
    with archive.intact(paths):
        return raw_engine().table(paths, tail, columns, f"{condition} AND {where}", [*first, *parameters])


def table_since(moment: Moment, hub: str, epoch: int, columns: Mapping[str, str], where: str) -> pa.Table:
    """The hub's events that came after `epoch`, which is not before the last run from the raw events."""
    paths = archive.paths(archive.touched(epoch, moment.epoch).filter(hub=hub))
    tail = _tail.table(hub, moment.cut, moment.mark)
    with archive.intact(paths):
        return raw_engine().table(paths, tail, columns, f"hub = ? AND ({where})", [hub])


def _events(moment: Moment, hub: str, spans: Sequence[Span]) -> tuple[list[str], pa.Table | None, str, list[object]]:
    start, end = min(span[0] for span in spans), max(span[1] for span in spans)
    paths = archive.paths(archive.visible(moment.epoch, hub, start, end)) if moment.epoch else []
    occurred = " OR ".join(f"(occurred_at >= {first} AND occurred_at < {last})" for first, last in spans)
    return paths, _tail.table(hub, moment.cut, moment.mark), f"hub = ? AND ({occurred})", [hub]


def expression(dimension: str) -> str:
    """The SQL of a dimension. The key of a property goes in as a JSON pointer, so that any key is safe."""
    if not dimension.startswith(PROPERTY):
        return dimension
    key = dimension.removeprefix(PROPERTY).replace("~", "~0").replace("/", "~1").replace("'", "''")
    return f"CAST(json_extract(properties, '/{key}') AS VARCHAR)"


def property_value(text: str | None) -> object:
    """The value of a property from its JSON text, with its type."""
    return None if text is None else json.loads(text)


def property_text(text: str | None) -> str | None:
    """The one JSON text of a property's value; engines write numbers such as 1e16 in several ways."""
    return None if text is None else _text_of(json.loads(text))


def property_texts(value: str) -> set[str]:
    """The JSON texts that a filter's text can mean: a string, and a number or boolean that is written so."""
    texts = {json.dumps(value, ensure_ascii=False)}
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return texts
    return texts | {_text_of(parsed)} if isinstance(parsed, int | float) else texts


def _text_of(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return json.dumps(value, ensure_ascii=False)
