"""Raw events at a moment: the archive's files up to its cut, and the log's tail from there to its mark."""

import json
import threading
from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from aggregations.cells import Cells
from aggregations.measures import Measure
from batch import archive
from batch.engine import Span, engine
from batch.view_store import RowsGone
from events.log import Chunk, Position, at_or_before, event_log
from views_layer.seam import Moment

PROPERTY = "properties."
BYTES_AT_MOST = 128 * 1024 * 1024
"""What a process keeps of the log's tail; about 400,000 events."""
TABLES_AT_MOST = 64


@dataclass(slots=True)
class Kept:
    """The events of one hub, in tables, and their bytes."""

    tables: list[pa.Table] = field(default_factory=list)
    size: int = 0

    def add(self, table: pa.Table) -> None:
        self.tables.append(table)
        self.size += table.get_total_buffer_size()
        if len(self.tables) > TABLES_AT_MOST:
            self.tables = [pa.concat_tables(self.tables).combine_chunks()]
            self.size = self.tables[0].get_total_buffer_size()


class Tail:
    """The log after a cut, by hub: the events of those hubs alone that were asked for, in at most `bytes_at_most`.

    The log is read on once for all of them. Where they exceed the bound, the hubs asked for longest ago are let go, and
    read again from the cut when they are asked for; a hub that exceeds it alone is not kept but read for each question.
    While the log is read there may be one table of archive.EVENTS_AT_ONCE events more. A later cut starts anew.
    """

    def __init__(self, bytes_at_most: int = BYTES_AT_MOST) -> None:
        self._bytes_at_most = bytes_at_most
        self._lock = threading.Lock()
        self._cut: Position | None = None
        self._read_to: Position = {}
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._too_large: set[str] = set()

    def table(self, hub: str, cut: Position, mark: Position) -> pa.Table | None:
        """The hub's events after `cut` up to `mark`; None where there are none."""
        if cut == mark:
            return None
        with self._lock:
            tables = self._tables(hub, cut, mark)
        if tables is None:
            tables = list(archive.tables(_of_hubs(event_log().read(cut, mark), {hub})))
        return pa.concat_tables(tables) if tables else None

    def size(self) -> int:
        """The bytes of what is kept."""
        return sum(kept.size for kept in self._kept.values())

    def _tables(self, hub: str, cut: Position, mark: Position) -> list[pa.Table] | None:
        """The hub's events as kept; None where they are not, or `mark` lies before what was read."""
        if self._cut != cut:
            self._cut, self._read_to = cut, cut
            self._kept.clear()
            self._too_large.clear()
        if hub in self._too_large or not at_or_before(self._read_to, mark):
            return None
        kept = self._kept.get(hub) or self._begun(hub, cut)
        self._kept.move_to_end(hub)
        self._read_on(mark)
        if self.size() > self._bytes_at_most:
            self._too_large.add(hub)
            del self._kept[hub]
        return list(kept.tables)

    def _begun(self, hub: str, cut: Position) -> Kept:
        """A hub that is asked for first, read as far as the others."""
        kept = Kept()
        for table in archive.tables(_of_hubs(event_log().read(cut, self._read_to), {hub})):
            kept.add(table)
        self._kept[hub] = kept
        return kept

    def _read_on(self, mark: Position) -> None:
        """Read up to `mark`, and let go what exceeds the bound beside the hub asked for last."""
        try:
            for table in archive.tables(_of_hubs(event_log().read(self._read_to, mark), self._kept)):
                for hub in pc.unique(table["hub"]).to_pylist():
                    if hub in self._kept:
                        self._kept[hub].add(table.filter(pc.equal(table["hub"], hub)))
                self._let_go()
        except Exception:
            self._cut = None  # some of the tables may be there already
            raise
        self._let_go()
        self._read_to = mark

    def _let_go(self) -> None:
        while len(self._kept) > 1 and self.size() > self._bytes_at_most:
            self._kept.popitem(last=False)


def _of_hubs(chunks: Iterable[Chunk], hubs: Container[str]) -> Iterator[Chunk]:
    """Chunks with the events of some hubs alone."""
    for chunk in chunks:
        yield replace(chunk, events=[event for event in chunk.events if event.hub in hubs])


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
    with _files(paths):
        cells = engine().ask(paths, tail, where, parameters, keys, measures)
    return Cells({names.get(alias, alias): key for alias, key in cells.keys.items()}, cells.columns, cells.size)


def rows(moment: Moment, hub: str, span: Span, select: str, where: str = "true") -> list[tuple]:
    """Rows of an SQL selection over a hub's events in a range of occurrence."""
    paths, tail, condition, parameters = _events(moment, hub, [span])
    with _files(paths):
        return list(engine().rows(paths, tail, select, f"{condition} AND {where}", parameters))


@contextmanager
def _files(paths: Sequence[str]) -> Iterator[None]:
    """Raises RowsGone for a failure that comes of a file which was joined with others and deleted meanwhile."""
    try:
        yield
    except Exception as error:
        if lost := [path for path in paths if not Path(path).exists()]:
            raise RowsGone(f"{lost[0]} was deleted while it was read; read again from the published epoch.") from error
        raise


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
