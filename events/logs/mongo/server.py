"""The server of the log: how it is spoken to, its collections and indexes, and what it must promise."""

import os
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError, WriteConcernError

from events.log import LogUnfit

DATABASE = "affluence"
SELECTION_MS, SOCKET_MS, MAJORITY_MS = 5_000, 30_000, 10_000
PROMISES = {
    "w": "majority",
    "journal": True,
    "wTimeoutMS": MAJORITY_MS,
    "readConcernLevel": "majority",
    "readPreference": "primary",
}
INDEXES = {
    "chunks": [IndexModel([("hour", ASCENDING), ("stored", ASCENDING)], name="chunks_by_hour")],
    "visitors": [
        IndexModel([("h", ASCENDING), ("k", ASCENDING)], name="one_visitor_per_key", unique=True),
        IndexModel([("h", ASCENDING), ("number", DESCENDING)], name="one_visitor_per_number", unique=True),
    ],
    "visits": [
        IndexModel([("h", ASCENDING), ("v", ASCENDING), ("k", ASCENDING)], name="one_visit_per_key", unique=True),
        IndexModel([("h", ASCENDING), ("number", DESCENDING)], name="one_visit_per_number", unique=True),
        IndexModel(
            [("h", ASCENDING), ("v", ASCENDING), ("ordinal", ASCENDING)], name="one_visit_per_ordinal", unique=True
        ),
        IndexModel([("h", ASCENDING), ("v", ASCENDING), ("reach", ASCENDING)], name="outline_of_visits"),
    ],
    "frequent": [IndexModel([("h", ASCENDING), ("v", ASCENDING)], name="one_frequent_visitor", unique=True)],
}
"""By collection, beside that of `_id`: chunks by partition and sequence, ids by hash. All unique ones begin with a shard key."""

Document = dict[str, Any]


class Server:
    """A database on a MongoDB server. Each process has a client of its own, made at first use."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._process = 0
        self._is_fit = False

    @property
    def database(self) -> Database[Document]:
        """The database, with the promises set, whatever the server has been found to keep of them."""
        if self._process != os.getpid():
            self._client: MongoClient[Document] = MongoClient(
                self._url,
                appname="affluence",
                connect=False,
                serverSelectionTimeoutMS=SELECTION_MS,
                socketTimeoutMS=SOCKET_MS,
                **PROMISES,  # type: ignore[arg-type]
            )
            self._is_fit, self._process = False, os.getpid()
        return self._client.get_default_database(DATABASE)

    def __getitem__(self, name: str) -> Collection[Document]:
        """A collection of a server that was found fit. Raises LogUnfit, PyMongoError."""
        if self._process != os.getpid() or not self._is_fit:
            self.refuse_unfit()
            self._is_fit = True
        return self.database[name]

    def ensure_indexes(self) -> list[str]:
        """Make the indexes that are missing; returns the names of all. Idempotent. Raises LogUnfit, PyMongoError."""
        self._refuse_forgetful()
        for name, indexes in self._missing().items():
            self.database[name].create_indexes(indexes)
        return [_name(index) for indexes in INDEXES.values() for index in indexes]

    def refuse_unfit(self) -> None:
        """Raises LogUnfit where the server does not promise what a log needs, or an index is missing; PyMongoError."""
        self._refuse_forgetful()
        missing = [_name(index) for indexes in self._missing().values() for index in indexes]
        if missing:
            raise LogUnfit(f"The event log lacks the indexes {', '.join(missing)}; run manage.py ensure_indexes.")

    def _missing(self) -> dict[str, list[IndexModel]]:
        """The indexes that are not there, by collection."""
        missing = {}
        for name, indexes in INDEXES.items():
            there = self.database[name].index_information()
            if lacking := [index for index in indexes if _name(index) not in there]:
                missing[name] = lacking
        return missing

    def _refuse_forgetful(self) -> None:
        """A write is tried, since only its answer tells what a server makes of the promises."""
        try:
            written = self.database["turns"].update_one({"_id": "promise"}, {"$inc": {"kept": 1}}, upsert=True)
        except (WriteConcernError, OperationFailure) as error:
            raise LogUnfit(
                f"The event log's MongoDB does not acknowledge a write by the journals of a majority ({error}); it needs a"
                " replica set with journals of which a majority serves, and a user who may write."
            ) from error
        if not written.acknowledged:
            raise LogUnfit("The event log's MongoDB acknowledges no writes; remove w=0 from EVENT_LOG_URL.")

    def is_one_alone(self) -> bool:
        """Whether it is neither a replica set nor a cluster: its majority is itself. Raises PyMongoError."""
        told = self.database.client.admin.command("hello")
        return "setName" not in told and told.get("msg") != "isdbgrid"

    def trouble(self) -> str | None:
        """Why it does not serve now, in a sentence; None where it does. Told within about a second."""
        client: MongoClient[Document] = MongoClient(
            self._url, serverSelectionTimeoutMS=900, connectTimeoutMS=900, socketTimeoutMS=900
        )
        with client:
            try:
                client.admin.command("ping")
            except PyMongoError as error:
                return f"MongoDB does not serve ({str(error).splitlines()[0][:200]})."
        return None


def _name(index: IndexModel) -> str:
    return index.document["name"]
