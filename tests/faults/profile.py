"""What a stack runs on: its embedded parts, or real servers in the place of them."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from tests.services.elastic import Elasticsearch
from tests.services.ferretdb import FerretDB
from tests.services.postgres import DurablePostgreSQL
from tests.services.rabbitmq import RabbitMQ
from tests.services.redis_server import Redis
from tests.services.server import Missing, Server

LOG_FILE, TABLES_FILE, VIEWS_FILE = "log.sqlite3", "affluence.sqlite3", "views.sqlite3"
EMBEDDED_REDIS, EMBEDDED_BROKER = "embedded redis", "embedded broker"
MONGODB, POSTGRESQL, ELASTICSEARCH = "mongodb", "postgresql", "elasticsearch"
REDIS_SERVER, RABBITMQ = "redis-server", "rabbitmq"
ANY_SERVER = "any server"


@dataclass(frozen=True)
class Place:
    """A server, the embedded part that it takes the place of, and the variables that name it to the stack."""

    name: str
    instead_of: str
    kind: type[Server]
    named: Callable[[Any], dict[str, str]]


def _databases(server: DurablePostgreSQL, *variables: str) -> dict[str, str]:
    """A new database for each variable."""
    import psycopg

    urls = {}
    with psycopg.connect(server.url, autocommit=True) as connection:
        for variable in variables:
            name = f"affluence_{variable.partition('_')[0].lower()}"
            connection.execute(f"CREATE DATABASE {name}")
            urls[variable] = urlsplit(server.url)._replace(path=f"/{name}").geturl()
    return urls


SERVERS = (
    Place(MONGODB, LOG_FILE, FerretDB, lambda server: {"EVENT_LOG_URL": f"{server.url}/affluence"}),
    Place(POSTGRESQL, TABLES_FILE, DurablePostgreSQL, lambda server: _databases(server, "DATABASE_URL", "INBOX_URL")),
    Place(ELASTICSEARCH, VIEWS_FILE, Elasticsearch, lambda server: {"VIEW_STORE_URL": f"{server.url}/affluence"}),
    Place(REDIS_SERVER, EMBEDDED_REDIS, Redis, lambda server: {"REDIS_URL": server.url}),
    Place(
        RABBITMQ,
        EMBEDDED_BROKER,
        RabbitMQ,
        lambda server: {"CELERY_BROKER_URL": server.url, "AMQP_URL": server.url},
    ),
)
WITH_LOG_IN_POSTGRESQL = (
    Place(
        POSTGRESQL, TABLES_FILE, DurablePostgreSQL, lambda server: _databases(server, "DATABASE_URL", "EVENT_LOG_URL")
    ),
    *(place for place in SERVERS if place.name not in (MONGODB, POSTGRESQL)),
)
"""For launches: FerretDB reads whole collections for each append, where MongoDB has an index."""
HEALED_S = {"embedded": 60.0, "services": 180.0}
"""When everything must be exact again, by profile: docs/faults.md says what was seen."""


class Profile:
    """The parts of a profile; a context that starts its servers and ends them. One that cannot be had stays embedded.

    `environment` names the servers to the stack, and `missing` says why one is not there.
    """

    def __init__(self, name: str, places: Sequence[Place] = SERVERS) -> None:
        self.name = name
        self._places = places if name == "services" else ()
        self.healed_s = HEALED_S[name]
        self.servers: dict[str, Server] = {}
        self.missing: dict[str, str] = {}
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        with ExitStack() as started:
            for place in self._places:
                try:
                    server = started.enter_context(place.kind())
                except Missing as missing:
                    self.missing[place.name] = str(missing)
                    continue
                self.servers[place.name] = server
                self.environment |= place.named(server)
            self._started = started.pop_all()
        if MONGODB not in self.servers:
            self.environment.pop("INBOX_URL", None)  # rejected events lie beside the chunks
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()

    @property
    def parts(self) -> set[str]:
        """What the stack runs on, in the words that faults need."""
        replaced = {place.instead_of for place in SERVERS if place.name in self.servers}
        embedded = {place.instead_of for place in SERVERS} - replaced
        return embedded | self.servers.keys() | ({ANY_SERVER} if self.servers else set())
