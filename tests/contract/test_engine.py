"""What every backend of the batch engine promises."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from aggregations import cells
from aggregations.cells import Cells
from aggregations.columns import EventColumns
from aggregations.event import Event
from aggregations.rollups import HOUR_MS, ROLLUPS, Rollup, rollup_named
from aggregations.sql import HOUR_SQL
from batch.archive import table_of
from batch.engine import Engine, RawEngine
from batch.engines.duck import DuckEngine
from batch.engines.spark import SparkEngine
from tests.engines import spark_engine

HUB, PAGE = rollup_named("hub"), rollup_named("media_page")


def event(number: int, hour: int = 10, hub: str = "acme", **fields) -> Event:
    at = hour * HOUR_MS + number
    return Event(hub, f"e{number}", fields.pop("action", "view"), at, at, number % 3 + 1, number % 4 + 1, 1, **fields)


EVENTS = [
    event(1, media="a", page=1, action="read", duration_ms=2_000, title="É 目", properties={"k": "it's", "n": 1}),
    event(2, media="a", page=2, action="read", duration_ms=15_000, is_bot=True),
    event(3, media=None, target="caf\u00e9 'x'", action="search"),
    event(4, hour=11, hub="other", media="b", network="mail", action="share"),
    event(5, hour=12, media="b", page=0, visit_key=b"k" * 16),
    event(6, hour=-2, media="", action="download"),
    event(7, hour=12, media="\U0001f4d6", is_clamped=True),
]


def encoded(rollup: Rollup, found: dict[str, Cells]) -> dict[str, bytes]:
    """The bytes of a rollup's cells, by hub."""
    return {hub: cells.encode(some, rollup.measures) for hub, some in found.items()}


class EngineContract:
    """Inherited by a test class for each backend, which provides the hook below."""

    def make_engine(self) -> Engine:
        raise NotImplementedError

    @pytest.fixture
    def engine(self) -> Engine:
        return self.make_engine()

    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[str]:
        """The events in two files, one with a quote in its name."""
        return [self.file(tmp_path / "it's 1.parquet", EVENTS[:3]), self.file(tmp_path / "2.parquet", EVENTS[3:])]

    @staticmethod
    def file(path: Path, events: Sequence[Event]) -> str:
        pq.write_table(table_of(events), path)
        return str(path)

    def test_it_folds_to_the_bytes_of_the_python_fold(self, engine, paths):
        with engine.window(paths) as window:
            folded = {rollup.name: encoded(rollup, found) for rollup, found in window.folds(ROLLUPS)}
        assert folded == {rollup.name: encoded(rollup, cells.fold(EventColumns(EVENTS), rollup)) for rollup in ROLLUPS}

    @pytest.mark.parametrize(
        ("spans", "count"),
        [
            (None, 7),
            ([(10 * HOUR_MS, 11 * HOUR_MS)], 3),
            ([(10 * HOUR_MS + 1, 10 * HOUR_MS + 3), (12 * HOUR_MS, 13 * HOUR_MS)], 4),
            ([(-2 * HOUR_MS, -HOUR_MS)], 1),
            ([(20 * HOUR_MS, 21 * HOUR_MS)], 0),
        ],
    )
    def test_a_window_holds_the_events_of_its_spans(self, engine, paths, spans, count):
        with engine.window(paths, spans) as window:
            ((_, folded),) = window.folds([HUB])
            held = sum(int(some.columns["events"].sum()) for some in folded.values())
            assert (window.count(), held) == (count, count)

    def test_a_window_without_files_is_empty(self, engine):
        with engine.window([]) as window:
            assert (window.count(), list(window.folds([PAGE]))) == (0, [(PAGE, {})])

    def test_windows_do_not_see_each_other(self, engine, paths):
        with engine.window(paths) as outer, engine.window(paths[:1]) as inner:
            assert (outer.count(), inner.count(), outer.count()) == (7, 3, 7)

    def test_a_window_that_fails_leaves_nothing_behind(self, engine, paths):
        with pytest.raises(ZeroDivisionError), engine.window(paths):
            raise ZeroDivisionError
        with engine.window(paths[:1]) as window:
            assert window.count() == 3

    def test_a_lost_file_is_an_error(self, engine, paths):
        Path(paths[0]).unlink()
        with pytest.raises(Exception, match=r"it.s 1\.parquet"), engine.window(paths) as window:
            window.count()

    def test_it_gives_rows_of_files(self, engine, paths):
        where, parameters = "occurred_at >= ? AND hub = ?", [10 * HOUR_MS + 2, "acme"]
        found = engine.rows(paths, f"DISTINCT hub, {HOUR_SQL}, is_bot", where, parameters)
        assert sorted(found) == [("acme", 10, False), ("acme", 10, True), ("acme", 12, False)]

    def test_it_gives_no_rows_of_no_files(self, engine):
        assert list(engine.rows([], "DISTINCT hub", "true", [])) == []


class RawEngineContract:
    """Inherited by a test class for each backend that answers questions, which provides the hook below."""

    def make_engine(self) -> RawEngine:
        raise NotImplementedError

    file = staticmethod(EngineContract.file)
    paths = EngineContract.paths

    @pytest.fixture
    def raw_engine(self) -> RawEngine:
        return self.make_engine()

    @pytest.mark.parametrize("count", [0, 2, 5, 7])
    def test_it_asks_files_and_a_tail_as_one(self, raw_engine, tmp_path, count):
        files = [self.file(tmp_path / "a.parquet", EVENTS[:count])] if count else []
        tail = table_of(EVENTS[count:]) if count < len(EVENTS) else None
        keys = {"media": "media", "hour": f"CAST(floor(occurred_at / {HOUR_MS}.0) AS BIGINT)"}
        found = raw_engine.ask(files, tail, "hub = ? AND NOT is_bot", ["acme"], keys, HUB.measures)
        wanted = [e for e in EVENTS if e.hub == "acme" and not e.is_bot]
        expected = cells.fold(EventColumns(wanted), rollup_named("media"))["acme"]
        states = {(media, hour): state["events"] for (hour, _, media), state in expected.states(PAGE.measures).items()}
        assert {key: state["events"] for key, state in found.states(HUB.measures).items()} == states
        assert set().union(*(state["visits"] for state in found.states(HUB.measures).values())) == {
            e.visit for e in wanted
        }

    def test_it_asks_for_nothing(self, raw_engine):
        assert raw_engine.ask([], None, "true", [], {"media": "media"}, HUB.measures).size == 0

    def test_it_gives_rows_of_files_and_tail(self, raw_engine, paths):
        tail = table_of([event(9, media="tail", properties={"z": True, "a": 1})])
        found = list(
            raw_engine.select(paths[:1], tail, "id, media, properties", "occurred_at >= ?", [10 * HOUR_MS + 2])
        )
        assert sorted(found) == [("e2", "a", None), ("e3", None, None), ("e9", "tail", '{"a": 1, "z": true}')]

    def test_it_gives_them_as_a_table_too(self, engine, paths):
        tail = table_of([event(9, media="tail")])
        columns, where, after = {"name": "id", "at": "occurred_at - 1"}, "occurred_at >= ?", [10 * HOUR_MS + 2]
        found = engine.table(paths[:1], tail, columns, where, after)
        rows = engine.select(paths[:1], tail, "id, occurred_at - 1", where, after)
        assert sorted(zip(*found.to_pydict().values(), strict=True)) == sorted(rows)
        assert sorted(found["name"].to_pylist()) == ["e2", "e3", "e9"]


class TestDuckEngine(EngineContract, RawEngineContract):
    def make_engine(self) -> DuckEngine:
        return DuckEngine(threads=1, memory_limit="256MB")


@pytest.mark.services
class TestSparkEngine(EngineContract):
    def make_engine(self) -> SparkEngine:
        return spark_engine()

    def test_a_path_is_no_pattern(self, tmp_path):
        folder = tmp_path / "a [x]{y}*? b%20"
        folder.mkdir()
        with self.make_engine().window([self.file(folder / "1.parquet", EVENTS)]) as window:
            assert window.count() == len(EVENTS)

    def test_a_session_whose_java_died_is_opened_anew(self, paths):
        engine = self.make_engine()
        first = java_of(engine)
        first.kill()
        first.wait()
        with engine.window(paths) as window:
            assert (window.count(), java_of(engine).pid != first.pid) == (7, True)

    def test_a_session_that_is_closed_leaves_no_process(self, paths):
        engine = self.make_engine()
        java = java_of(engine)
        engine.close()
        assert java.poll() is not None


def java_of(engine: SparkEngine) -> subprocess.Popen:
    return engine.session().sparkContext._gateway.proc


def test_what_exceeds_its_memory_spills_into_the_data_directory(tmp_path: Path, settings) -> None:
    settings.DATA_DIR = tmp_path
    with DuckEngine()._connect() as connection:
        assert connection.sql("SELECT current_setting('temp_directory')").fetchall() == [(str(tmp_path / "duckdb"),)]
