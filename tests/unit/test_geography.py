from concurrent.futures import ThreadPoolExecutor

import pytest

from events import geography
from events.geography import country_of


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("8.8.8.8", "US"),
        ("212.27.48.10", "FR"),
        ("2001:4860:4860::8888", "US"),
        ("2a01:e0a::1", "FR"),
        ("::ffff:212.27.48.10", "FR"),
        ("10.0.0.1", None),
        ("192.168.1.1", None),
        ("100.64.0.1", None),
        ("127.0.0.1", None),
        ("::1", None),
        ("fe80::1%eth0", None),
        ("224.0.0.1", None),
        ("8.8.8.8:80", None),
        ("8.8.8.999", None),
        ("somewhere", None),
        ("", None),
        (None, None),
    ],
)
def test_it_finds_the_country(address, country):
    assert country_of(address) == country


def test_it_loads_the_database_once(monkeypatch):
    loads = []
    monkeypatch.setattr(geography, "_database", None)
    monkeypatch.setattr(geography.geoip2fast, "GeoIP2Fast", lambda **options: loads.append(options) or "database")
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: geography._loaded(), range(64))) == {"database"}
    assert len(loads) == 1
