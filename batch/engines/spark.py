"""The engine of many machines: Spark over the archive's Parquet files. States are made by its workers.

The statements are those of every engine (aggregations.sql). Rows of a family are put together by hub and hour, workers
fold them with the project's own code, which is shipped to them, and send the bytes of cells: what the driver holds is
bounded by the result. Settings of Spark itself (memory, cores, object stores) stand in its spark-defaults.conf.
"""

import atexit
import importlib.util
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

import aggregations
import batch
from aggregations.rollups import Rollup
from aggregations.sql import family_statement
from batch.archive import SCHEMA
from batch.engine import Engine, EngineAway, Span, Window
from batch.families import FamilyWindow, spans_sql
from batch.partials import measures_of
from batch.states import SCHEMA as STATES
from batch.states import States, states

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

logger = logging.getLogger(__name__)

MASTER = re.compile(
    r"local(\[(\d+|\*)\])?|local-cluster\[\d+,\d+,\d+\]|spark://[^/,:]+:\d+(,[^/,:]+:\d+)*|yarn|k8s://\S+"
)
EXAMPLES = "local[*], spark://HOST:7077, yarn or k8s://https://HOST:443"
NEEDED = ("pyspark", "pandas")
JAVA_AT_LEAST = 17
ANSWERS_WITHIN_S = 1.0
SHIPPED = (
    *sorted(Path(aggregations.__path__[0]).glob("*.py")),
    *(Path(batch.__path__[0]) / name for name in ("__init__.py", "partials.py", "states.py")),
)
"""The code that workers run."""
SQL_TYPES = {pa.string(): "STRING", pa.int64(): "BIGINT", pa.bool_(): "BOOLEAN", pa.binary(): "BINARY"}
CONFIGURATION = {
    "spark.app.name": "affluence",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # A cluster is held while a run works, not between runs.
    "spark.dynamicAllocation.enabled": "true",
    "spark.dynamicAllocation.shuffleTracking.enabled": "true",
    "spark.dynamicAllocation.shuffleTracking.timeout": "60s",
    # Backslashes in the texts of a declaration are themselves.
    "spark.sql.parser.escapedStringLiterals": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
}
ON_THIS_MACHINE = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}


class SparkEngine(Engine):
    """`master` is Spark's address. The session is opened by the first fold, once for the process, and closed at its end."""

    def __init__(self, master: str = "local[*]") -> None:
        if not MASTER.fullmatch(master):
            raise ValueError(f"{master!r} is no master of Spark; SPARK_MASTER may be {EXAMPLES}.")
        _refuse_missing()
        self._master = master
        self._session: SparkSession | None = None
        self._opening = threading.Lock()

    def trouble(self) -> str | None:
        """What is wrong with a master that has an address; the others are asked when a session is opened."""
        if not self._master.startswith("spark://"):
            return None
        troubles = [_trouble_at(address) for address in self._master.removeprefix("spark://").split(",")]
        return None if None in troubles else " ".join(filter(None, troubles))

    def session(self) -> "SparkSession":
        """The session; another one where its Java process has died. Raises EngineAway where no master serves."""
        with self._opening:
            if self._session is not None and _is_over(self._session):
                logger.warning("Spark's session is over; another one is opened.")
                self._close()
            if self._session is None:
                if trouble := self.trouble():
                    raise EngineAway(f"{trouble} Start it, or mend SPARK_MASTER.")
                self._directory = tempfile.TemporaryDirectory(prefix="affluence-spark-")
                self._session = _opened(self._master, Path(self._directory.name))
                atexit.register(self.close)
            return self._session

    def close(self) -> None:
        """Close the session, where one is open."""
        with self._opening:
            self._close()

    def _close(self) -> None:
        if self._session is not None:
            _ended(self._session)
            self._directory.cleanup()
            self._session = None
            atexit.unregister(self.close)

    @contextmanager
    def window(self, paths: Sequence[str], spans: Sequence[Span] | None = None) -> Iterator[Window]:
        with _view(self.session(), paths, spans_sql(spans)) as view, ThreadPoolExecutor(1, "spark") as ahead:
            yield SparkWindow(self.session(), view, ahead)

    def rows(self, paths: Sequence[str], select: str, where: str, parameters: Sequence[object]) -> Iterator[tuple]:
        session = self.session()
        with _view(session, paths, "true") as view:
            found = session.sql(f"SELECT {select} FROM {view} WHERE {where}", args=list(parameters))
            yield from map(tuple, found.toLocalIterator())


class SparkWindow(FamilyWindow):
    """Events behind the name of a view: each statement reads of the files the columns that it needs."""

    def __init__(self, session: "SparkSession", view: str, ahead: ThreadPoolExecutor) -> None:
        super().__init__(ahead)
        self._session, self._view = session, view

    def ask(self, family: Sequence[str], members: Sequence[Rollup]) -> States:
        rows = self._session.sql(family_statement(family, measures_of(members), self._view))
        # A cell's rows are all with one worker then, so that its state is sent once.
        together = rows.repartition("key_hub", "key_hour")
        return States(together.mapInArrow(lambda batches: states(batches, members), _ddl(STATES)).toArrow())

    def count(self) -> int:
        return self._session.table(self._view).count()


@contextmanager
def _view(session: "SparkSession", paths: Sequence[str], condition: str) -> Iterator[str]:
    """The name of a view of the events of files that satisfy a condition."""
    name = f"held_{uuid.uuid4().hex}"
    _events(session, paths).where(condition).createTempView(name)
    try:
        yield name
    finally:
        session.catalog.dropTempView(name)


def _events(session: "SparkSession", paths: Sequence[str]) -> "DataFrame":
    if not paths:
        return session.createDataFrame([], _ddl(SCHEMA))
    return session.read.schema(_ddl(SCHEMA)).parquet(*map(_address, paths))


def _address(path: str) -> str:
    """A path as Spark takes it: of this file system, whichever is Spark's own, and not a pattern."""
    return "file:" + re.sub(r"([\\*?\[\]{}])", r"\\\1", path)


def _ddl(schema: pa.Schema) -> str:
    return ", ".join(f"`{field.name}` {SQL_TYPES[field.type]}" for field in schema)


def _refuse_missing() -> None:
    """Raises EngineAway where a package or Java is not there."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise EngineAway(f"BATCH_ENGINE=spark needs {' and '.join(missing)}; install them: make spark")
    java = _java()
    if java is None:
        raise EngineAway(
            f"BATCH_ENGINE=spark needs Java {JAVA_AT_LEAST} or newer, in PATH or JAVA_HOME; on Debian: "
            f"apt install openjdk-{JAVA_AT_LEAST}-jre-headless"
        )
    release = java.resolve().parent.parent / "release"
    found = re.search(r'JAVA_VERSION="(\d+)', release.read_text()) if release.is_file() else None
    if found and int(found[1]) < JAVA_AT_LEAST:
        raise EngineAway(
            f"{java} is Java {found[1]}, and Spark needs {JAVA_AT_LEAST} or newer; name another in JAVA_HOME."
        )


def _java() -> Path | None:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    return Path(found) if found else None


def _trouble_at(address: str) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), ANSWERS_WITHIN_S):
            return None
    except OSError as error:
        return f"Spark's master at {address} does not serve ({error})."


def _opened(master: str, directory: Path) -> "SparkSession":
    """A session with the code for workers in a directory. What Java says goes to a file, of which an error shows the end."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    logging.getLogger("py4j").setLevel(logging.WARNING)
    is_local = master.startswith("local")
    if is_local:
        os.environ["PYSPARK_PYTHON"] = sys.executable  # by default the first python3 of PATH
    configuration = {"spark.master": master, **CONFIGURATION, **(ON_THIS_MACHINE if is_local else {})}
    conf = SparkConf().setAll(list(configuration.items()))
    said = directory / "output"
    with said.open("wb") as output:
        try:
            gateway = launch_gateway(conf, {"stderr": output})
            context = SparkContext(conf=conf, gateway=gateway)
        except Exception as error:
            text = said.read_text(errors="replace")[-2_000:]
            raise EngineAway(f"Spark did not start at {master}: {error}\n{text}") from error
    context.setLogLevel("ERROR")
    context.addPyFile(str(_zipped(directory / "affluence.zip")))
    logger.info("Spark %s at %s, application %s.", context.version, master, context.applicationId)
    return SparkSession(context)


def _zipped(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for source in SHIPPED:
            file.write(source, f"{source.parent.name}/{source.name}")
    return path


def _is_over(session: "SparkSession") -> bool:
    try:
        return session.sparkContext._jsc.sc().isStopped()
    except Exception:  # no Java answers
        return True


def _ended(session: "SparkSession") -> None:
    """Stop a session and its Java process, whatever is left of them."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    with suppress(Exception):  # of a Java process that is gone
        session.stop()
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
    if gateway is not None:
        with suppress(Exception):
            gateway.shutdown()
        gateway.proc.stdin.close()  # Java ends with it
        with suppress(subprocess.TimeoutExpired):
            gateway.proc.wait(10)
