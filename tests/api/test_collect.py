"""POST /api/events, through the WSGI callable, into the log."""

import gzip
import io
import json
import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from events.collector import Collector, address_of, language_of
from events.committer import Committer
from events.intake import Batch, Intake
from events.log import Account, LogBusy, event_log
from events.models import Account as AccountRow
from events.models import ApiKey, Hub, RejectedCount, RejectedEvent
from events.throttle import Throttle

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

MIB = 1024 * 1024
WAITS = {"1", "2", "3", "4", "5"}


@pytest.fixture
def hub() -> Hub:
    return Hub.objects.create(slug="acme")


@pytest.fixture
def collector(hub) -> Collector:
    def django_application(environ, start_response):
        start_response("200 OK", [])
        return [b"django"]

    return Collector(django_application)


@pytest.fixture
def post(collector):
    """Post a body; answers (status, JSON or None, headers)."""

    def send(body, **environ):
        return request(collector, body if isinstance(body, bytes) else json.dumps(body).encode(), **environ)

    return send


def request(collector, body: bytes = b"", method: str = "POST", path: str = "/api/events", **environ):
    seen = {}

    def start_response(status, headers):
        seen.update(status=int(status[:3]), headers=dict(headers))

    parts = collector(
        {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "text/plain",
            "REMOTE_ADDR": "192.0.2.1",
            "wsgi.input": io.BytesIO(body),
        }
        | environ,
        start_response,
    )
    content = b"".join(parts)
    is_json = seen["headers"].get("Content-Type") == "application/json"
    return seen["status"], json.loads(content) if is_json else content, seen["headers"]


def event(**fields) -> dict:
    return {"hub": "acme", "action": "view", "visitor": "ann"} | fields


def logged() -> list:
    return [event for chunk in event_log().read({}) for event in chunk.events]


def bearer(key: str) -> dict:
    return {"HTTP_AUTHORIZATION": f"Bearer {key}"}


def test_it_hands_other_paths_to_django(collector):
    assert request(collector, path="/api/metrics")[1] == b"django"


def test_it_takes_one_event(post):
    status, answer, headers = post(event(media="m", title="É"))
    assert (status, answer) == (202, {"accepted": 1, "duplicates": 0, "rejected": []})
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert [(e.hub, e.media, e.title) for e in logged()] == [("acme", "m", "É")]


def test_it_spares_the_neighbours_of_a_bad_event(post):
    status, answer, _ = post({"events": [event(id="a"), event(page=0), 5, event(id="a"), event(hub="no")]})
    assert (status, answer) == (
        202,
        {
            "accepted": 1,
            "duplicates": 1,
            "rejected": [
                {
                    "index": 1,
                    "code": "invalid_page",
                    "detail": "page must be a whole number from 1 to 2147483647, not 0.",
                },
                {"index": 2, "code": "invalid_event", "detail": "An event must be an object, not 5."},
                {"index": 4, "code": "unknown_hub", "detail": "hub 'no' is not known, or not the hub of this key."},
            ],
        },
    )
    assert [row.code for row in RejectedEvent.objects.order_by("id")] == [
        "invalid_page",
        "invalid_event",
        "unknown_hub",
    ]


def test_it_answers_202_where_all_are_rejected(post):
    status, answer, _ = post({"events": [{}]})
    assert (status, answer["accepted"], answer["rejected"][0]["code"]) == (202, 0, "missing_hub")
    assert event_log().head() == {}


def test_it_does_not_claim_the_id_of_a_rejected_event(post):
    post(event(id="a", page=0))
    assert post(event(id="a", page=1))[1] == {"accepted": 1, "duplicates": 0, "rejected": []}


def test_it_takes_no_events(post):
    assert post({"events": []})[:2] == (202, {"accepted": 0, "duplicates": 0, "rejected": []})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'{"events":1}', b"\xff\xfe"])
def test_it_refuses_what_is_no_event(post, body):
    status, answer, _ = post(body)
    assert (status, answer["error"]["code"], sorted(answer["error"])) == (
        400,
        "invalid_json",
        ["code", "detail", "field"],
    )


def test_it_refuses_too_many_events(post):
    assert post({"events": [event()] * 1000})[1]["accepted"] == 1000
    assert post({"events": [event()] * 1001})[0] == 413


def test_it_refuses_too_many_bytes(post):
    body = json.dumps(event(nonsense="x" * (MIB - 100))).encode()
    fitting, large = body.ljust(MIB), body.ljust(MIB + 1)
    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    assert [post(fitting)[0], post(large)[0]] == [202, 413]
    assert [post(fitting, **chunked)[0], post(large, **chunked)[0]] == [202, 413]
    assert post(gzip.compress(fitting), HTTP_CONTENT_ENCODING="gzip")[0] == 202
    assert post(gzip.compress(large), HTTP_CONTENT_ENCODING="gzip")[0] == 413


def test_it_refuses_a_body_that_breaks_off(post):
    assert post(b"{}", CONTENT_LENGTH="9")[0] == 400
    assert post(gzip.compress(b"{}")[:-4], HTTP_CONTENT_ENCODING="gzip")[0] == 400
    assert post(b"{}", HTTP_CONTENT_ENCODING="gzip")[0] == 400
    assert post(b"{}", HTTP_CONTENT_ENCODING="br")[0] == 415
    assert post(b"{}", CONTENT_LENGTH="-1")[0] == 400


def test_it_answers_a_preflight(collector):
    status, content, headers = request(collector, method="OPTIONS")
    assert (status, content, headers["Access-Control-Allow-Methods"]) == (204, b"", "POST, OPTIONS")


def test_it_refuses_other_methods(collector):
    status, _, headers = request(collector, method="GET")
    assert (status, headers["Allow"]) == (405, "POST, OPTIONS")


def test_it_refuses_keys_that_cannot_send(post, hub):
    revoked = ApiKey.issue(hub, ApiKey.INGEST)
    ApiKey.objects.update(revoked_at=timezone.now())
    read = ApiKey.issue(hub, ApiKey.READ)
    sent = [post(event(), **bearer(key)) for key in ("no", revoked, read)]
    assert [(status, answer["error"]["code"]) for status, answer, _ in sent] == [
        (401, "unknown_key"),
        (401, "unknown_key"),
        (403, "wrong_scope"),
    ]
    assert post(event(), HTTP_AUTHORIZATION="Basic YTpi")[0] == 401


def test_it_asks_for_another_key_as_http_has_it(post):
    status, _, headers = post(event(), **bearer("aff_ingest_nonsense"))
    assert (status, headers.get("WWW-Authenticate")) == (401, "Bearer")


def test_a_key_has_no_age_limit_but_1970(post, hub):
    key = bearer(ApiKey.issue(hub, ApiKey.INGEST))
    rejected = post(event(occurred_at="1969-12-31T23:59:59Z"), **key)[1]["rejected"]
    detail = "occurred_at must be in 1970 or later, not '1969-12-31T23:59:59Z'."
    assert rejected == [{"index": 0, "code": "invalid_occurred_at", "detail": detail}]


def test_it_shows_values_as_they_were_sent(post):
    events = [None, ["a"], event(page=True), event(media=["a", None]), event(properties={"a": None}), event(page="x")]
    details = [rejected["detail"] for rejected in post({"events": events})[1]["rejected"]]
    assert [detail.rpartition("not ")[2] for detail in details] == [
        "null.", '["a"].', "true.", '["a", null].', '{"a": null}.', "'x'.",
    ]  # fmt: skip


@pytest.fixture
def slow(hub, settings) -> Collector:
    """A collector that takes one request a minute of an address and two of a key, and hardly more."""
    settings.COLLECT_RATE, settings.COLLECT_KEY_RATE = 1, 2
    slow = Collector(lambda environ, start_response: [])
    slow._addresses, slow._keys = Throttle(1 / 60, 1), Throttle(1 / 60, 2)
    return slow


def test_it_asks_an_address_to_come_back(slow):
    body = json.dumps(event()).encode()
    found = [request(slow, body, REMOTE_ADDR=address) for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2")]
    detail = "More than 1 requests a second come from this address; send again in 60 s, with more events in each."
    assert [(status, answer.get("error")) for status, answer, _ in found] == [
        (202, None),
        (429, {"code": "too_many_requests", "detail": detail, "field": None}),
        (202, None),
    ]
    assert found[1][2]["Retry-After"] == "60"


def test_it_has_no_limit_for_the_machine_itself(slow):
    body = json.dumps(event()).encode()
    assert [request(slow, body, REMOTE_ADDR="127.0.0.1")[0] for _ in range(3)] == [202] * 3


def test_it_counts_keys_and_those_who_guess_them(slow, hub):
    key, body = bearer(ApiKey.issue(hub, ApiKey.INGEST)), json.dumps(event()).encode()
    statuses = [request(slow, body, **headers)[0] for headers in (key, key, key, bearer("no"), bearer("no"), {})]
    assert statuses == [202, 202, 429, 401, 429, 429]


def test_a_curl_without_a_key_is_a_robot(post):
    post(event(), HTTP_USER_AGENT="curl/8.5.0")
    assert [found.is_bot for found in logged()] == [True]


def test_it_remembers_no_key(collector):
    key = "k" * 60_000
    request(collector, b"{}", **bearer(key))
    assert [len(name) for name in collector._grant_of._answers] == [64]


def test_it_lets_an_ingest_key_send_for_its_hub_alone(post, hub):
    Hub.objects.create(slug="other")
    key = ApiKey.issue(hub, ApiKey.INGEST)
    old = event(occurred_at="2001-01-01T00:00:00Z", country="FR", language="fr")
    assert post(old, **bearer(key))[1]["accepted"] == 1
    assert post(event(hub="other"), **bearer(key))[1]["rejected"][0]["code"] == "unknown_hub"
    assert post(old)[1]["rejected"][0]["code"] == "too_old"
    assert [(e.country, e.language, e.occurred_at) for e in logged()] == [("FR", "fr", 978_307_200_000)]


def test_it_never_stores_an_address(post, settings):
    key = ApiKey.issue(Hub.objects.get(), ApiKey.INGEST)
    post({"hub": "acme", "action": "view", "ip": "198.51.100.77", "page": 0}, **bearer(key))
    post({"hub": "acme", "action": "view", "ip": "198.51.100.77"}, **bearer(key))
    assert b"198.51.100" not in bytes(RejectedEvent.objects.get().payload)
    assert "198.51.100" not in repr(logged())


def test_it_keeps_a_bounded_number_of_rejections_of_public_callers(post, hub, monkeypatch):
    monkeypatch.setattr("events.logs.orm.SAMPLES", 3)
    key = ApiKey.issue(hub, ApiKey.INGEST)
    for _ in range(2):
        post({"events": [event(hub=f"no{n}") for n in range(4)] + [event(page=0)] * 2})
        post({"events": [event(page=0)] * 4}, **bearer(key))
    kept = Counter(RejectedEvent.objects.values_list("hub", "code"))
    counts = {(row.hub, row.code): (row.count, row.public) for row in RejectedCount.objects.all()}
    assert (kept, counts) == (
        {("", "unknown_hub"): 3, ("acme", "invalid_page"): 3 + 8},
        {("", "unknown_hub"): (8, 8), ("acme", "invalid_page"): (12, 4)},
    )


def test_it_takes_a_thousand_times_the_same_id_at_once(post):
    answers = []

    def send():
        answers.append(post({"events": [event(id=f"e{n}") for n in range(20)]})[1])

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sum(a["accepted"] for a in answers), sum(a["duplicates"] for a in answers)) == (20, 220)
    assert sorted(e.id for e in logged()) == sorted(f"e{n}" for n in range(20))


class FailingIntake(Intake):
    """An intake whose commits fail as told."""

    error: Exception | None = None
    poison: str | None = None

    def commit(self, batches):
        ids = {draft.sent.id for batch in batches for draft in batch.drafts}
        if self.error:
            raise self.error
        if self.poison in ids:
            raise RuntimeError("poison")
        return super().commit(batches)


def test_it_asks_to_come_back_while_the_log_is_busy(hub):
    intake = FailingIntake()
    intake.error = LogBusy("The log is busy.")
    collector = Collector(None, lambda: intake)
    body = json.dumps(event(id="a")).encode()
    status, answer, headers = request(collector, body)
    assert (status, answer["error"]["code"], headers["Retry-After"] in WAITS) == (503, "busy", True)
    intake.error = None
    assert request(collector, body)[1] == {"accepted": 1, "duplicates": 0, "rejected": []}


def test_it_answers_500_for_the_poisoned_batch_alone(hub, post):
    intake = FailingIntake()
    intake.poison = "bad"
    collector = Collector(None, lambda: intake)
    sent = [request(collector, json.dumps(event(id=name)).encode())[0] for name in ("a", "bad", "b")]
    assert sent == [202, 500, 202]


class SlowIntake(Intake):
    """An intake that waits for a sign before it commits."""

    def __init__(self):
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()

    def commit(self, batches):
        self.entered.set()
        self.go.wait(10)
        return super().commit(batches)


def test_it_never_writes_a_batch_that_it_gave_up(hub):
    intake = SlowIntake()
    collector = Collector(None, lambda: intake)
    collector._committer = Committer(lambda: intake, patience_s=0.05)
    answers = {}

    def send(name):
        answers[name] = request(collector, json.dumps(event(id=name)).encode())[0]

    taken = threading.Thread(target=send, args=("taken",))
    taken.start()
    intake.entered.wait(10)
    send("left")
    intake.go.set()
    taken.join()
    send("later")
    assert answers == {"taken": 202, "left": 503, "later": 202}
    assert sorted(e.id for e in logged()) == ["later", "taken"]


def test_it_answers_while_the_log_cannot_be_opened_and_collects_when_it_can(hub):
    can_open = threading.Event()

    def make_intake():
        if not can_open.is_set():
            raise OSError("no log")
        return Intake()

    collector = Collector(None, make_intake)
    collector._committer = Committer(make_intake, patience_s=0.1, retry_s=0.01)
    body = json.dumps(event(id="a")).encode()
    status, answer, headers = request(collector, body)
    can_open.set()
    collector._committer._patience_s = 10
    again = request(collector, body)[1]
    assert (status, answer["error"]["code"], headers["Retry-After"] in WAITS, again["accepted"]) == (
        503,
        "busy",
        True,
        1,
    )


def test_it_asks_to_come_back_where_keys_cannot_be_looked_up(hub):
    def look_up(digest: str) -> None:
        raise OperationalError("the connection was refused")

    collector = Collector(None)
    collector._grant_of = look_up
    status, answer, headers = request(collector, json.dumps(event()).encode(), HTTP_AUTHORIZATION="Bearer key")
    assert (status, answer["error"]["code"], headers["Retry-After"] in WAITS) == (503, "busy", True)


def test_it_says_that_it_does_not_know_when_a_write_takes_too_long(hub):
    intake = SlowIntake()
    collector = Collector(None)
    collector._committer = Committer(lambda: intake, patience_s=0.05, write_s=0.05)
    body = json.dumps(event(id="a")).encode()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(request(collector, body)))
    asking.start()
    asking.join(5)
    intake.go.set()
    asking.join()
    collector._committer._write_s = 10
    again = request(collector, body)[1]
    ((status, answer, headers),) = answers
    assert (status, answer.get("error", {}).get("code"), headers.get("Retry-After") in WAITS, again["duplicates"]) == (
        503,
        "outcome_unknown",
        True,
        1,
    )


def test_a_hub_that_floods_the_queue_leaves_a_place_for_the_others(hub, monkeypatch):
    monkeypatch.setattr("events.committer.MAX_WAITING_EVENTS", 3)
    Hub.objects.create(slug="other")
    intake = SlowIntake()
    collector = Collector(None, lambda: intake)
    statuses = {}

    def send(name, slug="acme"):
        statuses[name] = request(collector, json.dumps(event(id=name, hub=slug)).encode())[0]

    waiting = [threading.Thread(target=send, args=args) for args in (("a",), ("b",), ("d", "other"))]
    waiting[0].start()
    intake.entered.wait(10)
    waiting[1].start()
    while not collector._committer._queue:
        pass
    send("c")
    waiting[2].start()
    while len(collector._committer._queue) < 2:
        pass
    intake.go.set()
    for thread in waiting:
        thread.join()
    assert statuses == {"a": 202, "b": 202, "c": 503, "d": 202}


def test_a_request_of_several_hubs_takes_the_place_of_each_for_its_events(hub, monkeypatch):
    monkeypatch.setattr("events.committer.MAX_WAITING_EVENTS", 5)
    Hub.objects.create(slug="other")
    intake = SlowIntake()
    collector = Collector(None, lambda: intake)
    statuses = {}

    def send(name, *slugs):
        body = {"events": [event(hub=slug) for slug in slugs]}
        statuses[name] = request(collector, json.dumps(body).encode())[0]

    waiting = [threading.Thread(target=send, args=args) for args in (("a", "other", "acme", "acme"), ("c", "other"))]
    waiting[0].start()
    intake.entered.wait(10)
    refused = threading.Thread(target=send, args=("b", "acme"))
    refused.start()
    refused.join(5)
    waiting[1].start()
    while not collector._committer._queue:
        pass
    intake.go.set()
    for thread in (*waiting, refused):
        thread.join()
    free, used = collector._committer._room._free, collector._committer._room._used
    assert (statuses, free[1], used) == ({"a": 202, "b": 503, "c": 202}, 5, {})


@pytest.mark.parametrize(
    "body",
    [
        b'{"hub": "acme", "action": "view", "z": "\xff"}',
        b'{"events": [{"hub": "acme", "action": "view"}, {"hub": "acme", "z": "\xff"}]}',
        b'{"events": [{"hub": "acme", "action": "view"}, {"hub": "acme", "z": ' + b"[" * 993 + b"]" * 993 + b"}]}",
    ],
)
def test_what_nobody_reads_must_be_json_too(hub, body):
    status, answer, _ = request(Collector(None), body)
    assert (status, answer["error"]["code"], logged()) == (400, "invalid_json", [])


def test_every_event_that_comes_in_is_accounted_for(hub, post):
    post({"events": [event(id="a"), event(id="a"), event(page=0), event(hub="nobody"), "no event"]})
    hour = int(timezone.now().timestamp()) // 3_600
    found = [account for _, account in sorted(event_log().accounts(hour - 1, hour + 1).items())]
    rows = [(row.hub, row.received, row.accepted, row.duplicates, row.rejected) for row in AccountRow.objects.all()]
    assert (found, sorted(rows)) == ([Account(5, 1, 1, 3, 0, 1)], [("", 2, 0, 0, 2), ("acme", 3, 1, 1, 1)])


def test_it_clamps_a_clock_that_is_ahead(post):
    post(event(occurred_at=(timezone.now() + timedelta(minutes=6)).isoformat()))
    (stored,) = logged()
    assert (stored.is_clamped, stored.occurred_at) == (True, stored.received_at)


def test_it_believes_as_many_proxies_as_it_is_told(settings):
    environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "6.6.6.6, 192.0.2.9, 10.0.0.2"}
    found = []
    for settings.TRUSTED_PROXIES in (0, 1, 2, 4):
        found.append(address_of(environ))
    assert found == ["10.0.0.1", "10.0.0.2", "192.0.2.9", "10.0.0.1"]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("fr-CH, en;q=0.5", "fr"),
        ("EN", "en"),
        ("*", None),
        ("", None),
        ("x", None),
        ("123", None),
        ("zh-Hant;q=1", "zh"),
    ],
)
def test_it_reads_the_first_language(header, language):
    assert language_of(header) == language


def test_an_empty_batch_needs_no_commit():
    assert Committer(lambda: None).commit(Batch()).accepted == 0
