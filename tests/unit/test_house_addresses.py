"""Servers that the environment names by URL."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from statsproject.addresses import (
    ELASTIC_VIEW_STORE,
    ORM_VIEW_STORE,
    database_at,
    database_of_log,
    database_of_views,
    refuse_shared,
    view_store_at,
)

EMBEDDED = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/data/x.sqlite3"}


@pytest.fixture
def named(monkeypatch):
    """Lets URL name a server."""
    return lambda url: monkeypatch.setenv("URL", url)


def test_without_a_url_a_part_is_embedded():
    found = database_at("URL", EMBEDDED), database_of_views("URL", EMBEDDED), view_store_at("URL")
    assert found == (EMBEDDED, EMBEDDED, {"BACKEND": ORM_VIEW_STORE, "OPTIONS": {}})


def test_a_url_names_a_postgresql(named):
    named("postgres://me:s%40cret@db.example/affluence?sslmode=require")
    found = database_at("URL", EMBEDDED)
    place = [found[part] for part in ("ENGINE", "HOST", "PORT", "NAME", "USER", "PASSWORD")]
    assert place == ["django.db.backends.postgresql", "db.example", "5432", "affluence", "me", "s@cret"]
    assert found["OPTIONS"]["sslmode"] == "require"
    assert (database_of_views("URL", EMBEDDED), view_store_at("URL")["BACKEND"]) == (found, ORM_VIEW_STORE)


def test_threads_share_connections_where_a_process_asks_for_it(named, monkeypatch):
    named("postgres://db.example/affluence")
    alone = database_at("URL", EMBEDDED)
    monkeypatch.setenv("DATABASE_POOL", "7")
    shared = database_at("URL", EMBEDDED)
    assert (alone["CONN_MAX_AGE"], alone["OPTIONS"].get("pool")) == (None, None)
    assert (shared["CONN_MAX_AGE"], shared["OPTIONS"]["pool"]["max_size"]) == (0, 7)


MONGO, POSTGRES = "mongodb://db/affluence?replicaSet=rs0", "postgres://db/affluence_inbox"


@pytest.mark.parametrize(
    ("log", "inbox", "tables", "variable", "place"),
    [
        ("", "", "", "LOG", EMBEDDED["NAME"]),
        (POSTGRES, "", POSTGRES, "LOG", "affluence_inbox"),
        (MONGO, "", "", "INBOX", EMBEDDED["NAME"]),
        (MONGO, POSTGRES, POSTGRES, "INBOX", "affluence_inbox"),
    ],
)
def test_the_tables_of_the_log_are_where_the_log_or_the_inbox_is(monkeypatch, log, inbox, tables, variable, place):
    for name, url in {"LOG": log, "INBOX": inbox, "TABLES": tables}.items():
        monkeypatch.setenv(name, url)
    found, database = database_of_log("LOG", "INBOX", "TABLES", EMBEDDED)
    assert (found, database["NAME"]) == (variable, place)


@pytest.mark.parametrize(
    ("log", "inbox", "said"),
    [
        (MONGO, "", "name one for those too, INBOX=postgres://"),
        (POSTGRES, POSTGRES, "INBOX is for a log on MongoDB, which LOG does not name"),
    ],
)
def test_machines_do_not_have_inboxes_of_their_own(monkeypatch, log, inbox, said):
    for name, url in {"LOG": log, "INBOX": inbox, "TABLES": POSTGRES}.items():
        monkeypatch.setenv(name, url)
    with pytest.raises(ImproperlyConfigured, match=said):
        database_of_log("LOG", "INBOX", "TABLES", EMBEDDED)


def test_a_url_names_an_elasticsearch(named):
    named("https://me:s%40cret@one.example,two.example:9300/our_rows?timeout=60")
    options = {
        "hosts": ["https://one.example:9200", "https://two.example:9300"],
        "prefix": "our_rows",
        "timeout": 60,
        "basic_auth": ("me", "s@cret"),
    }
    assert view_store_at("URL") == {"BACKEND": ELASTIC_VIEW_STORE, "OPTIONS": options}
    assert database_of_views("URL", EMBEDDED) == EMBEDDED


@pytest.mark.parametrize(
    ("read", "url", "said"),
    [
        (
            database_at,
            "mysql://me:secret@db/affluence",
            "URL=mysql://db/affluence names no database; it is like postgres",
        ),
        (database_at, "postgres://me:secret@db", "URL=postgres://db names no database"),
        (database_at, "postgres://me:secret@db:x/a", "has no port that can be used"),
        (database_at, "postgres://db/a?sslmod=require", "the option 'sslmod'; it may have sslmode, sslrootcert"),
        (database_at, "postgres://db/a?sslrootcert=/nowhere", "sslrootcert=/nowhere, and there is no such file"),
        (view_store_at, "redis://me:secret@db/0", "URL=redis://db/0 names no view store; use https://"),
        (view_store_at, "http://me:secret@es:9200/Rows", "the prefix 'Rows' of its indexes; use a to z"),
        (view_store_at, "http://es?timeout=soon", "timeout='soon', which is not a whole number"),
        (view_store_at, "http://es:99999", "has no port that can be used"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(named, read, url, said):
    named(url)
    with pytest.raises(ImproperlyConfigured) as refused:
        read("URL", EMBEDDED) if read is database_at else read("URL")
    assert (said in str(refused.value), "secret" in str(refused.value)) == (True, False), refused.value


def test_two_aliases_of_one_database_are_refused(named):
    named("postgres://me:secret@db/affluence")
    one = database_at("URL", EMBEDDED)
    names = {"default": "DATABASE_URL", "log": "EVENT_LOG_URL"}
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL and EVENT_LOG_URL name the same database 'affluence'"):
        refuse_shared({"default": one, "log": dict(one)}, names)
