"""Where a reader came from: the search engine, social network or AI assistant that a referrer names, or its host."""

import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

TABLE = Path(__file__).with_name("sources.toml")

_SCHEMES = ("http", "https", "android-app")
_HOST_LENGTH = 253
_NO_HOST = re.compile(r"[\s\\\x00-\x1f\x7f]")
# The part of a host that "*" stands for.
_COUNTRY = re.compile(r"\.(?:(?:co|com|net|org)\.[a-z]{2}|[a-z]{2}|com|net|org|cat)$")


@lru_cache(maxsize=65_536)
def source_of(referrer: str | None) -> str | None:
    """The name of the service that `referrer` belongs to, else its host; never raises.

    The host is in lower case, without port and credentials, otherwise as is; of an android-app:// referrer it is the
    package. None where there is no referrer, or it is no URL of http, https or android-app.
    """
    try:
        parts = urlsplit(referrer or "")
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme not in _SCHEMES or not host or len(host) > _HOST_LENGTH or _NO_HOST.search(parts.netloc):
        return None
    return next((_NAMES[key] for key in _keys(host, parts.path.lower()) if key in _NAMES), host)


def _keys(host: str, path: str) -> Iterator[str]:
    """The table's entries that would match, the most specific first."""
    whole = host.rstrip(".").removeprefix("www.")
    paths = list(_prefixes(path))
    part = whole
    while part:
        for domain in (part, _COUNTRY.sub(".*", part)):
            yield from (domain + prefix for prefix in paths)
            if part is whole:
                yield "=" + domain
            yield domain
        part = part.partition(".")[2]


def _prefixes(path: str) -> Iterator[str]:
    """/a/b and /a of /a/b/c; not deeper than the table's deepest path."""
    segments = path.split("/")[1 : _DEPTH + 1]
    for count in range(len(segments), 0, -1):
        yield "/" + "/".join(segments[:count])


def _read_table() -> dict[str, str]:
    """Name by entry. Raises ValueError where two names claim one entry."""
    names: dict[str, str] = {}
    for services in tomllib.loads(TABLE.read_text(encoding="utf-8")).values():
        for name, entries in services.items():
            for entry in entries:
                if names.setdefault(entry, name) != name:
                    raise ValueError(f"{entry!r} is both {names[entry]!r} and {name!r}; keep one of them.")
    return names


_NAMES = _read_table()
_DEPTH = max(entry.count("/") for entry in _NAMES)
