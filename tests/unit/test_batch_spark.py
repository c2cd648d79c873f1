"""What Spark's engine says at start, and what its workers do, without Spark; the rest is tests/contract/test_engine.py."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from aggregations import cells
from aggregations.columns import EventColumns
from aggregations.rollups import ROLLUPS
from aggregations.sql import by_family, family_statement
from batch import states
from batch.engine import EngineAway, engine
from batch.engines import spark
from batch.engines.spark import SparkEngine
from batch.partials import measures_of
from statsproject import servers
from statsproject.environment import env_directory
from tests.contract.test_engine import EVENTS, EngineContract, encoded
from tests.waiting import free_port


@pytest.fixture
def needs(monkeypatch, tmp_path):
    """Lets Spark need packages that are there, and find a Java of some version."""

    def use(*packages: str, java: str | None = "17.0.15") -> None:
        monkeypatch.setattr(spark, "NEEDED", packages)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        if java:
            (tmp_path / "bin").mkdir()
            (tmp_path / "bin" / "java").touch(mode=0o755)
            (tmp_path / "release").write_text(f'JAVA_VERSION="{java}"\n')

    return use


def test_a_missing_package_is_named_with_the_way_out(needs):
    needs("no_such_package", "json")
    with pytest.raises(EngineAway, match=r"^BATCH_ENGINE=spark needs no_such_package; install them: make spark$"):
        SparkEngine()


def test_a_missing_java_is_named_with_the_way_out(needs):
    needs(java=None)
    with pytest.raises(EngineAway, match=r"needs Java 17 or newer, in PATH or JAVA_HOME; on Debian: apt install"):
        SparkEngine()


def test_an_old_java_is_named_with_the_way_out(needs):
    needs(java="11.0.2")
    with pytest.raises(EngineAway, match=r"is Java 11, and Spark needs 17 or newer; name another in JAVA_HOME\.$"):
        SparkEngine()


@pytest.mark.parametrize("master", ["", "here", "spark://host", "spark://host:7077/", "local[two]", "http://host:7077"])
def test_what_is_no_master_is_refused(needs, master):
    needs()
    with pytest.raises(ValueError, match=r"is no master of Spark; SPARK_MASTER may be local\[\*\], spark://HOST:7077"):
        SparkEngine(master)


@pytest.mark.parametrize("master", ["local", "local[4]", "spark://a:7077,b:7077", "yarn", "k8s://https://host:443"])
def test_what_is_a_master_is_taken(needs, master):
    needs()
    SparkEngine(master)


def test_an_option_that_is_unknown_is_refused(needs):
    needs()
    with pytest.raises(TypeError, match="'threads'"):
        SparkEngine(threads=2)


def test_a_master_that_does_not_serve_is_named_before_a_session_is_opened(needs):
    needs()
    port = free_port()
    with pytest.raises(
        EngineAway, match=rf"127\.0\.0\.1:{port} does not serve \(.+\)\. Start it, or mend SPARK_MASTER\."
    ):
        SparkEngine(f"spark://127.0.0.1:{port}").session()


@pytest.fixture
def chosen(needs, settings):
    """Lets settings name a master of Spark."""

    def use(master: str) -> None:
        settings.BATCH_ENGINE = {"BACKEND": "batch.engines.spark.SparkEngine", "OPTIONS": {"master": master}}
        engine.cache_clear()

    needs()
    yield use
    engine.cache_clear()


def test_a_master_with_an_address_is_a_server(chosen):
    port = free_port()
    chosen(f"spark://127.0.0.1:{port}")
    found = servers.troubles()["batch_engine"]
    assert found is not None
    assert found.startswith(f"SPARK_MASTER: Spark's master at 127.0.0.1:{port} does not serve")


def test_the_preparation_refuses_an_engine_that_cannot_be_made(chosen, needs, monkeypatch):
    monkeypatch.setattr(spark, "NEEDED", ("no_such_package",))
    chosen("local[2]")
    with pytest.raises(CommandError, match=r"^BATCH_ENGINE is wrong: BATCH_ENGINE=spark needs no_such_package"):
        call_command("prepare")


def test_an_object_store_is_refused(monkeypatch):
    monkeypatch.setenv("ARCHIVE_DIR", "s3a://bucket/path")
    with pytest.raises(ImproperlyConfigured, match=r"^ARCHIVE_DIR names a place by s3a://, .*; name a directory"):
        env_directory("ARCHIVE_DIR", Path("/data"))


def test_what_is_shipped_to_workers_is_enough_for_them(tmp_path):
    archive = spark._zipped(tmp_path / "affluence.zip")
    code = "import batch.states, sys; print(batch.states.__file__, 'django' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(archive)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(archive / "batch" / "states.py"), "False"]


@pytest.mark.parametrize("at_once", [1, 3, 1_000])
def test_states_of_workers_are_merged_to_the_bytes_of_the_fold(tmp_path, monkeypatch, at_once):
    """Rows lie with workers in any way: here each has every second row, and folds some of them at once."""
    import duckdb
    import pyarrow as pa

    monkeypatch.setattr(states, "ROWS_AT_ONCE", at_once)
    path = EngineContract.file(tmp_path / "1.parquet", EVENTS)
    found = {}
    for family, members in by_family(ROLLUPS):
        sql = family_statement(family, measures_of(members), f"'{path}'")
        rows = duckdb.sql(sql).to_arrow_table()
        batches = [
            [rows.slice(n, 1).combine_chunks().to_batches()[0] for n in range(first, len(rows), 2)] for first in (0, 1)
        ]
        made = [made for worker in batches for made in states.states(worker, members)]
        told = states.States(pa.Table.from_batches(made, schema=states.SCHEMA))
        found |= {rollup.name: encoded(rollup, told.by_hub(rollup)) for rollup in members}
    assert found == {rollup.name: encoded(rollup, cells.fold(EventColumns(EVENTS), rollup)) for rollup in ROLLUPS}
