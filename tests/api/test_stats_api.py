"""The REST API with real requests: shapes, errors, who may ask."""

import base64
import csv
import io
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from batch.models import Run
from events import catalogue
from events.models import ApiKey, Hub, Membership
from events.throttle import Throttle
from speed import consumer
from tests.api.test_stats_oracle import METRICS, append, fresh  # noqa: F401 (a fixture)
from views_layer import seam
from views_layer.api import access

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

EVENTS: list[dict[str, Any]] = [
    {"hub": "acme", "action": "view", "media": "cat-1", "title": "A, B", "visitor": "ann", "occurred_at": "2024-06-11T10:00:00Z"},
    {"hub": "acme", "action": "share", "media": "cat-1", "visitor": "ann", "occurred_at": "2024-06-11T10:01:00Z",
     "properties": {"paid": True}},
    {"hub": "acme", "action": "view", "visitor": "bob", "occurred_at": "2024-06-11T11:00:00Z"},
]  # fmt: skip
DAY = "from=2024-06-11&to=2024-06-12"


@pytest.fixture
def hub(fresh) -> Hub:  # noqa: F811
    hub = Hub.objects.create(slug="acme", timezone="Europe/Paris")
    Hub.objects.create(slug="other")
    catalogue.forget()
    append(EVENTS)
    consumer.apply_new()
    return hub


@pytest.fixture
def reader(hub) -> Client:
    return Client(headers={"Authorization": f"Bearer {ApiKey.issue(hub, ApiKey.READ)}"})


def stats(client: Client, query: str, slug: str = "acme") -> Any:
    return client.get(f"/api/hubs/{slug}/stats?{query}")


def test_it_answers_in_the_documented_shape(reader):
    answer = stats(reader, f"metrics=visits&by=media&{DAY}").json()
    as_of = datetime.fromisoformat(answer["meta"].pop("as_of"))
    assert abs(timezone.now() - as_of) < timedelta(seconds=30)
    assert answer == {
        "query": {
            "hub": "acme", "metrics": ["visits"], "by": ["media"],
            "from": "2024-06-10T22:00:00Z", "to": "2024-06-11T22:00:00Z", "timezone": "Europe/Paris",
        },
        "results": [{"media": "cat-1", "visits": 1}, {"media": None, "visits": 1}],
        "totals": {"visits": 2},
        "meta": {
            "batch_until": None, "exact": True, "provisional": True, "source": "views+buffers", "total_rows": 2,
            "next_cursor": None, "warnings": [],
        },
    }  # fmt: skip


def test_it_says_what_it_was_computed_with(reader):
    query = stats(reader, f"metrics=visits&{DAY}&robots=exclude&interval=day&media=cat-1&order=-visits").json()["query"]
    assert query == {
        "hub": "acme", "metrics": ["visits"], "from": "2024-06-10T22:00:00Z", "to": "2024-06-11T22:00:00Z",
        "timezone": "Europe/Paris", "interval": "day", "robots": "exclude", "order": "-visits",
        "filters": {"media": ["cat-1"]},
    }  # fmt: skip


def test_a_batch_run_closes_the_day(reader):
    seam.run_now(Run.HOURLY)
    meta = stats(reader, f"metrics=visits&{DAY}").json()["meta"]
    assert (meta["provisional"], meta["exact"]) == (False, True)
    assert abs(timezone.now() - datetime.fromisoformat(meta["batch_until"])) < timedelta(minutes=2)


def test_it_answers_from_raw_events_what_no_rollup_holds(reader):
    answer = stats(reader, f"metrics=events&by=properties.paid&{DAY}").json()
    assert answer["meta"]["source"] == "raw"
    assert answer["results"] == [{"properties.paid": None, "events": 2}, {"properties.paid": True, "events": 1}]


def test_it_answers_as_csv(reader):
    response = stats(reader, f"metrics=events,bounce_rate&by=media,properties.paid&{DAY}&compare=previous&format=csv")
    assert response["Content-Type"].startswith("text/csv")
    assert list(csv.reader(io.StringIO(response.content.decode()))) == [
        ["media", "properties.paid", "events", "bounce_rate", "previous.events", "previous.bounce_rate"],
        ["", "", "1", "1.0", "0", ""],
        ["cat-1", "", "1", "1.0", "0", ""],
        ["cat-1", "true", "1", "0.0", "0", ""],
    ] or response.content.decode().splitlines()[1:] == [
        "cat-1,true,1,0.0,0,", "cat-1,,1,1.0,0,", ",,1,1.0,0,",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "code", "field", "offending"),
    [
        ("", "missing_metrics", "metrics", "events"),
        ("metrics=sales", "invalid_metrics", "metrics", "'sales'"),
        ("metrics=events&period=8d", "invalid_period", "period", "'8d'"),
        ("metrics=events&period=7d&from=2024-06-11", "invalid_period", "period", "both"),
        ("metrics=events&to=2024-06-11", "missing_from", "from", "from"),
        ("metrics=events&from=June", "invalid_from", "from", "'June'"),
        ("metrics=events&from=2024-06-11&to=2024-02-30", "invalid_to", "to", "'2024-02-30'"),
        ("metrics=events&from=2024-06-11&to=2024-06-11", "invalid_to", "to", "2024-06-11"),
        ("metrics=events&timezone=Mars/Olympus", "invalid_timezone", "timezone", "'Mars/Olympus'"),
        ("metrics=events&timezone=../etc/passwd", "invalid_timezone", "timezone", "passwd"),
        ("metrics=events&interval=minute", "invalid_interval", "interval", "'minute'"),
        ("metrics=events&by=colour", "invalid_by", "by", "'colour'"),
        ("metrics=events&by=properties.", "invalid_by", "by", "'properties.'"),
        ("metrics=events&colour=red", "unknown_parameter", "colour", "'colour'"),
        ("metrics=events&page=two", "invalid_page", "page", "'two'"),
        ("metrics=events&page=1_0", "invalid_page", "page", "'1_0' is not a whole number from 1 to 2147483647"),
        ("metrics=events&page=%D9%A3", "invalid_page", "page", "'٣'"),
        ("metrics=events&page=1.0", "invalid_page", "page", "'1.0'"),
        ("metrics=events&page=0", "invalid_page", "page", "'0'"),
        ("metrics=events&page=2147483648", "invalid_page", "page", "'2147483648'"),
        ("metrics=events&page=+1", "invalid_page", "page", "' 1'"),
        ("metrics=events&visit_number=007", "invalid_visit_number", "visit_number", "'007'"),
        (
            "metrics=events&hour_of_day=99",
            "invalid_hour_of_day",
            "hour_of_day",
            "'99' is not a whole number from 0 to 23",
        ),
        ("metrics=events&weekday=0", "invalid_weekday", "weekday", "'0' is not a whole number from 1 to 7"),
        ("metrics=events&order=--events", "invalid_order", "order", "'-events'"),
        ("metrics=events&order=%2Bevents", "invalid_order", "order", "'+events'"),
        ("metrics=events&from=&to=", "invalid_from", "from", "from '' is neither"),
        ("metrics=events&hour_of_day=noon", "invalid_hour_of_day", "hour_of_day", "'noon'"),
        ("metrics=events&robots=some", "invalid_robots", "robots", "'some'"),
        ("metrics=events&compare=tomorrow", "invalid_compare", "compare", "'tomorrow'"),
        ("metrics=events&by=previous&compare=year", "invalid_compare", "compare", "previous"),
        ("metrics=events&order=-views", "invalid_order", "order", "'views'"),
        ("metrics=events&order=time", "invalid_order", "order", "'time'"),
        ("metrics=events&limit=0", "invalid_limit", "limit", "'0'"),
        ("metrics=events&limit=10001", "invalid_limit", "limit", "'10001'"),
        ("metrics=events&cursor=nonsense", "invalid_cursor", "cursor", "'nonsense'"),
        ("metrics=events&format=xml", "invalid_format", "format", "'xml'"),
    ],
)
def test_an_error_names_the_value_and_the_field(reader, query, code, field, offending):
    response = stats(reader, query)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["field"]) == (400, code, field)
    assert offending in error["detail"]
    assert set(error) == {"code", "detail", "field"}


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/api/hubs/acme/media?period=7d", "'period' is no parameter; use search, limit, cursor."),
        ("/api/hubs/acme/live?period=7d", "'period' is no parameter; there are none here."),
        ("/api/hubs/acme/restatements?metrics=x", "'metrics' is no parameter; use period, from, to, timezone."),
        ("/api/metrics?hub=acme", "'hub' is no parameter; there are none here."),
    ],
)
def test_every_address_refuses_parameters_that_it_does_not_know(reader, path, detail):
    response = reader.get(path)
    name = path.partition("?")[2].partition("=")[0]
    assert (response.status_code, response.json()) == (
        400,
        {"error": {"code": "unknown_parameter", "detail": detail, "field": name}},
    )


def test_the_cursor_of_another_question_is_refused(reader):
    cursor = stats(reader, f"metrics=events&by=media&limit=1&order=media&{DAY}").json()["meta"]["next_cursor"]
    response = stats(reader, f"metrics=events&by=media&limit=1&{DAY}&cursor={cursor}")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_cursor")


PATHS = ("stats?metrics=events", "media", "live", "restatements")


@pytest.mark.parametrize("path", PATHS)
def test_who_may_ask(hub, reader, path):
    member, stranger, staff = (User.objects.create_user(name) for name in ("ann", "eve", "sam"))
    staff.is_staff = True
    staff.save()
    Membership.objects.create(user=member, hub=hub)

    def signed_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    ingest = Client(headers={"Authorization": f"Bearer {ApiKey.issue(hub, ApiKey.INGEST)}"})
    unknown = Client(headers={"Authorization": "Bearer aff_read_nonsense"})
    found = [
        client.get(f"/api/hubs/{slug}/{path}").status_code
        for client, slug in [
            (Client(), "acme"), (unknown, "acme"), (ingest, "acme"), (reader, "acme"), (reader, "other"), (reader, "none"),
            (signed_in(member), "acme"), (signed_in(member), "other"), (signed_in(stranger), "acme"), (signed_in(staff), "other"),
        ]
    ]  # fmt: skip
    assert found == [401, 401, 403, 200, 404, 404, 200, 404, 404, 200]
    assert Client().get(f"/api/hubs/acme/{path}")["WWW-Authenticate"] == "Bearer"


def test_keys_that_do_not_do_are_named_as_the_collector_names_them(hub, client):
    found = []
    for key in ("aff_read_nonsense", ApiKey.issue(hub, ApiKey.INGEST)):
        response = client.get("/api/hubs/acme/live", headers={"Authorization": f"Bearer {key}"})
        found.append((response.status_code, response.json()["error"]["code"], response.get("WWW-Authenticate")))
    assert found == [(401, "unknown_key", "Bearer"), (403, "wrong_scope", None)]


def test_a_key_that_asks_too_often_is_asked_to_come_back(hub, reader, monkeypatch):
    monkeypatch.setattr(access, "_callers", Throttle(1 / 60, 2))
    second = Client(headers={"Authorization": f"Bearer {ApiKey.issue(hub, ApiKey.READ)}"})
    clients = (reader, reader, second, reader)
    responses = [client.get("/api/hubs/acme/media") for client in clients]
    detail = "Each key, link and session may ask 12000 times a minute; ask again in 60 s."
    assert [response.status_code for response in responses] == [200, 200, 200, 429]
    assert (responses[-1]["Retry-After"], responses[-1].json()) == (
        "60",
        {"error": {"code": "too_many_requests", "detail": detail, "field": None}},
    )


def test_an_address_that_guesses_keys_is_asked_to_come_back(hub, reader, monkeypatch):
    monkeypatch.setattr(access, "_failures", Throttle(1 / 60, 2))
    guesser = Client(REMOTE_ADDR="192.0.2.1", headers={"Authorization": "Bearer aff_read_nonsense"})
    nobody, other = (Client(REMOTE_ADDR=address) for address in ("192.0.2.1", "192.0.2.2"))
    found = [client.get("/api/hubs/acme/media").status_code for client in (guesser, nobody, guesser, nobody, other)]
    assert (found, reader.get("/api/hubs/acme/media", REMOTE_ADDR="192.0.2.1").status_code) == (
        [401, 401, 429, 429, 401],
        200,
    )


@pytest.mark.parametrize("path", [*(f"hubs/acme/{path.partition('?')[0]}" for path in PATHS), "metrics"])
def test_options_say_what_is_allowed_and_nothing_of_a_hub(hub, client, path):
    response = client.options(f"/api/{path}")
    assert (response.status_code, response["Allow"], response.content) == (204, "GET, HEAD, OPTIONS", b"")


@pytest.mark.parametrize("path", [*(f"hubs/acme/{path}" for path in PATHS), "metrics", "schema"])
def test_an_address_answers_with_a_slash_too(reader, path):
    address, _, query = path.partition("?")
    assert [reader.get(f"/api/{address}{slash}?{query}").status_code for slash in ("", "/")] == [200, 200]


def test_health_refuses_other_methods_as_the_api_does(client):
    response = client.post("/healthz")
    assert (response.status_code, response["Allow"], response.json()) == (
        405,
        "GET, HEAD",
        {"error": {"code": "method_not_allowed", "detail": "POST is not allowed here; use GET.", "field": None}},
    )


def test_the_catalogue_of_metrics(client):
    metrics = client.get("/api/metrics").json()["metrics"]
    assert [metric["name"] for metric in metrics] == METRICS
    assert all(
        {"name", "definition", "unit", "additive", "dimensions"} <= metric.keys() and metric["definition"]
        for metric in metrics
    )
    additive = {metric["name"] for metric in metrics if metric["additive"]}
    assert additive == set(METRICS) - {
        "visits", "visitors", "new_visitors", "returning_visitors", "engaged_visits", "avg_visit_duration_ms",
        "visits_per_visitor", "bounce_rate",
    }  # fmt: skip


def test_the_catalogue_of_media(reader):
    found = reader.get("/api/hubs/acme/media?search=a,").json()
    assert [(media["media"], media["title"]) for media in found["results"]] == [("cat-1", "A, B")]
    assert reader.get("/api/hubs/acme/media?search=zzz").json()["results"] == []


def test_the_last_minutes(reader):
    now = timezone.now()
    at = [now - timedelta(minutes=minutes) for minutes in (1, 7)]
    from events.intake import Batch, Intake
    from events.normaliser import Caller, normalise
    from events.sent import TrustedSent, checked_or_reject

    drafts = [
        normalise(
            checked_or_reject(
                {
                    "hub": "acme",
                    "action": "view",
                    "media": "cat-2",
                    "visitor": f"v{n}",
                    "occurred_at": moment.isoformat(),
                },
                TrustedSent,
            ),
            Caller(lambda hub: 0, True),
            int(now.timestamp() * 1000),
        )
        for n, moment in enumerate(at)
    ]
    Intake().append([Batch(drafts)])
    consumer.apply_new()
    live = reader.get("/api/hubs/acme/live").json()
    assert (live["visitors"], live["media"], len(live["minutes"])) == (1, [{"media": "cat-2", "visitors": 1}], 30)
    assert sum(minute["events"] for minute in live["minutes"]) == 2
    assert set(live["minutes"][0]) == {"time", "events", "visitors"}


def test_the_schema_names_the_paths(client):
    schema = client.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    paths = json.loads(schema.content)["paths"]
    of_hubs = ("stats", "live", "media", "restatements", "dissemination", "retribution", "recommendations")
    assert set(paths) == {f"/api/hubs/{{hub}}/{name}" for name in of_hubs} | {
        "/api/metrics",
        "/api/features",
        "/api/journeys",
    }


@pytest.mark.parametrize(("name", "status"), [("cursor", 400), ("properties.x", 200)])
def test_deep_nesting_in_a_parameter_is_no_fault(reader, name, status):
    deep = "[" * 3_000
    value = base64.urlsafe_b64encode(deep.encode()).decode() if name == "cursor" else deep
    assert reader.get("/api/hubs/acme/stats", {"metrics": "events", name: value}).status_code == status
