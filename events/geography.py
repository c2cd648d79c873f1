"""The country of an address, from an offline database; addresses themselves are never kept.

The database is the country edition for IPv4 and IPv6 that ships inside geoip2fast: about 35 MB of memory,
loaded in a tenth of a second by the first look-up.
"""

import ipaddress
import threading
from functools import lru_cache
from pathlib import Path

import geoip2fast

DATABASE = Path(geoip2fast.__file__).with_name("geoip2fast-ipv6.dat.gz")

REGIONS = frozenset({"AP", "EU"})
"""Codes of the database that name no country."""

_loading = threading.Lock()
_database: geoip2fast.GeoIP2Fast | None = None


@lru_cache(maxsize=65_536)
def country_of(address: str | None) -> str | None:
    """The ISO 3166 alpha-2 code of an IPv4 or IPv6 address.

    None where it has none: no address, not an address, private, loopback, reserved, or unknown to the database.
    """
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if not parsed.is_global or parsed.is_multicast:
        return None
    code = _loaded().lookup(str(parsed)).country_code
    return code if len(code) == 2 and code.isalpha() and code not in REGIONS else None


def _loaded() -> geoip2fast.GeoIP2Fast:
    global _database
    with _loading:
        if _database is None:
            _database = geoip2fast.GeoIP2Fast(geoip2fast_data_file=str(DATABASE))
    return _database
