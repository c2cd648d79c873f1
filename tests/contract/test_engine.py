"""What every backend of the batch engine promises."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from aggregations import cells
from aggregations.columns import EventColumns
from aggregations.event import Event
from aggregations.rollups import HOUR_MS, ROLLUPS, rollup_named
from batch.archive import table_of
from batch.engine import Engine
from batch.engines.duck import DuckEngine

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

    @pytest.mark.parametrize("rollup", ROLLUPS, ids=lambda rollup: rollup.name)
    def test_it_folds_to_the_bytes_of_the_python_fold(self, engine, paths, rollup):
        with engine.window(paths) as window:
            ((_, folded),) = window.folds([rollup])
        expected = cells.fold(EventColumns(EVENTS), rollup)
        found = {hub: cells.encode(some, rollup.measures) for hub, some in folded.items()}
        assert found == {hub: cells.encode(some, rollup.measures) for hub, some in expected.items()}

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

    @pytest.mark.parametrize("count", [0, 2, 5, 7])
    def test_it_asks_files_and_a_tail_as_one(self, engine, tmp_path, count):
        files = [self.file(tmp_path / "a.parquet", EVENTS[:count])] if count else []
        tail = table_of(EVENTS[count:]) if count < len(EVENTS) else None
        keys = {"media": "media", "hour": f"CAST(floor(occurred_at / {HOUR_MS}.0) AS BIGINT)"}
        found = engine.ask(files, tail, "hub = ? AND NOT is_bot", ["acme"], keys, HUB.measures)
        wanted = [e for e in EVENTS if e.hub == "acme" and not e.is_bot]
        expected = cells.fold(EventColumns(wanted), rollup_named("media"))["acme"]
        states = {(media, hour): state["events"] for (hour, _, media), state in expected.states(PAGE.measures).items()}
        assert {key: state["events"] for key, state in found.states(HUB.measures).items()} == states
        assert set().union(*(state["visits"] for state in found.states(HUB.measures).values())) == {
            e.visit for e in wanted
        }

    def test_it_asks_for_nothing(self, engine):
        assert engine.ask([], None, "true", [], {"media": "media"}, HUB.measures).size == 0

    def test_it_gives_rows_of_files_and_tail(self, engine, paths):
        tail = table_of([event(9, media="tail", properties={"z": True, "a": 1})])
        found = list(engine.rows(paths[:1], tail, "id, media, properties", "occurred_at >= ?", [10 * HOUR_MS + 2]))
        assert sorted(found) == [("e2", "a", None), ("e3", None, None), ("e9", "tail", '{"a": 1, "z": true}')]

    def test_it_gives_them_as_a_table_too(self, engine, paths):
        tail = table_of([event(9, media="tail")])
        columns, where, after = {"name": "id", "at": "occurred_at - 1"}, "occurred_at >= ?", [10 * HOUR_MS + 2]
        found = engine.table(paths[:1], tail, columns, where, after)
        plain = Engine.table(engine, paths[:1], tail, columns, where, after)
        assert found.sort_by("name").to_pydict() == plain.sort_by("name").to_pydict()
        assert found.sort_by("name")["name"].to_pylist() == ["e2", "e3", "e9"]


class TestDuckEngine(EngineContract):
    def make_engine(self) -> Engine:
        return DuckEngine(threads=1, memory_limit="256MB")
