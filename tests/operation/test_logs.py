"""Log lines: their two forms, the ids they name, and what they never hold."""

import io
import json
import logging
import re
from collections.abc import Callable

import pytest
from django.contrib.auth import get_user_model
from django.core.handlers.wsgi import WSGIHandler
from django.db import OperationalError
from django.test import Client
from django.urls import path

from events.collector import Collector
from events.committer import Committer
from events.log import LogAway
from events.models import ApiKey, Hub
from speed.tasks import apply_log
from statsproject import logs, requests
from statsproject.processes import REDIS_CHATTER
from statsproject.supervisor import named
from statsproject.urls import handler500, urlpatterns  # noqa: F401 (of this module's own URLs)

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

KEY = "aff_ingest_0123456789abcdefghij"
PRIVATE = ("203.0.113.77", "v-secret-visitor", "cat-secret", "Secret title", "0123456789abcdefghij", "tok-en-9")


def broken(request):
    raise ValueError("a fault")


urlpatterns = [path("broken", broken), *urlpatterns]


def record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("speed.consumer", logging.WARNING, __file__, 1, message, (), exc_info)


@pytest.fixture
def lines():
    """What is logged, one dict a line."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    logging.getLogger().addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.getLogger().removeHandler(handler)


def call(application, path: str = "/api/events", body: bytes = b"", method: str = "POST", **environ):
    """Status, headers and content of a request through `Requests`."""
    seen = {}

    def start_response(status, headers, *_):
        seen.update(status=int(status[:3]), headers=dict(headers))

    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": PRIVATE[0],
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(body),
    } | environ
    content = b"".join(requests.Requests(application)(environ, start_response))
    return seen["status"], seen["headers"], content


def django_application(environ, start_response):
    start_response("200 OK", [])
    return [environ["HTTP_X_REQUEST_ID"].encode()]


def test_a_line_for_people_names_the_request() -> None:
    with logs.work("request", "r-1"):
        inside = logs.LineFormatter().format(record("Slow."))
    outside = logs.LineFormatter().format(record("Slow."))
    assert (inside, outside) == ("WARNING speed.consumer: Slow. [request r-1]", "WARNING speed.consumer: Slow.")


def test_a_line_of_json_names_request_and_exception() -> None:
    with logs.work("request", "r-1"):
        line = json.loads(logs.JsonFormatter().format(record("Slow.", ValueError("no"))))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {
        "level": "warning",
        "logger": "speed.consumer",
        "message": "Slow.",
        "request": "r-1",
        "exception": "ValueError: no",
    }


@pytest.mark.parametrize("error", [None, ValueError("é" * 9_000 + " the end")])
def test_a_long_line_is_still_one_object_that_fits_in_a_pipe(error: Exception | None) -> None:
    text = logs.JsonFormatter().format(record("ü" * 3_000 if error is None else "Slow.", error))
    line = json.loads(text)
    assert (len(text.encode()) <= logs.LONGEST_LINE, line.get("exception", " the end")[-8:]) == (True, " the end")


@pytest.mark.parametrize("sent", ["r-1.A_b", None, "", "no spaces", "x" * 65, "r\r\nSet-Cookie: a"])
def test_an_id_is_taken_where_it_is_well_formed_else_made(sent: str | None) -> None:
    environ = {} if sent is None else {"HTTP_X_REQUEST_ID": sent}
    status, headers, content = call(django_application, "/", **environ)
    made = headers["X-Request-Id"]
    assert (status, content.decode(), bool(re.fullmatch(r"[0-9a-f]{16}", made)) or made) == (
        200,
        made,
        sent if sent == "r-1.A_b" else True,
    )


def test_an_error_of_the_collector_names_the_request(lines, monkeypatch) -> None:
    monkeypatch.setattr(Committer, "commit", lambda *_: 1 / 0)
    Hub.objects.create(slug="acme")
    event = json.dumps({"hub": "acme", "action": "view"}).encode()
    status, headers, content = call(Collector(django_application), body=event, HTTP_X_REQUEST_ID="r-1")
    detail = "The events were not accepted because of an error of the server (request r-1)."
    assert (status, headers["X-Request-Id"], json.loads(content)["error"]["detail"]) == (500, "r-1", detail)
    assert [(line["message"], line["request"]) for line in lines()] == [("A request to collect events failed.", "r-1")]


def test_an_error_of_the_api_names_the_request(lines, monkeypatch) -> None:
    monkeypatch.setattr("views_layer.api.views.MetricsView.get", lambda *_: 1 / 0)
    answer = Client(raise_request_exception=False).get("/api/metrics", headers={"X-Request-Id": "r-1"})
    detail = "The question could not be answered because of an error of the server (request r-1)."
    assert (answer.status_code, answer.json()["error"]["detail"]) == (500, detail)


@pytest.mark.parametrize("error", [LogAway("It is away."), OperationalError("disk I/O error")])
def test_a_question_whose_store_is_away_is_asked_to_come_again(error, lines, monkeypatch) -> None:
    monkeypatch.setattr("views_layer.api.views.MetricsView.get", raising(error))
    answer = Client().get("/api/metrics")
    told = (answer.status_code, answer.json()["error"]["code"], answer["Retry-After"])
    assert told == (503, "unavailable", "15")
    assert (repr(error) in lines()[0]["message"], lines()[0]["level"]) == (True, "warning")


@pytest.mark.parametrize("error", [LogAway("It is away."), OperationalError("disk I/O error")])
def test_a_page_whose_store_is_away_is_asked_to_come_again(error, lines, monkeypatch) -> None:
    monkeypatch.setattr("views_layer.pages.views.render", raising(error))
    user = get_user_model().objects.create_user("staff", is_staff=True)
    client = Client()
    client.force_login(user)
    answer = client.get("/")
    assert (answer.status_code, answer["Retry-After"], "out of reach" in answer.content.decode()) == (503, "15", True)
    assert repr(error) in lines()[0]["message"]


def raising(error: Exception) -> Callable:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.urls(__name__)
def test_an_error_of_a_page_names_the_request(lines) -> None:
    answer = Client(raise_request_exception=False).get("/broken", headers={"X-Request-Id": "r-1"})
    assert (answer.status_code, "Request <code>r-1</code>" in answer.content.decode()) == (500, True)


def test_each_line_of_a_task_names_it(lines, redis_url: str, monkeypatch) -> None:
    monkeypatch.setattr("speed.tasks.apply_new", lambda: logging.getLogger("speed.consumer").warning("Slow."))
    apply_log.apply(task_id="t-1")
    logging.getLogger("speed.consumer").warning("After it.")
    said = [(line["message"], line.get("task")) for line in lines() if line["logger"] == "speed.consumer"]
    assert said == [("Slow.", "t-1"), ("After it.", None)]


def test_no_line_holds_an_address_a_key_a_visitor_or_a_payload(lines, monkeypatch, settings) -> None:
    settings.LOG_REQUESTS = True
    settings.ALLOWED_HOSTS = ["*"]
    hub = Hub.objects.create(slug="acme")
    ApiKey.objects.create(hub=hub, scope="ingest", digest=ApiKey.digest_of(KEY))
    application = Collector(WSGIHandler())
    event = {"hub": "acme", "action": "view", "visitor": PRIVATE[1], "media": PRIVATE[2], "title": PRIVATE[3]}
    good, bad = json.dumps(event).encode(), json.dumps(event | {"page": "tok-en-9"}).encode()
    key = {"HTTP_AUTHORIZATION": f"Bearer {KEY}"}
    answered = [
        call(application, body=good)[0],
        call(application, body=bad, **key)[0],
        call(application, body=good[:-1], **key)[0],
        call(application, f"/s/{PRIVATE[5]}", method="GET", **key)[0],
        call(application, f"/nothing/{KEY}", method="GET", **key)[0],
        call(application, "/api/hubs/acme/stats", method="GET", QUERY_STRING=f"visitor={PRIVATE[1]}", **key)[0],
        call(application, "/login", method="POST", body=f"username={PRIVATE[1]}".encode(), **key)[0],
    ]
    monkeypatch.setattr(Committer, "commit", lambda *_: 1 / 0)
    answered.append(call(application, body=good, **key)[0])
    said = json.dumps(lines())
    assert answered[:4] == [202, 202, 400, 404]
    assert answered[-1] == 500
    assert len(lines()) > 4
    assert [word for word in PRIVATE if word in said] == []


def test_passwords_of_urls_are_blanked() -> None:
    said = "No answer from redis://:s3cret@cache:6379/0 nor amqp://me:pw@mq/ nor http://127.0.0.1:8000/x@y."
    assert logs.blanked(said) == (
        "No answer from redis://:…@cache:6379/0 nor amqp://me:…@mq/ nor http://127.0.0.1:8000/x@y."
    )


def test_a_part_is_named_in_its_own_json() -> None:
    assert [json.loads(named(text, "web")) for text in ('{"level": "info"}', "plain", "{broken")] == [
        {"part": "web", "level": "info"},
        {"part": "web", "message": "plain"},
        {"part": "web", "message": "{broken"},
    ]


def test_redis_says_at_start_what_nobody_needs() -> None:
    said = "7613:M 24 Nov 2026 10:45:53.585 # {}"
    unsaid = ["oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo", "Server initialized", "Configuration loaded"]
    kept = ["Bad file format reading the append only file: make a backup", "Can't save in background: fork"]
    assert [bool(REDIS_CHATTER.search(said.format(text))) for text in (*unsaid, *kept)] == [True] * 3 + [False] * 2
