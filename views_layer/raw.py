"""Raw events at a moment: the archive's files up to its cut, and the log's tail from there to its mark."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from aggregations.cells import Cells
from aggregations.measures import Measure
from batch import archive
from batch.engine import Span, engine
from batch.view_store import RowsGone
from events.log import Position, event_log
from views_layer.seam import Moment

PROPERTY = "properties."


class Tail:
    """The tables of the log after a cut, each read once; a later cut starts anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cut: Position | None = None
        self._read_to: Position = {}
        self._tables: list[tuple[Position, pa.Table]] = []

    def table(self, cut: Position, mark: Position) -> pa.Table | None:
        """The events after `cut` up to `mark`; None where there are none."""
        if cut == mark:
            return None
        with self._lock:
            if self._cut != cut:
                self._cut, self._read_to, self._tables = cut, cut, []
            if all(mark.get(partition, 0) >= sequence for partition, sequence in self._read_to.items()):
                self._read_on(mark)
                tables = [table for _, table in self._tables]
            else:
                tables = list(archive.tables(event_log().read(cut, mark)))
        return pa.concat_tables(tables) if tables else None

    def _read_on(self, mark: Position) -> None:
        if self._read_to == mark:
            return
        found = list(archive.tables(event_log().read(self._read_to, mark)))
        self._tables += [(mark, table) for table in found]
        self._read_to = mark
        if len(self._tables) > 64:
            self._tables = [(mark, pa.concat_tables([table for _, table in self._tables]).combine_chunks())]


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
    return paths, _tail.table(moment.cut, moment.mark), f"hub = ? AND ({occurred})", [hub]


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
    except ValueError:
        return texts
    return texts | {_text_of(parsed)} if isinstance(parsed, int | float) else texts


def _text_of(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return json.dumps(value, ensure_ascii=False)
