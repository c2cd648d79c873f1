"""Bad requests to collect events are answered with less than 500, and spoil nothing beside them."""

import json
import os
import subprocess
import sys

import pytest

from events.collector import Collector
from events.log import event_log
from events.models import ApiKey, Hub, RejectedEvent
from tests.security.fuzz import Fuzz, kept, refuse, run
from tests.security.wire import post

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)
COUNT = 2_000


@pytest.fixture
def keys() -> dict[str, str]:
    hub = Hub.objects.create(slug="acme")
    return {scope: ApiKey.issue(hub, scope) for scope in (ApiKey.INGEST, ApiKey.READ)}


@pytest.mark.slow
def test_no_bad_request_is_a_fault_and_no_good_event_is_lost(keys: dict[str, str], redis_url: str) -> None:
    fuzz = Fuzz(7, keys)
    found = run(Collector(refuse), fuzz, COUNT)
    log = kept(event_log(), fuzz)
    assert found.faults == []
    assert log == {"events": found.accepted, "good": len(fuzz.good), "wrong": [], "doubled": []}
    rejected = sum(
        count for code, count in found.codes.items() if code.startswith(("invalid_", "missing_", "unknown_"))
    )
    assert {202, 204, 400, 401, 403, 405, 413, 415} == {*found.statuses}
    assert 0 < RejectedEvent.objects.count() <= rejected


@pytest.mark.slow
def test_it_runs_as_a_command_and_tells_what_it_found() -> None:
    environ = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-m", "tests.security.fuzz", "--count", "40", "--seed", "3"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["requests"], found["faults"], found["log"]["events"]) == (40, [], found["accepted"])


@pytest.mark.parametrize(("length", "status"), [("9" * 5000, 413), ("9" * 20, 413), ("1048577", 413), ("-1", 400)])
def test_a_length_of_any_number_of_digits_is_answered(keys: dict[str, str], length: str, status: int) -> None:
    assert post(Collector(refuse), b"{}", CONTENT_LENGTH=length)[0] == status
