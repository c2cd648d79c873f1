"""The engines whose promises tests look after."""

import pytest

from batch.engine import engine
from batch.engines.duck import DuckEngine
from batch.engines.spark import SparkEngine


def spark_engine() -> SparkEngine:
    """The engine of settings, whose session all tests of a process share. Skips where it is not Spark's."""
    found = engine()
    if not isinstance(found, SparkEngine):
        pytest.skip("No Spark: make test-services starts one.")
    return found


ENGINES = [pytest.param(DuckEngine, id="duckdb"), pytest.param(spark_engine, id="spark", marks=pytest.mark.services)]
"""What makes each engine."""
