"""`GET /metrics`: what it tells, to whom, and what it does without Redis."""

import io
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from aggregations.event import Event
from batch.models import Run
from events.log import Rejection, event_log
from events.models import ApiKey, Hub, RejectedEvent
from speed import consumer
from statsproject import metrics, requests
from tests import caches, log
from tests.simulation.world import empty
from views_layer import seam

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
ELSEWHERE = "192.0.2.7"


@pytest.fixture(autouse=True)
def world(redis_url: str, monkeypatch) -> None:
    empty(redis_url)
    RejectedEvent.objects.all().delete()
    caches.renew(monkeypatch)
    monkeypatch.setattr(metrics, "accepted", metrics.Accepted())


def append(count: int) -> None:
    at = int(timezone.now().timestamp() * 1000)
    log.append([Event("acme", "e", "view", at, at, 1, 1, 1)] * count, at)


def ask(**environ: str) -> HttpResponse:
    return Client().get("/metrics", **{"HTTP_AUTHORIZATION": f"Bearer {settings.METRICS_TOKEN}"} | environ)


def figures() -> dict[str, float]:
    """The samples of /metrics, by name and labels as Prometheus writes them."""
    answer = ask()
    assert answer.status_code == 200
    return {
        sample.name + (str(sample.labels).replace("'", "") if sample.labels else ""): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_it_tells_where_the_line_stands() -> None:
    append(3)
    seam.run_now(Run.HOURLY)
    append(2)
    consumer.apply_new()
    figures()
    append(4)
    with event_log().writer() as writer:
        writer.reject([Rejection("acme", "invalid_page", "", b"{}", 1)] * 2)
    found = figures()
    wanted = {
        "affluence_redis_up": 1,
        "affluence_part_up{part: beat}": 0,
        "affluence_healthy": 0,
        "affluence_alarm{name: parts}": 1,
        "affluence_alarm{name: redis}": 0,
        "affluence_log_head_sequence{partition: main}": 3,
        "affluence_log_applied_sequence{partition: main}": 2,
        "affluence_log_cut_sequence{partition: main}": 1,
        "affluence_lag_events": 4,
        "affluence_events_accepted_total": 9,
        "affluence_events_rejected_total{code: invalid_page}": 2,
        "affluence_rejected_waiting_events": 2,
        "affluence_buffer_lists{buffer: frozen}": 0,
        "affluence_buffer_bytes{buffer: frozen}": 0,
        "affluence_published_epoch": 1,
        "affluence_audits_total": 1,
        "affluence_audit_mismatches": 0,
        "affluence_last_run_events{kind: hourly}": 3,
        "affluence_runs_total{kind: hourly, outcome: published}": 1,
        "affluence_archive_files": 1,
        "affluence_scrape_failed{section: stores}": 0,
    }
    assert {name: found.get(name) for name in wanted} == wanted
    sized = ("buffer_lists{buffer: active}", "buffer_bytes{buffer: active}", "view_rows", "view_store_bytes")
    assert all(found[f"affluence_{name}"] > 0 for name in (*sized, "archive_bytes", "disk_free_bytes"))


def test_without_redis_it_answers_soon_and_says_so(settings, tmp_path: Path) -> None:
    append(3)
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    figures()
    began = time.perf_counter()
    found = figures()
    seconds = time.perf_counter() - began
    assert (found["affluence_redis_up"], found["affluence_events_accepted_total"], seconds < 0.2) == (0, 3, True)


def test_a_section_that_cannot_be_read_is_left_out_and_named(monkeypatch) -> None:
    monkeypatch.setattr(metrics, "view_store", lambda: 1 / 0)
    found = figures()
    assert (
        found["affluence_scrape_failed{section: stores}"],
        "affluence_view_rows" in found,
        "affluence_lag_events" in found,
    ) == (1, False, True)


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({}, 401),
        ({"REMOTE_ADDR": "::1"}, 401),
        ({"REMOTE_ADDR": ELSEWHERE}, 401),
        ({"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, 401),
        ({"HTTP_AUTHORIZATION": "Bearer "}, 401),
        ({"HTTP_AUTHORIZATION": "Bearer other"}, 401),
        ({"HTTP_AUTHORIZATION": "Basic t0ken"}, 401),
        ({"HTTP_AUTHORIZATION": "Bearer t0ken"}, 200),
        ({"REMOTE_ADDR": ELSEWHERE, "HTTP_AUTHORIZATION": "bearer t0ken"}, 200),
        ({"HTTP_HOST": "127.0.0.1:8000"}, 200),
        ({"HTTP_HOST": "localhost"}, 200),
        ({"HTTP_HOST": "localhost", "REMOTE_ADDR": ELSEWHERE}, 401),
        ({"HTTP_HOST": "localhost", "HTTP_X_FORWARDED_FOR": ELSEWHERE}, 401),
        ({"HTTP_HOST": "localhost", "HTTP_VIA": "1.1 proxy"}, 401),
        ({"HTTP_X_FORWARDED_FOR": ELSEWHERE, "HTTP_AUTHORIZATION": "Bearer t0ken"}, 200),
    ],
)
def test_it_is_for_the_token_and_for_this_machine(settings, environ: dict, status: int) -> None:
    settings.METRICS_TOKEN = "t0ken"
    assert Client().get("/metrics", **environ).status_code == status


@pytest.mark.parametrize("behind", [{"HTTPS": True}, {"TRUSTED_PROXIES": 1}])
def test_behind_a_proxy_nobody_comes_from_this_machine(settings, behind: dict) -> None:
    (name,) = behind
    setattr(settings, name, behind[name])
    assert Client().get("/metrics", HTTP_HOST="localhost").status_code == 401


def test_the_token_is_a_secret_of_the_data_directory(settings) -> None:
    kept = settings.DATA_DIR / "secrets" / "metrics_token"
    assert (kept.read_text(), kept.stat().st_mode & 0o777, len(settings.METRICS_TOKEN)) == (
        settings.METRICS_TOKEN,
        0o600,
        64,
    )


@pytest.mark.parametrize("scope", [ApiKey.READ, ApiKey.INGEST])
def test_no_key_of_a_hub_opens_it(scope: str) -> None:
    key = ApiKey.issue(Hub.objects.get(), scope)
    answer = ask(HTTP_AUTHORIZATION=f"Bearer {key}")
    assert answer.status_code == 401


def test_requests_are_counted_by_route_and_status() -> None:
    def application(environ, start_response):
        environ[requests.ROUTE] = "/hubs/<slug:slug>/"
        start_response("404 Not Found", [])
        return [b""]

    def count(path: str, **environ) -> float:
        labels = {"method": "GET", "route": environ.pop("route"), "status": "404"}
        before = requests.registry.get_sample_value("affluence_http_requests_total", labels) or 0
        called = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.input": io.BytesIO()}
        list(requests.Requests(application)(called, lambda *_: None))
        return (requests.registry.get_sample_value("affluence_http_requests_total", labels) or 0) - before

    assert [
        count("/hubs/acme/", route="/hubs/<slug:slug>/"),
        count("/api/events", route="/api/events"),
        count("/static/x.css", route="/static/"),
    ] == [1, 1, 1]


def test_the_pattern_of_the_path_is_told() -> None:
    answer = Client().get("/api/hubs/acme/stats")
    assert answer.wsgi_request.environ[requests.ROUTE] == "/api/hubs/<slug:hub>/stats"


def test_the_docs_list_every_figure() -> None:
    append(1)
    seam.run_now(Run.HOURLY)
    ask()
    with event_log().writer() as writer:
        writer.reject([Rejection("acme", "invalid_page", "", b"{}", 1)])
    families = text_string_to_metric_families(ask().content.decode())
    names = {family.name for family in families if family.name.startswith("affluence_")}
    assert {name for name in names if f"`{name}" not in DOCS} == set()
