"""The engine of one machine: DuckDB over the archive's Parquet files."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aggregations.cells import Cells, assemble, split_by_hub
from aggregations.columns import Key, value_order
from aggregations.measures import Measure
from aggregations.rollups import Rollup
from aggregations.sql import collected_fields, rollup_statement, statement
from batch.archive import SCHEMA
from batch.engine import Engine, Span, Window


class DuckEngine(Engine):
    """`threads` and `memory_limit` (such as "512MB") bound what a fold may take."""

    def __init__(self, threads: int = 2, memory_limit: str = "1GB") -> None:
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": memory_limit,
            "autoinstall_known_extensions": False,
        }
        self._database: duckdb.DuckDBPyConnection | None = None
        self._opening = threading.Lock()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own (temporary tables and registered tables are the connection's) to the one database."""
        with self._opening:
            if self._database is None:
                self._database = duckdb.connect(":memory:", config=self._config)
                self._database.execute("SET GLOBAL preserve_insertion_order = false")
            return self._database.cursor()

    @contextmanager
    def window(self, paths: Sequence[str], spans: Sequence[Span] | None = None) -> Iterator[Window]:
        connection = self._connect()
        try:
            condition = "true" if spans is None else _spans_sql(spans)
            connection.execute(
                f"CREATE TEMP TABLE held AS SELECT * FROM {_relation(connection, paths, None)} WHERE {condition}"
            )
            yield DuckWindow(connection)
        finally:
            connection.execute("DROP TABLE IF EXISTS held")
            connection.close()

    def ask(
        self,
        paths: Sequence[str],
        tail: pa.Table | None,
        where: str,
        parameters: Sequence[object],
        keys: Mapping[str, str],
        measures: Sequence[Measure],
    ) -> Cells:
        connection = self._connect()
        try:
            sql = statement(keys, measures, _relation(connection, paths, tail), where)
            return _cells(connection.sql(sql, params=list(parameters)).to_arrow_table(), list(keys), measures)
        finally:
            connection.close()

    def rows(
        self, paths: Sequence[str], tail: pa.Table | None, select: str, where: str, parameters: Sequence[object]
    ) -> Iterator[tuple]:
        connection = self._connect()
        try:
            sql = f"SELECT {select} FROM {_relation(connection, paths, tail)} WHERE {where}"
            yield from connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()


class DuckWindow(Window):
    """Events in a temporary table."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def fold(self, rollup: Rollup) -> dict[str, Cells]:
        table = self._connection.sql(rollup_statement(rollup, "held")).to_arrow_table()
        if table.num_rows == 0:
            return {}
        return split_by_hub(_cells(table, ["hub", *rollup.keys], rollup.measures), rollup.measures)

    def count(self) -> int:
        return self._connection.execute("SELECT count(*) FROM held").fetchall()[0][0]


def _relation(connection: duckdb.DuckDBPyConnection, paths: Sequence[str], tail: pa.Table | None) -> str:
    parts = []
    if paths:
        listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        parts.append(f"SELECT * FROM read_parquet([{listed}])")
    if tail is not None or not paths:
        connection.register("tail", SCHEMA.empty_table() if tail is None else tail)
        parts.append("SELECT * FROM tail")
    return "(" + " UNION ALL ".join(parts) + ")"


def _spans_sql(spans: Sequence[Span]) -> str:
    return "(" + " OR ".join(f"(occurred_at >= {start} AND occurred_at < {end})" for start, end in spans) + ")"


def _cells(table: pa.Table, keys: Sequence[str], measures: Sequence[Measure]) -> Cells:
    contributions = {}
    for measure in measures:
        values = table[f"measure_{measure.name}"].combine_chunks()
        values = values.cast(pa.int64()) if not pa.types.is_boolean(values.type) else values
        contributions[measure.name] = np.asarray(values.to_numpy(zero_copy_only=False))
    collected = {
        field: pc.fill_null(table[f"field_{field}"], 0).to_numpy().astype(np.int64)
        for field in collected_fields(measures)
    }
    for measure in measures:
        if measure.collects and table[f"field_{measure.field}"].null_count:
            is_set = pc.is_valid(table[f"field_{measure.field}"]).to_numpy()
            contributions[measure.name] = contributions[measure.name] * is_set
    return assemble({name: _key(table[f"key_{name}"]) for name in keys}, measures, contributions, collected)


def _key(column: pa.ChunkedArray) -> Key:
    """A column as a sorted key."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    found = encoded.dictionary.to_pylist()
    vocabulary = sorted(found, key=value_order)
    place = {value: code for code, value in enumerate(vocabulary)}
    ranks = np.array([place[value] for value in found], dtype=np.int64)
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return Key(vocabulary, ranks[codes] if len(codes) else codes)
