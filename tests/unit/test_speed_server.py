"""Where Redis is, by its URL, and what is said where it cannot be had there."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection

from speed import buffers, server
from speed.server import address, broker
from statsproject import pulse
from statsproject.addresses import BRIEF, broker_at, redis_at
from tests.services.redis_server import (
    BehindSentinels,
    InClusterMode,
    WithTls,
    make_authority,
)
from tests.services.server import Missing, Server

SENTINELS = "redis+sentinel://me:s%40cret@one,two:26380/our_master/2?sentinel_password=other"


def test_a_url_names_one_redis():
    found = address("redis://me:s%40cret@host/3")
    assert (found.hosts, found.database, found.master, found.login, found.place) == (
        (("host", 6379),), 3, None, {"username": "me", "password": "s@cret"}, "host:6379",
    )  # fmt: skip
    assert broker("redis://me:s%40cret@host/3") == ("redis://me:s%40cret@host:6379/3", {}, None)


def test_a_url_names_sentinels():
    found = address(SENTINELS)
    assert (found.hosts, found.master, found.database) == ((("one", 26379), ("two", 26380)), "our_master", 2)
    assert found.place == "'our_master' of the Sentinels at one:26379, two:26380"
    url, options, tls = broker(SENTINELS)
    assert url == "sentinel://me:s%40cret@one:26379/2;sentinel://me:s%40cret@two:26380/2"
    assert (options["master_name"], options["sentinel_kwargs"]["password"], tls) == ("our_master", "other", None)


def test_a_url_names_one_with_tls_that_is_always_verified(tmp_path):
    (tmp_path / "ca.crt").write_text("")
    url, _, tls = broker(f"rediss://host:6380/0?ssl_ca_certs={tmp_path}/ca.crt")
    expected = {"ssl_ca_certs": f"{tmp_path}/ca.crt", "ssl_check_hostname": True}
    assert (url, tls) == ("rediss://host:6380/0", expected | {"ssl_cert_reqs": ssl.CERT_REQUIRED})


def test_the_embedded_one_is_at_a_socket(monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)
    assert redis_at("REDIS_URL", "unix:///data/redis.sock") == "unix:///data/redis.sock"
    assert broker_at("BROKER_URL", "unix:///data/redis.sock") == {
        "CELERY_BROKER_URL": "redis+socket:///data/redis.sock",
        "CELERY_BROKER_TRANSPORT_OPTIONS": BRIEF,
    }


def test_a_broker_may_be_another_one(monkeypatch):
    monkeypatch.setenv("BROKER_URL", "amqp://me:secret@host//")
    assert broker_at("BROKER_URL", "redis://host/0")["CELERY_BROKER_URL"] == "amqp://me:secret@host//"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://me:secret@host", "http:// is none of Redis; it is like redis://"),
        ("redis://me:secret@host/x", "/x is no number of a database"),
        ("redis://me:secret@one,two/0", "several hosts; with Sentinels it is like redis\\+sentinel://"),
        ("redis+sentinel://me:secret@one:26379", "names no master, as the Sentinels know it"),
        ("redis+sentinel://one:x/name", "'one:x' names no host and port"),
        ("redis://me:secret@/0", "names no host"),
        ("redis://host?ssl_ca_certs=/etc/passwd", "may have none, and rediss:// has TLS"),
        ("rediss://host?ssl_cert_reqs=none", "the option 'ssl_cert_reqs'; rediss:// may have ssl_ca_certs"),
        ("rediss://host?ssl_ca_certs=/nowhere", "ssl_ca_certs=/nowhere, and there is no such file"),
        ("unix://host/path", "names no socket"),
    ],
)
def test_a_url_that_names_no_redis_is_an_error_with_the_way_out(monkeypatch, url, said):
    monkeypatch.setenv("REDIS_URL", url)
    for read in (lambda: redis_at("REDIS_URL", ""), lambda: broker_at("REDIS_URL", "")):
        with pytest.raises(ImproperlyConfigured, match=f"^REDIS_URL cannot be used: .*{said}") as error:
            read()
        assert "secret" not in str(error.value)


def test_one_that_is_away_is_told(settings):
    settings.REDIS_URL = "redis://me:secret@127.0.0.1:9/0"
    trouble = server.trouble()
    assert trouble is not None
    assert (trouble.startswith("Redis at 127.0.0.1:9 does not serve (Error 111"), "secret" in trouble) == (True, False)


def started(kind: type[Server]) -> Iterator[Server]:
    try:
        with kind() as found:
            yield found
    except Missing as missing:
        pytest.skip(f"No {kind.name}: {missing}")


def slot_of(key: str, client: redis.Redis) -> int:
    return client.execute_command("CLUSTER KEYSLOT", key)


@pytest.mark.services
def test_all_keys_of_the_buffers_lie_in_one_slot_and_all_pulses_in_another():
    keys = [buffers._pipeline_key(), buffers._lengths_key(7), f"{buffers.PREFIX}nudged"]
    keys += [buffers._key(epoch, hub, "media") for epoch in (1, 2) for hub in ("acme", "umbrella")]
    for found in started(InClusterMode):
        with found.client() as client:
            slots = {slot_of(key, client) for key in keys}, {slot_of(pulse._key(part), client) for part in pulse.PARTS}
    assert [len(some) for some in slots] == [1, 1]


@pytest.fixture(scope="module")
def found() -> Iterator[Server]:
    yield from started(WithTls)


@pytest.mark.services
class TestTls:
    def test_who_shows_its_certificate_is_served_as_a_broker_too(self, found, settings):
        settings.REDIS_URL = found.url
        url, options, tls = broker(found.url)
        with Connection(url, transport_options=options, ssl=tls) as connection:
            connection.ensure_connection(max_retries=1)
        assert server.trouble() is None

    def test_one_that_another_authority_signed_is_refused(self, found, settings, tmp_path: Path):
        make_authority(tmp_path)
        settings.REDIS_URL = f"rediss://127.0.0.1:{found.port}/0?ssl_ca_certs={tmp_path}/ca.crt"
        assert "certificate verify failed" in str(server.trouble())

    def test_one_of_another_name_is_refused(self, found, settings):
        settings.REDIS_URL = found.url.replace("127.0.0.1", "localhost")
        assert "certificate is not valid for 'localhost'" in str(server.trouble())

    def test_who_shows_no_certificate_is_refused(self, found, settings):
        settings.REDIS_URL = f"rediss://127.0.0.1:{found.port}/0?ssl_ca_certs={found.directory}/ca.crt"
        assert "certificate required" in str(server.trouble())


@pytest.mark.services
def test_sentinels_are_a_broker_and_who_is_no_master_of_theirs_is_told(settings):
    for found in started(BehindSentinels):
        url, options, tls = broker(found.url)
        with Connection(url, transport_options=BRIEF | options, ssl=tls or False) as connection:
            connection.ensure_connection(max_retries=1)
        settings.REDIS_URL = found.url
        well = server.trouble()
        settings.REDIS_URL = found.url.replace("/mymaster/", "/another/")
        assert (well, "No master found for 'another'" in str(server.trouble())) == (None, True)
