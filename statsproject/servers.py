"""The servers that this installation uses in the place of embedded parts, and whether each serves."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db import DatabaseError, connections

from batch.engine import engine
from batch.view_store import view_store
from events.log import event_log
from statsproject import pulse
from statsproject.addresses import ELASTIC_VIEW_STORE
from statsproject.event_log import MONGO_EVENT_LOG

ANSWER_WITHIN_S = 1.0
STARTS_WITHIN_S = 20.0
DATABASES = {
    "default": ("database", "DATABASE_URL"),
    "log": ("event_log" if settings.LOG_TABLES == "EVENT_LOG_URL" else "inbox", settings.LOG_TABLES),
    "views": ("view_store", "VIEW_STORE_URL"),
}
"""The part that each database is, and the variable that names its server."""


class Away(Exception):
    """A server does not serve: which, why, and the way out."""


@dataclass(frozen=True, slots=True)
class Server:
    """A part that is a server: the variable that names it, and what is wrong with it, in a sentence, or None."""

    part: str
    variable: str
    trouble: Callable[[], str | None]


def used() -> list[Server]:
    """The parts that are servers; none where all are embedded."""
    found = [
        Server(part, variable, partial(_trouble_of_database, alias))
        for alias, (part, variable) in DATABASES.items()
        if connections[alias].vendor == "postgresql"
    ]
    if settings.VIEW_STORE["BACKEND"] == ELASTIC_VIEW_STORE:
        found.append(Server("view_store", "VIEW_STORE_URL", view_store().trouble))
    if settings.EVENT_LOG["BACKEND"] == MONGO_EVENT_LOG:
        found.append(Server("event_log", "EVENT_LOG_URL", event_log().trouble))
    if not settings.REDIS_URL.startswith("unix://"):
        found.append(Server("redis", "REDIS_URL", pulse.redis_trouble))
    if settings.BATCH_ENGINE["OPTIONS"].get("master", "").startswith("spark://"):
        found.append(Server("batch_engine", "SPARK_MASTER", engine().trouble))
    return found


def troubles() -> dict[str, str | None]:
    """What is wrong with each server, by part, within about a second, whatever they do."""
    servers = used()
    told: queue.Queue[tuple[str, str | None]] = queue.Queue()
    for server in servers:
        threading.Thread(target=_look, args=(server, told), name=f"look at {server.part}", daemon=True).start()
    found: dict[str, str | None] = {
        server.part: f"{server.variable}: no answer within {ANSWER_WITHIN_S:g} s." for server in servers
    }
    deadline = time.monotonic() + ANSWER_WITHIN_S
    for _ in servers:
        try:
            part, trouble = told.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            break
        found[part] = trouble
    return found


def _look(server: Server, told: queue.Queue) -> None:
    trouble = server.trouble()
    told.put((server.part, f"{server.variable}: {trouble}" if trouble else None))


def wait(seconds: float = STARTS_WITHIN_S) -> None:
    """Return once every server serves. Raises Away where one does not in time."""
    deadline = time.monotonic() + seconds
    while wrong := [trouble for trouble in troubles().values() if trouble]:
        if time.monotonic() > deadline:
            raise Away(f"{' '.join(wrong)} Start the server, or mend the variable; without it the part is embedded.")
        time.sleep(0.2)


def _trouble_of_database(alias: str) -> str | None:
    connection = connections.create_connection(alias)
    # A pool whose connections are all in use is no server that is away.
    options = {name: value for name, value in connection.settings_dict["OPTIONS"].items() if name != "pool"}
    connection.settings_dict = connection.settings_dict | {"OPTIONS": options}
    place = "{HOST}:{PORT}/{NAME}".format(**connection.settings_dict)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return f"PostgreSQL at {place} does not serve ({str(error).strip().splitlines()[0]})."
    finally:
        connection.close()
    return None
