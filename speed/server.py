"""The Redis of an installation: where its URL says that it is, and connections to it. Who needs Redis connects here.

A URL is one of

- `redis://USER:PASSWORD@HOST:6379/0`, or `rediss://` with TLS;
- `redis+sentinel://USER:PASSWORD@HOST:26379,HOST2:26379/NAME/0`, or `rediss+sentinel://`: hosts of Sentinels, and the name
  under which they know the master. USER and PASSWORD are those of the master;
- `unix:///PATH`, a socket.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

ALONE, SENTINELS = "redis://USER:PASSWORD@HOST:6379/0", "redis+sentinel://HOST:26379,HOST2:26379/NAME/0"
SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "unix")
TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""What the query of a URL with TLS may hold, as redis-py names it: paths of files."""
OF_SENTINELS = ("sentinel_username", "sentinel_password")
"""What the query of a URL of Sentinels may hold: how to log in to them, where they want that."""

ONCE = Retry(NoBackoff(), 0)
"""For who gives up after one short try. redis-py itself tries for seconds."""

Place = tuple[str, int]


class Unusable(ValueError):
    """A URL that names no Redis: why, without repeating its password, and the way out."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says. `login` and `tls` are arguments of redis-py; a socket has no host, one alone no `master`."""

    hosts: tuple[Place, ...]
    path: str
    database: int
    master: str | None
    login: dict[str, str] = field(default_factory=dict)
    tls: dict[str, Any] = field(default_factory=dict)
    login_of_sentinels: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where it is, in words that may be told."""
        where = ", ".join(f"{host}:{port}" for host, port in self.hosts) or self.path
        return f"{self.master!r} of the Sentinels at {where}" if self.master else where

    def client(self, timeout: float, **more: Any) -> redis.Redis:
        """A client with a pool of connections of its own. The time-outs keep a Redis that hangs from hanging the caller."""
        given = {"db": self.database, "socket_timeout": timeout, "socket_connect_timeout": timeout} | self.login | more
        if self.path:
            return redis.Redis(unix_socket_path=self.path, **given)
        if self.master is None:
            ((host, port),) = self.hosts
            return redis.Redis(host=host, port=port, **given, **self._tls())
        # They are asked one after the other, together no longer than the server itself may take.
        brief = timeout / len(self.hosts)
        asked = {"socket_timeout": brief, "socket_connect_timeout": brief, "retry": ONCE}
        asked |= self.login_of_sentinels | self._tls()
        return Sentinel(self.hosts, sentinel_kwargs=asked).master_for(self.master, **given, **self._tls())

    def _tls(self) -> dict[str, Any]:
        return {"ssl": True, **self.tls} if self.tls else {}


def address(url: str) -> Address:
    """What a URL says. Raises Unusable."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Unusable(f"it is no URL: {error}") from None
    if parts.scheme not in SCHEMES:
        raise Unusable(f"{parts.scheme}:// is none of Redis; it is like {ALONE}, rediss://… with TLS, or {SENTINELS}")
    has_tls, has_sentinels = parts.scheme.startswith("rediss"), parts.scheme.endswith("+sentinel")
    allowed = (TLS if has_tls else ()) + (OF_SENTINELS if has_sentinels else ())
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, value in options.items():
        if name not in allowed:
            raise Unusable(
                f"it has the option {name!r}; {parts.scheme}:// may have {', '.join(allowed) or 'none'}"
                + ("" if has_tls or name not in TLS else ", and rediss:// has TLS")
            )
        if name in TLS and not Path(value).is_file():
            raise Unusable(f"it has {name}={value}, and there is no such file")
    if parts.scheme == "unix":
        if parts.netloc or not parts.path.strip("/"):
            raise Unusable("it names no socket; it is like unix:///PATH")
        return Address((), parts.path, 0, None)
    master, database = _path(parts, has_sentinels)
    user, _, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    said = {"username": unquote(name), "password": unquote(password)}
    tls: dict[str, Any] = {key: options[key] for key in TLS if key in options}
    return Address(
        hosts=_hosts(hosts, 26_379 if has_sentinels else 6_379, has_sentinels),
        path="",
        database=database,
        master=master,
        login={key: value for key, value in said.items() if value},
        tls=tls | {"ssl_cert_reqs": "required", "ssl_check_hostname": True} if has_tls else {},
        login_of_sentinels={key.removeprefix("sentinel_"): options[key] for key in OF_SENTINELS if key in options},
    )


def _path(parts: SplitResult, has_sentinels: bool) -> tuple[str | None, int]:
    """The name of the master, and the number of the database."""
    words = [unquote(word) for word in parts.path.split("/") if word]
    master = words.pop(0) if has_sentinels and words else None
    if has_sentinels and master is None:
        raise Unusable(f"it names no master, as the Sentinels know it; it is like {SENTINELS}")
    if len(words) > 1 or not all(word.isdecimal() for word in words):
        raise Unusable(f"/{'/'.join(words)} is no number of a database; it is like {SENTINELS if master else ALONE}")
    return master, int(words[0]) if words else 0


def _hosts(text: str, port: int, may_be_many: bool) -> tuple[Place, ...]:
    found = []
    for one in text.split(","):
        try:
            place = urlsplit(f"//{one}")
            found.append((place.hostname or "", place.port or port))
        except ValueError as error:
            raise Unusable(f"{one!r} names no host and port: {error}") from None
    if not all(host for host, _ in found):
        raise Unusable(f"it names no host; it is like {SENTINELS if may_be_many else ALONE}")
    if len(found) > 1 and not may_be_many:
        raise Unusable(f"it names several hosts; with Sentinels it is like {SENTINELS}")
    return tuple(found)


def connect(timeout: float, **more: Any) -> redis.Redis:
    """A client of this installation's Redis with a pool of its own."""
    return address(settings.REDIS_URL).client(timeout, **more)


def broker(url: str) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    """For Celery: the URL as kombu writes it, what its transport is to know, and its TLS. Raises Unusable."""
    found = address(url)
    if found.path:
        return f"redis+socket://{found.path}", {}, None
    tls = None
    if found.tls:
        tls = found.tls | {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    login = ":".join(quote(found.login.get(key, ""), safe="") for key in ("username", "password"))
    user = f"{login}@" if found.login else ""
    scheme = "sentinel" if found.master else "rediss" if tls else "redis"
    urls = [f"{scheme}://{user}{_bracketed(host)}:{port}/{found.database}" for host, port in found.hosts]
    if not found.master:
        return urls[0], {}, tls
    asked = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0} | found.login_of_sentinels | found._tls()
    return ";".join(urls), {"master_name": found.master, "sentinel_kwargs": asked}, tls


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def trouble() -> str | None:
    """Why this installation's Redis does not serve, in a sentence; None where it does. Told within about a second."""
    try:
        with connect(0.9, retry=ONCE) as client:
            client.ping()
    except redis.RedisError as error:
        return f"Redis at {address(settings.REDIS_URL).place} does not serve ({error})."
    return None
