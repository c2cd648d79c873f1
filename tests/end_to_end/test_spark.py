"""Runs of each kind with Spark, and what DuckDB makes of the same events."""

import random

import pytest
from django.conf import settings
from django.core.management import call_command

from batch.engine import engine
from batch.models import Audit
from events.cuts import published_cut
from events.models import Hub
from tests.api.test_stats_oracle import HUBS, append, fresh, random_event  # noqa: F401 (a fixture)
from tests.engines import spark_engine
from views_layer.models import ViewRow

pytestmark = [pytest.mark.services, pytest.mark.django_db(databases="__all__", transaction=True)]


def rows() -> dict[tuple, bytes]:
    """The rows that readers see, by address."""
    published = published_cut()
    assert published is not None
    found = ViewRow.objects.filter(version__lte=published.epoch).order_by("version")
    return {(row.hub, row.rollup, row.grain, row.start, row.end): bytes(row.payload) for row in found}


@pytest.fixture
def duckdb(monkeypatch):
    """Lets runs be made with DuckDB from now on."""

    def use() -> None:
        monkeypatch.setattr(settings, "BATCH_ENGINE", settings.RAW_ENGINE)
        engine.cache_clear()

    spark = spark_engine()
    yield use
    engine.cache_clear()
    spark.close()


def test_runs_of_each_kind_write_the_bytes_of_the_other_engine(fresh, duckdb):  # noqa: F811
    rng = random.Random(5)
    for slug, zone in HUBS.items():
        Hub.objects.create(slug=slug, timezone=zone)
    hubs = [*HUBS]
    told = []
    for kind in ((), ("--daily",), ("--rebuild",)):
        append([random_event(rng, rng.choice(hubs)) for _ in range(300)])
        call_command("run_batch", *kind)
        told.append(rows())
    duckdb()
    call_command("run_batch", "--rebuild")
    assert rows() == told[-1]
    assert (len(told[0]) < len(told[1]) < len(told[2]), Audit.objects.filter(mismatch_count__gt=0).count()) == (True, 0)
