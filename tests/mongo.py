"""An event log of a test's own, on a MongoDB server that runs already."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pymongo import MongoClient

from events.logs.mongo import MongoEventLog

SERVER = "TEST_EVENT_LOG_URL"
"""Names the server: mongodb://HOST:PORT. `make test-services` starts one."""


@contextmanager
def fresh_url() -> Iterator[str]:
    """The URL of a log that nobody has used, without indexes. What is in it goes when the context ends."""
    if SERVER not in os.environ:
        pytest.skip(f"No MongoDB: {SERVER} is not set; make test-services starts one.")
    url = f"{os.environ[SERVER]}/affluence_{secrets.token_hex(6)}"
    try:
        yield url
    finally:
        with MongoClient(url, socketTimeoutMS=20_000) as client:
            client.drop_database(client.get_default_database())


@contextmanager
def fresh_log() -> Iterator[MongoEventLog]:
    """A log that nobody has used."""
    # FerretDB 1.24 has a hundred connections to SQLite, and holds one for each update of a command until that ends.
    with fresh_url() as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr("events.logs.mongo.numbering.UPDATES_AT_ONCE", 50)
        log = MongoEventLog(url)
        log.prepare()
        yield log
