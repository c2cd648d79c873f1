"""An Elasticsearch that dies, hangs, comes back and comes back empty: in the middle of a publication, and beside questions."""

import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

import pytest
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from aggregations.event import Event
from batch.models import Mismatch, Run
from batch.view_store import StoreAway, ViewRow, view_store
from events.catalogue import forget
from events.models import Hub
from speed import consumer
from statsproject import servers
from statsproject.addresses import media_index_beside, view_store_at
from tests import caches, log
from tests.services import tls
from tests.services.elastic import Elasticsearch
from tests.services.server import Missing
from tests.simulation.world import ROLLUPS, empty
from tests.waiting import until
from views_layer import ask, media, media_index, seam
from views_layer.stores.elastic import bulk
from views_layer.stores.elastic import server as elastic_server
from views_layer.stores.elastic.store import ElasticViewStore

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.xdist_group("serve"),
    pytest.mark.django_db(databases="__all__", transaction=True),
]
NOW = timezone.now().replace(minute=30, second=0, microsecond=0)
EVENT_AT = int((NOW - timedelta(days=2)).timestamp() * 1000)
SERVES_S = 60


@pytest.fixture(scope="module")
def elastic() -> Iterator[Elasticsearch]:
    try:
        with Elasticsearch() as server:
            yield server
    except Missing as missing:
        pytest.skip(f"No Elasticsearch: {missing}")


@pytest.fixture
def world(elastic: Elasticsearch, redis_url: str, settings, monkeypatch) -> Iterator[Elasticsearch]:
    """Rows and the index of media in that server, which answers or is given up soon."""
    empty(redis_url)
    forget()
    for module in ("batch.run", "speed.folding"):
        monkeypatch.setattr(f"{module}.ROLLUPS", ROLLUPS)
    caches.renew(monkeypatch)
    monkeypatch.setattr(bulk, "TRIES_FOR_S", 1.0)
    monkeypatch.setattr(elastic_server, "READERS_WAIT_S", 1.0)
    monkeypatch.setenv("VIEW_STORE_URL", f"{elastic.url}/faults?timeout=10")
    use(settings, view_store_at("VIEW_STORE_URL"))
    yield elastic
    view_store.cache_clear()
    media_index.media_index.cache_clear()


def use(settings, named: dict) -> None:
    settings.VIEW_STORE, settings.MEDIA_INDEX = named, media_index_beside(named)
    view_store.cache_clear()
    media_index.media_index.cache_clear()


def append(visitor: int) -> None:
    log.append(
        [
            Event(
                "acme", f"e{visitor}", "view", EVENT_AT, EVENT_AT, visitor, visitor, 1, media=f"m{visitor}", title="Été"
            )
        ]
    )


def answered() -> tuple:
    """Events and visitors of the hub, and where they come from."""
    hub = Hub.objects.get(slug="acme")
    found = ask.answer(hub, QueryDict("metrics=events,visitors&period=7d&robots=include"), timezone.now())
    return found["totals"]["events"], found["totals"]["visitors"], found["meta"]["source"]


def searched() -> list[str]:
    return [found.key for found in media.find(Hub.objects.get(slug="acme"), "ete", 9).media]


def kill(server: Elasticsearch) -> None:
    server.kill()


def hang(server: Elasticsearch) -> None:
    server.send(signal.SIGSTOP)


def start(server: Elasticsearch) -> None:
    server.start()


def start_empty(server: Elasticsearch) -> None:
    server.lose_everything()
    server.start()


def go_on(server: Elasticsearch) -> None:
    server.send(signal.SIGCONT)


FAULTS = {"dies": (kill, start), "dies and comes back empty": (kill, start_empty), "hangs": (hang, go_on)}


@pytest.mark.parametrize(
    ("fault", "number"), [("dies", 0), ("dies", 1), ("dies and comes back empty", 1), ("hangs", 1)]
)
def test_a_publication_that_a_fault_ends_is_done_again(world, monkeypatch, fault: str, number: int) -> None:
    """In one test, since each step stands on the numbers of the one before: what is posted while the server is away too."""
    harm, mend = FAULTS[fault]
    append(1)
    seam.run_now(Run.DAILY)
    media_index.fill(timezone.now() + media_index.OVERLAP)
    assert (answered(), searched()) == ((1, 1, "views+buffers"), ["m1"])

    append(2)
    with monkeypatch.context() as patch, pytest.raises(StoreAway):
        harm_at(patch, number, partial(harm, world))
        seam.run_now(Run.HOURLY)
    append(3)
    consumer.apply_new()
    media_index.fill(timezone.now())
    assert (answered(), searched()) == ((3, 3, "raw"), ["m1", "m2", "m3"])
    assert seam.reconcile(timezone.now() + timedelta(hours=1)) is None
    trouble = servers.troubles()["view_store"]
    assert trouble is not None
    assert trouble.startswith("VIEW_STORE_URL: ")
    assert Client().get("/healthz").json()["parts"]["view_store"] is False

    mend(world)
    until(lambda: servers.troubles()["view_store"] is None, SERVES_S)
    until(lambda: published_again() == (3, 3, "views+buffers"), SERVES_S)
    media_index.fill(timezone.now() + media_index.OVERLAP)
    assert searched() == ["m1", "m2", "m3"]
    seam.run_now(Run.HOURLY)
    status = seam.status(timezone.now())
    assert (answered(), status["lag_events"], Mismatch.objects.count()) == ((3, 3, "views+buffers"), 0, 0)


def published_again() -> tuple:
    """What is answered after a tick that comes when the next try is due."""
    seam.reconcile(timezone.now() + timedelta(hours=1))
    return answered()


def harm_at(monkeypatch, number: int, harm: Callable[[], None]) -> None:
    """Let the fault happen right before the store is asked to write for the nth time."""
    store = view_store()
    write, calls = store.write, []

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == number + 1:
            harm()
        return write(*arguments)

    monkeypatch.setattr(store, "write", counted)


def test_a_server_with_https_and_a_password(elastic, monkeypatch, tmp_path) -> None:
    with tls.in_front_of(elastic.port, "elastic", "p@ss:word", tmp_path) as front:

        def store(password: str, query: str):
            monkeypatch.setenv("VIEW_STORE_URL", f"https://elastic:{password}@127.0.0.1:{front.port}/tls{query}")
            named = view_store_at("VIEW_STORE_URL")
            return ElasticViewStore(**named["OPTIONS"])

        trusted = f"?ca_certs={front.certificate}"
        ours = store("p%40ss%3Aword", trusted)
        ours.write(1, [ViewRow("acme", "media", "hour", 1, 2, b"row")])
        assert (ours.seal(1, ours.birth()), ours.is_sealed(1), ours.trouble()) == (True, True, None)
        assert ours.fetch(ours.addresses("acme", "media", [("hour", 0, 9)], 1)) == [b"row"]
        with pytest.raises(StoreAway, match="refuses with 401"):
            store("wrong", trusted).birth()
        with pytest.raises(StoreAway, match="TlsError"):
            store("p%40ss%3Aword", "").birth()
        said = store("wrong", trusted).trouble()
        assert said is not None
        assert "wrong" not in said
