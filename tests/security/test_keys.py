"""Keys: kept as digests, shown once, told apart by the whole digest, revocable; their last use is kept cheaply."""

import io
import json
from datetime import timedelta

import pytest
from django.core import management
from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events.directory import SECONDS, Memory, grant_of
from events.models import FINGERPRINT, ApiKey, Hub

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def hub() -> Hub:
    return Hub.objects.create(slug="acme")


def writes_of(look_up, key: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        look_up(key)
    return sum(query["sql"].startswith("UPDATE") for query in queries)


def test_it_keeps_nothing_of_a_key_but_its_digest() -> None:
    out = io.StringIO()
    management.call_command("create_hub", "acme", stdout=out)
    keys = json.loads(out.getvalue())["keys"]
    kept = {str(value) for row in ApiKey.objects.values() for value in row.values()}
    assert {ApiKey.digest_of(key) for key in keys.values()} < kept
    assert [len(key) >= 43 + len("aff_read_") for key in keys.values()] == [True, True]
    assert not any(key in value or key[-43:] in value for key in keys.values() for value in kept)


def test_it_tells_keys_of_one_fingerprint_apart(hub: Hub) -> None:
    key = ApiKey.issue(hub, ApiKey.READ)
    digest = ApiKey.digest_of(key)
    ApiKey.objects.create(hub=hub, scope=ApiKey.INGEST, digest=digest[:FINGERPRINT] + "0" * 56)
    ApiKey.objects.create(hub=hub, scope=ApiKey.INGEST, digest=digest[:FINGERPRINT] + "f" * 56)
    assert grant_of(ApiKey.digest_of(key)) == ("acme", "read")
    ApiKey.objects.filter(digest=digest).update(digest=digest[:FINGERPRINT] + "1" * 56)
    assert grant_of(ApiKey.digest_of(key)) is None


@pytest.mark.parametrize("key", ["", " ", "aff_read_", "é", "\x00", "x" * 100_000])
def test_it_knows_no_other_key(hub: Hub, key: str) -> None:
    ApiKey.issue(hub, ApiKey.READ)
    assert grant_of(ApiKey.digest_of(key)) is None


def test_a_use_is_written_once_in_five_minutes(hub: Hub) -> None:
    key = ApiKey.issue(hub, ApiKey.INGEST)
    assert [writes_of(grant_of, ApiKey.digest_of(key)), writes_of(grant_of, ApiKey.digest_of(key))] == [1, 0]
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=6))
    assert [writes_of(grant_of, ApiKey.digest_of(key)), writes_of(grant_of, ApiKey.digest_of(key))] == [1, 0]
    assert ApiKey.objects.get().last_used_at > first - timedelta(minutes=1)


def test_a_use_that_cannot_be_written_fails_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    key = ApiKey.issue(hub, ApiKey.INGEST)

    def refuse(self, **fields) -> int:
        raise DatabaseError("disk full")

    monkeypatch.setattr(QuerySet, "update", refuse)
    assert grant_of(ApiKey.digest_of(key)) == ("acme", "ingest")
    assert "disk full" in caplog.text
    assert key not in caplog.text


def test_an_unknown_or_revoked_key_has_no_use(hub: Hub) -> None:
    key = ApiKey.issue(hub, ApiKey.INGEST)
    ApiKey.objects.update(revoked_at=timezone.now())
    assert [grant_of(ApiKey.digest_of(key)), grant_of("no")] == [None, None]
    assert ApiKey.objects.get().last_used_at is None


def test_a_revoked_key_ends_at_once_where_it_asks_and_within_two_seconds_where_it_sends(
    hub: Hub, client: Client, redis_url: str
) -> None:
    read, ingest = ApiKey.issue(hub, ApiKey.READ), ApiKey.issue(hub, ApiKey.INGEST)
    now = [0.0]
    remembered = Memory(grant_of, clock=lambda: now[0])
    asked = {"path": "/api/hubs/acme/media", "headers": {"Authorization": f"Bearer {read}"}}
    assert (client.get(**asked).status_code, remembered(ApiKey.digest_of(ingest))) == (200, ("acme", "ingest"))
    ApiKey.objects.update(revoked_at=timezone.now())
    assert client.get(**asked).status_code == 401
    now[0] += SECONDS
    assert SECONDS <= 2
    assert remembered(ApiKey.digest_of(ingest)) is None
