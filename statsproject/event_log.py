"""Where the event log lies, and which of its partitions this process writes."""

import os
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.core.exceptions import ImproperlyConfigured

ORM_EVENT_LOG = "events.logs.orm.OrmEventLog"
MONGO_EVENT_LOG = "events.logs.mongo.MongoEventLog"
EXAMPLE = "mongodb://USER:PASSWORD@HOST:27017,HOST2:27017/affluence?replicaSet=NAME"
OURS = {"w", "j", "journal", "wtimeout", "wtimeoutms", "fsync", "readconcernlevel", "readpreference"}
"""What a URL may not say, in small letters: what is acknowledged and read is not a matter of taste."""
NAME = re.compile(r"[a-z0-9_-]{1,63}")
PARTITION = re.compile(r"[a-z0-9_-]{1,64}")


def is_mongo(url: str) -> bool:
    return url.startswith(("mongodb://", "mongodb+srv://"))


def event_log_at(name: str) -> dict[str, Any]:
    """EVENT_LOG for the URL that the variable `name` holds. Raises ImproperlyConfigured, without repeating the password."""
    url = os.environ.get(name, "")
    if not is_mongo(url):
        return {"BACKEND": ORM_EVENT_LOG, "OPTIONS": {}}
    refuse_unusable(name, url)
    return {"BACKEND": MONGO_EVENT_LOG, "OPTIONS": {"url": url}}


def refuse_unusable(name: str, url: str) -> None:
    """Raises ImproperlyConfigured where a MongoDB URL cannot be that of a log; `name` says where it was given."""
    parts = urlsplit(url)
    database = parts.path.strip("/")
    if database and not NAME.fullmatch(database):
        raise ImproperlyConfigured(
            f"{name} names the database {database!r}; use a to z, 0 to 9, - and _. It is like {EXAMPLE}."
        )
    if not parts.netloc.rpartition("@")[2]:
        raise ImproperlyConfigured(f"{name} names no host; it is like {EXAMPLE}.")
    for key, _ in parse_qsl(parts.query, keep_blank_values=True):
        if key.lower() in OURS:
            raise ImproperlyConfigured(
                f"{name} sets {key}, which is not to be chosen: the log is written to the journals of a majority, and read"
                " from there. Leave it out."
            )


def partition_of(name: str) -> str:
    """The partition that the variable `name` holds, by default main. Raises ImproperlyConfigured."""
    partition = os.environ.get(name) or "main"
    if not PARTITION.fullmatch(partition):
        raise ImproperlyConfigured(
            f"{name}={partition!r} names no partition; use a to z, 0 to 9, - and _, at most 64 characters."
        )
    return partition
