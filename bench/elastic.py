"""The view store on Elasticsearch: publication beside a bare bulk, and the panel's questions beside the embedded store.

Needs an Elasticsearch: TEST_VIEW_STORE_URL names one that runs, or one is started as `make test-services` does.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from statistics import median

from django.conf import settings
from django.utils import timezone
from elasticsearch import Elasticsearch

from batch.models import Run
from batch.view_store import ViewRow, view_store
from bench import history, house, mix
from bench.figures import Figures, Options, at_least, at_most, say, seconds_of
from statsproject.addresses import ELASTIC_VIEW_STORE
from views_layer import models, seam
from views_layer.stores.elastic.rows import RowDocument, row_creation
from views_layer.stores.elastic.store import ElasticViewStore

PREFIX = "affluence_bench"
AT_ONCE = 500
ROUNDS = 4
WARM_UP = 200
"""How often each question is asked of each store before: a server that has just begun has not compiled its own code yet."""
Group = list[ViewRow]


def measure(options: Options) -> Figures:
    """Publish the rows of a rebuild, and ask what the panel asks, both stores holding the same rows."""
    house.migrate()
    key = house.new_hub("large")["read"]
    now, events = int(time.time() * 1000), options.scaled(1_000_000, 10_000)
    with server() as url, house.a_redis():
        mix.append(mix.events("large", events, now - history.DAYS * history.DAY_MS, now), 1_000)
        house.publish_log(timezone.now())
        seam.run_now(Run.REBUILD)
        groups, epoch = list(_groups()), history._epoch()
        figures = _published(url, groups, epoch)
        stores = [
            settings.VIEW_STORE,
            {"BACKEND": ELASTIC_VIEW_STORE, "OPTIONS": {"hosts": [url], "prefix": PREFIX}},
        ]
        for store in stores:
            _use(store)
            for question in history.QUESTIONS.values():
                for _ in range(options.scaled(WARM_UP, 1)):
                    history.forget()
                    history._ask("large", key, question)
        for name, question in history.QUESTIONS.items():
            embedded, there = _first_ms(options, key, question, stores)
            say(f"panel_{name}: {there:.1f} ms, embedded {embedded:.1f} ms")
            limit_of = "the same question to the embedded store"
            figures[f"elastic_panel_{name}"] = at_most(2 * embedded, there, "ms", embedded, limit_of)
        _drop(url)
    return figures


@contextmanager
def server() -> Iterator[str]:
    """The URL of an Elasticsearch without indexes of an earlier benchmark."""
    if url := os.environ.get("TEST_VIEW_STORE_URL"):
        _drop(url)
        yield url
        return
    from tests.services.elastic import Elasticsearch as Server

    with Server() as started:
        yield started.url


def _drop(url: str) -> None:
    with Elasticsearch(url) as client:
        for name in client.indices.get_alias(index=f"{PREFIX}*"):
            client.indices.delete(index=name)


def _groups() -> Iterator[Group]:
    """The rows of the embedded store, a group for each write of a run."""
    rows = models.ViewRow.objects.order_by("hub", "rollup", "pk")
    for _, some in groupby(rows, key=lambda row: (row.hub, row.rollup)):
        yield [ViewRow(r.hub, r.rollup, r.grain, r.start, r.end, bytes(r.payload)) for r in some]


def _published(url: str, groups: list[Group], epoch: int) -> Figures:
    """Both in turns; the first turn, which a server that has just begun is slow in, does not count. `epoch` stays sealed."""
    store = ElasticViewStore([url], PREFIX)
    birth = store.birth()
    count = sum(map(len, groups))

    def publish(version: int) -> None:
        for group in groups:
            store.write(version, group)
        assert store.seal(version, birth)

    for version in (epoch, epoch + 1):
        bare = count / _bare_s(url, groups, version)
        ours = count / seconds_of(partial(publish, version))
    store.discard(epoch + 1)
    megabytes = sum(len(row.payload) for group in groups for row in group) / 1e6
    say(f"{count} rows of {megabytes:.1f} MB: published {ours:.0f} rows/s, bare bulk {bare:.0f} rows/s")
    return {"elastic_publication": at_least(0.6 * bare, ours, "rows/s", bare, "a bare bulk of the same documents")}


def _bare_s(url: str, groups: list[Group], epoch: int) -> float:
    """Seconds of a bulk of the same documents, encoded before, into an index of the same kind, with its refresh."""
    name = f"{PREFIX}_bare_{epoch}"
    documents = [row_creation(name, epoch, row) for group in groups for row in group]
    with Elasticsearch(url) as client:
        mappings = {"dynamic": "strict", **RowDocument._doc_type.mapping.to_dict()}
        client.indices.create(index=name, settings={"refresh_interval": "-1"}, mappings=mappings)

        def send() -> None:
            for first in range(0, len(documents), AT_ONCE):
                body: list = [line for document in documents[first : first + AT_ONCE] for line in document]
                assert not client.bulk(operations=body, filter_path="errors")["errors"]
            client.indices.refresh(index=name)

        return seconds_of(send)


def _use(store: dict) -> None:
    settings.VIEW_STORE = store
    view_store.cache_clear()


def _first_ms(options: Options, key: str, question: str, stores: list[dict]) -> list[float]:
    """For each store the median of a question asked first after a new epoch; in turns, so that both meet the same load."""
    times: list[list[float]] = [[] for _ in stores]
    for _ in range(options.scaled(ROUNDS, 1)):
        for store, found in zip(stores, times, strict=True):
            _use(store)
            found += history._times(options, history._asker("large", key, question), history.forget)
    return [median(found) for found in times]
