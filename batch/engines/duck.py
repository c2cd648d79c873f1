"""The engine of one machine: DuckDB over the archive's Parquet files."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import duckdb
import pyarrow as pa
from django.conf import settings

from aggregations.cells import Cells
from aggregations.measures import Measure
from aggregations.rollups import Rollup
from aggregations.sql import family_statement, statement
from batch.archive import SCHEMA
from batch.engine import Engine, RawEngine, Span, Window
from batch.families import FamilyWindow, spans_sql
from batch.partials import Partials, measures_of


class DuckEngine(Engine, RawEngine):
    """`threads` and `memory_limit` (such as "512MB") bound what a fold may take; what exceeds it spills into DATA_DIR.

    DuckDB removes what a killed process left there.
    """

    def __init__(self, threads: int = 2, memory_limit: str = "1GB") -> None:
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": memory_limit,
            "temp_directory": str(settings.DATA_DIR / "duckdb"),
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
            relation = _relation(connection, paths, None)
            connection.execute(f"CREATE TEMP TABLE held AS SELECT * FROM {relation} WHERE {spans_sql(spans)}")
            with ThreadPoolExecutor(1, "duck") as ahead:
                yield DuckWindow(connection, ahead)
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
            table = connection.sql(sql, params=list(parameters)).to_arrow_table()
            return Partials(table, measures).fold(list(keys), measures)
        finally:
            connection.close()

    def rows(self, paths: Sequence[str], select: str, where: str, parameters: Sequence[object]) -> Iterator[tuple]:
        return self.select(paths, None, select, where, parameters)

    def select(
        self, paths: Sequence[str], tail: pa.Table | None, select: str, where: str, parameters: Sequence[object]
    ) -> Iterator[tuple]:
        connection = self._connect()
        try:
            sql = f"SELECT {select} FROM {_relation(connection, paths, tail)} WHERE {where}"
            yield from connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def table(
        self,
        paths: Sequence[str],
        tail: pa.Table | None,
        columns: Mapping[str, str],
        where: str,
        parameters: Sequence[object],
    ) -> pa.Table:
        connection = self._connect()
        try:
            select = ", ".join(f'{expression} AS "{name}"' for name, expression in columns.items())
            sql = f"SELECT {select} FROM {_relation(connection, paths, tail)} WHERE {where}"
            return connection.sql(sql, params=list(parameters)).to_arrow_table()
        finally:
            connection.close()


class DuckWindow(FamilyWindow):
    """Events in a temporary table."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, ahead: ThreadPoolExecutor) -> None:
        super().__init__(ahead)
        self._connection = connection

    def ask(self, family: Sequence[str], members: Sequence[Rollup]) -> Partials:
        measures = measures_of(members)
        table = self._connection.sql(family_statement(family, measures, "held")).to_arrow_table()
        return Partials(table, measures)

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
