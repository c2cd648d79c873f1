"""A generation: the rows of a store from one birth to the next, in indexes of their own."""

import logging
from collections import Counter
from collections.abc import Iterator

from elasticsearch_dsl import Search

from views_layer.stores.elastic.indexes import Indexes
from views_layer.stores.elastic.meta import Meta
from views_layer.stores.elastic.rows import rows_up_to
from views_layer.stores.elastic.seals import Seals
from views_layer.stores.elastic.server import Server

logger = logging.getLogger(__name__)


class Generation:
    """`created`: how many rows of each version this process has made."""

    def __init__(self, server: Server, meta: Meta, indexes: Indexes, birth: str) -> None:
        self._server, self._meta, self._indexes = server, meta, indexes
        self.birth = birth
        self.indexes = indexes.of(birth)
        self.seals = Seals(meta, birth)
        self.created: Counter[int] = Counter()
        self._known: set[str] = set()
        self._unrefreshed: dict[str, int] = {}

    # Indexes.

    def index_at(self, start: int) -> str:
        """The index of the rows that start in an hour."""
        return self._indexes.at(self.birth, start)

    def indexes_between(self, start: int, end: int) -> str:
        """The indexes of the rows that start in a range of hours."""
        return self._indexes.between(self.birth, start, end)

    def make_index(self, name: str) -> None:
        """Make an index and remember that the store has it. One that it had already, and lost, is not made again."""
        if name in self._known:
            return
        if name not in {meta["name"] for meta in self._meta.all("index", self.birth)}:
            uuid = self._indexes.make(name)
            self._meta.keep(f"index:{name}", "index", self.birth, name=name, uuid=uuid)
        self._known.add(name)

    def is_whole(self) -> bool:
        """False where the store lacks an index that it had, or rows of its newest seal."""
        uuids = self._indexes.uuids(self.birth)
        known = {meta["name"]: meta["uuid"] for meta in self._meta.all("index", self.birth)}
        if lost := sorted(name for name, uuid in known.items() if uuids.get(name) != uuid):
            logger.error("Elasticsearch lost the indexes %s; all rows are made anew.", ", ".join(lost))
            return False
        newest = self.seals.newest()
        if newest is None:
            return True
        self.refresh_all()
        count = self.count(rows_up_to(newest["version"]))
        if count < newest["rows"]:
            logger.error("Elasticsearch holds %d of %d rows; all are made anew.", count, newest["rows"])
            return False
        return True

    # What searches find.

    def hits(self, wanted: Search) -> Iterator[list]:
        """The sort values of all hits among all rows."""
        return self._server.hits(wanted, self.indexes)

    def count(self, wanted: Search) -> int:
        return self._server.count(wanted, self.indexes)

    def will_write(self, version: int, index: str) -> None:
        self._unrefreshed[index] = min(version, self._unrefreshed.get(index, version))

    def refresh_own(self, version: int) -> None:
        """Let searches find what this process has written, where it wrote rows of up to `version`.

        A run reads what is published while it writes the next version: refreshing for that would cost more than the rest.
        """
        if any(written <= version for written in self._unrefreshed.values()):
            self._server.refresh(",".join(sorted(self._unrefreshed)))
            self._unrefreshed.clear()

    def refresh_all(self) -> None:
        """Let searches find what any process has written."""
        self._server.refresh(self.indexes)
        self._unrefreshed.clear()

    # How far it was cleaned.

    def cleaned_up_to(self) -> int:
        return next((meta["version"] for meta in self._meta.all("cleaned", self.birth)), 0)

    def keep_cleaned(self, version: int) -> None:
        self._meta.keep(f"cleaned:{self.birth}", "cleaned", self.birth, version=version)
