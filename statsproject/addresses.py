"""The servers that settings name by URL, in the place of the embedded parts. A URL that cannot be used is an error at start."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from speed import server as redis_server
from statsproject.environment import env_int
from statsproject.event_log import is_mongo

ORM_VIEW_STORE = "views_layer.stores.orm.OrmViewStore"
ELASTIC_VIEW_STORE = "views_layer.stores.elastic.store.ElasticViewStore"
ELASTIC_MEDIA_INDEX = "views_layer.stores.elastic.media_index.ElasticMediaIndex"
POSTGRES = ("postgres", "postgresql")
POSTGRES_EXAMPLE = "postgres://USER:PASSWORD@HOST:5432/NAME"
ELASTIC_EXAMPLE = "https://USER:PASSWORD@HOST:9200/PREFIX?ca_certs=/PATH"
TAKEN = {"ca_certs": str, "timeout": int}
"""What the query of an Elasticsearch URL may hold."""
QUEUES = ("amqp://", "amqps://", "pyamqp://")
# A tick that a dead worker had fetched comes back after five minutes, and costs nothing: others have come meanwhile.
BRIEF = {"visibility_timeout": 300, "socket_connect_timeout": 2, "socket_timeout": 10, "health_check_interval": 10}
"""What is asked of a broker that is a Redis."""
Found = TypeVar("Found")
PREFIX = re.compile(r"[a-z][a-z0-9_]{0,63}")
POOL = "DATABASE_POOL"
TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
"""What the query of a PostgreSQL URL may hold, as libpq names it."""


def database_at(name: str, embedded: dict[str, Any]) -> dict[str, Any]:
    """Django's settings of the PostgreSQL that the variable `name` holds; `embedded` where it holds none.

    Raises ImproperlyConfigured, without repeating the password.
    """
    url = _url(name)
    if url is None:
        return embedded
    if url.scheme not in POSTGRES or not url.hostname or not url.path.strip("/"):
        raise ImproperlyConfigured(f"{name}={shown(url)} names no database; it is like {POSTGRES_EXAMPLE}.")
    database = unquote(url.path.strip("/"))
    options, pool = _options(name, url, dict.fromkeys(TLS, str)), _pool()
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database,
        "HOST": url.hostname,
        "PORT": str(_port(name, url) or 5432),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        # Connections stay open, and one that a restart of the server broke is told before a request uses it.
        "CONN_MAX_AGE": 0 if pool else None,
        "CONN_HEALTH_CHECKS": True,
        "TEST": {"NAME": f"test_{database}"},
        "OPTIONS": {"connect_timeout": 5, "options": "-c lock_timeout=30s", **pool, **options},
    }


def _pool() -> dict[str, Any]:
    """What lets the threads of a process share DATABASE_POOL connections to each database; nothing where it is 0.

    Django gives a connection back where it would close it. Who waits in vain for one, or for a server that is away, is told
    after 3 s; the server is asked again by the next who needs it.
    """
    size = env_int(POOL, 0)
    return {"pool": {"min_size": 0, "max_size": size, "timeout": 3, "reconnect_timeout": 5}} if size else {}


def database_of_log(name: str, inbox: str, tables: str, embedded: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The variable that names the database of the log's tables, and Django's settings of it.

    With a log on MongoDB these are rejected events and accounts, in the database that the variable `inbox` holds. All machines
    share them, so one is needed where `tables` names a server for Django's own. Raises ImproperlyConfigured.
    """
    if not is_mongo(os.environ.get(name, "")):
        if os.environ.get(inbox):
            raise ImproperlyConfigured(f"{inbox} is for a log on MongoDB, which {name} does not name; leave it out.")
        return name, database_at(name, embedded)
    if os.environ.get(tables) and not os.environ.get(inbox):
        raise ImproperlyConfigured(
            f"{name} names a MongoDB, which does not hold rejected events and accounts, and {tables} a server: name one for"
            f" those too, {inbox}={POSTGRES_EXAMPLE}"
        )
    return inbox, database_at(inbox, embedded)


def refuse_shared(databases: dict[str, dict[str, Any]], names: dict[str, str]) -> None:
    """Raises ImproperlyConfigured where two aliases are the same database: each keeps a list of its own migrations."""
    seen: dict[tuple, str] = {}
    for alias, database in databases.items():
        place = tuple(str(database.get(part, "")) for part in ("HOST", "PORT", "NAME"))
        if place in seen:
            raise ImproperlyConfigured(
                f"{names[seen[place]]} and {names[alias]} name the same database {database['NAME']!r}; each needs one of its"
                f" own: createdb {database['NAME']}_{alias}"
            )
        seen[place] = alias


def view_store_at(name: str) -> dict[str, Any]:
    """VIEW_STORE for the URL that the variable `name` holds. Raises ImproperlyConfigured, without repeating the password."""
    url = _url(name)
    if url is None or url.scheme in POSTGRES:
        return {"BACKEND": ORM_VIEW_STORE, "OPTIONS": {}}
    if url.scheme not in ("http", "https") or not url.netloc:
        raise ImproperlyConfigured(
            f"{name}={shown(url)} names no view store; use {ELASTIC_EXAMPLE} or {POSTGRES_EXAMPLE}."
        )
    prefix = url.path.strip("/") or "affluence"
    if not PREFIX.fullmatch(prefix):
        raise ImproperlyConfigured(
            f"{name} names the prefix {prefix!r} of its indexes; use a to z, 0 to 9 and _, beginning with a letter."
        )
    user, _, hosts = url.netloc.rpartition("@")
    options = _options(name, url, TAKEN)
    if user:
        options["basic_auth"] = tuple(unquote(part) for part in user.partition(":")[::2])
    addresses = [_with_port(f"{url.scheme}://{host}", name) for host in hosts.split(",")]
    return {"BACKEND": ELASTIC_VIEW_STORE, "OPTIONS": {"hosts": addresses, "prefix": prefix, **options}}


def media_index_beside(view_store: dict[str, Any]) -> dict[str, Any] | None:
    """MEDIA_INDEX for a VIEW_STORE: an index in the same server where that can search; else the tables are searched."""
    is_elastic = view_store["BACKEND"] == ELASTIC_VIEW_STORE
    return {"BACKEND": ELASTIC_MEDIA_INDEX, "OPTIONS": view_store["OPTIONS"]} if is_elastic else None


def database_of_views(name: str, embedded: dict[str, Any]) -> dict[str, Any]:
    """The database of the view store that the variable `name` holds; `embedded` where that is none of Django's."""
    url = _url(name)
    return database_at(name, embedded) if url and url.scheme in POSTGRES else embedded


def redis_at(name: str, embedded: str) -> str:
    """The URL of the Redis that the variable `name` holds, else the embedded one's. Raises ImproperlyConfigured."""
    url = os.environ.get(name) or embedded
    _of_redis(name, redis_server.address, url)
    return url


def broker_at(name: str, redis_url: str) -> dict[str, Any]:
    """Celery's settings of the broker that the variable `name` holds, else of the installation's Redis.

    Raises ImproperlyConfigured, without repeating the password.
    """
    url = os.environ.get(name) or redis_url
    if url.startswith(QUEUES):
        return {"CELERY_BROKER_URL": url, "CELERY_BROKER_TRANSPORT_OPTIONS": {"confirm_publish": True}}
    url, options, tls = _of_redis(name if os.environ.get(name) else "REDIS_URL", redis_server.broker, url)
    found = {"CELERY_BROKER_URL": url, "CELERY_BROKER_TRANSPORT_OPTIONS": BRIEF | options}
    return found | {"CELERY_BROKER_USE_SSL": tls} if tls else found


def _of_redis(name: str, read: Callable[[str], Found], url: str) -> Found:
    try:
        return read(url)
    except redis_server.Unusable as error:
        raise ImproperlyConfigured(f"{name} cannot be used: {error}.") from None


def shown(url: SplitResult) -> str:
    """A URL as it may be repeated: without user and password."""
    return url._replace(netloc=url.netloc.rpartition("@")[2], query="").geturl()


def _url(name: str) -> SplitResult | None:
    text = os.environ.get(name, "")
    try:
        return urlsplit(text) if text else None
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is no URL: {error}.") from None


def _port(name: str, url: SplitResult) -> int | None:
    try:
        return url.port
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}={shown(url)} has no port that can be used: {error}.") from None


def _with_port(address: str, name: str) -> str:
    url = urlsplit(address)
    if not url.hostname:
        raise ImproperlyConfigured(f"{name} names a host of no name; it is like {ELASTIC_EXAMPLE}.")
    return address if _port(name, url) else f"{address}:9200"


def _options(name: str, url: SplitResult, taken: dict[str, type]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in parse_qsl(url.query, keep_blank_values=True):
        if key not in taken:
            raise ImproperlyConfigured(f"{name} has the option {key!r}; it may have {', '.join(taken)}.")
        try:
            found[key] = taken[key](value)
        except ValueError:
            raise ImproperlyConfigured(f"{name} has {key}={value!r}, which is not a whole number.") from None
    for key in ("ca_certs", "sslrootcert", "sslcert", "sslkey"):
        if key in found and not Path(found[key]).is_file():
            raise ImproperlyConfigured(f"{name} has {key}={found[key]}, and there is no such file.")
    return found
