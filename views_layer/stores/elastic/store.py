"""The view store in Elasticsearch.

Rows lie in one index for each UTC month of their start and each *generation* of the store, which is named by the
store's birth mark. What is known of the store itself lies in an index of its own: its birth, its indexes with their
UUIDs, and the seals with the number of rows that readers of each must find.

The server may lose anything. A store that lacks an index, or rows of a sealed version, is no longer the one of its
birth: it gets another birth, with no rows, and the old generation goes. Readers count after they have found their rows.
"""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from elasticsearch_dsl import Q, Search
from elasticsearch_dsl.query import Query

from aggregations.buckets import DAY, HOUR, MONTH
from aggregations.rollups import DECLARATION
from batch.view_store import GrainRange, NotSealed, RowAddress, RowsGone, StoreAway, StoreSize, ViewRow, ViewStore
from views_layer.stores.elastic.bulk import batches, send
from views_layer.stores.elastic.deletions import delete, delete_stale
from views_layer.stores.elastic.generation import Generation
from views_layer.stores.elastic.indexes import Indexes
from views_layer.stores.elastic.meta import BIRTH, Meta
from views_layer.stores.elastic.rows import bucket_name, parts, row_creation, row_id, rows_up_to, rows_with, unpacked
from views_layer.stores.elastic.server import Asked, Server

logger = logging.getLogger(__name__)

SENT_TOGETHER = 2
"""Requests at a time: the server works on one while the next is on its way, and one more is made."""
FETCHED_AT_ONCE = 500
_BUCKET = ("grain", "start", "end")


class ElasticViewStore(ViewStore):
    """Rows in the indexes `<prefix>-…` of an Elasticsearch."""

    def __init__(self, hosts: Sequence[str], prefix: str = "affluence", timeout: float = 30, **options: Any) -> None:
        self._server = Server(hosts, timeout, **options)
        self._indexes = Indexes(self._server, prefix)
        self._meta = Meta(self._server, self._indexes.meta)
        self._generation: Generation | None = None
        self._generations: dict[str, Generation] = {}
        self._seen_sealed: tuple[Generation, int] | None = None
        self._lock = threading.Lock()

    # Rows.

    def write(self, version: int, rows: Iterable[ViewRow]) -> int:
        written, generation = 0, self._current()
        under_way: deque[Future[int]] = deque()
        with ThreadPoolExecutor(SENT_TOGETHER) as pool:
            for part in parts(iter(rows)):
                for name in sorted({generation.index_at(row.start) for row in part}):
                    generation.make_index(name)
                    generation.will_write(version, name)
                actions = [row_creation(generation.index_at(row.start), version, row) for row in part]
                under_way.append(pool.submit(send, self._server, actions))
                written += len(part)
                if len(under_way) > SENT_TOGETHER:
                    generation.created[version] += under_way.popleft().result()
            while under_way:
                generation.created[version] += under_way.popleft().result()
        return written

    def addresses(
        self, hub: str, rollup: str, ranges: Sequence[GrainRange], version: int, must_be_sealed: bool = False
    ) -> list[RowAddress]:
        if not ranges or version == 0:
            return []
        with self._doubting():
            return self._addresses(hub, rollup, ranges, version, must_be_sealed)

    def _addresses(
        self, hub: str, rollup: str, ranges: Sequence[GrainRange], version: int, must_be_sealed: bool
    ) -> list[RowAddress]:
        generation = self._generation if must_be_sealed else self._current()
        if generation is None:
            raise NotSealed(version)
        generation.refresh_own(version)
        wanted = rows_up_to(version).filter("term", hub=hub).filter("term", rollup=rollup)
        wanted = wanted.filter("bool", should=[_starts_in(one) for one in ranges]).sort(*_BUCKET, "version")
        indexes = generation.indexes_between(min(start for _, start, _ in ranges), max(end for _, _, end in ranges))
        proof = self._proof(version, generation) if must_be_sealed else []
        hits, at_last = self._server.hits_before(proof, wanted, indexes)
        if proof and not self._is_proved(version, generation, at_last):
            raise NotSealed(version)
        newest = {(grain, start, end): version for grain, start, end, version in hits}
        found = []
        for wanted_grain, first, last in ranges:
            for (grain, start, end), newest_version in newest.items():
                if grain == wanted_grain and first <= start < last:
                    id = row_id(bucket_name(hub, rollup, grain, start, end), newest_version)
                    found.append(RowAddress(grain, start, end, newest_version, f"{generation.index_at(start)} {id}"))
        return found

    def written(self, version: int, rollup: str, grain: str) -> dict[str, list[int]]:
        generation = self._current()
        generation.refresh_all()
        wanted = rows_with(version=version, rollup=rollup, grain=grain).sort("hub", "start", "end")
        found: dict[str, list[int]] = {}
        for hub, start, _ in generation.hits(wanted):
            found.setdefault(hub, []).append(start)
        return found

    def first_start(self, hub: str, rollup: str, version: int, start: int = 0) -> int | None:
        generation = self._current()
        generation.refresh_own(version)
        wanted = rows_with(hub=hub, rollup=rollup, grain=HOUR).filter("range", version={"lte": version})
        wanted = wanted.filter("range", start={"gte": start})
        with self._doubting():
            found = self._server.page(wanted.sort("start")[:1], generation.indexes)
        return found[0][0] if found else None

    def fetch(self, addresses: Sequence[RowAddress]) -> list[bytes]:
        payloads: dict[int | str, bytes] = {}
        with self._doubting():
            for some in batches(dict.fromkeys(address.reference for address in addresses), FETCHED_AT_ONCE):
                payloads.update(zip(some, self._payloads([str(reference) for reference in some]), strict=True))
        return [payloads[address.reference] for address in addresses]

    def _payloads(self, references: Sequence[str]) -> list[bytes]:
        docs = [dict(zip(("_index", "_id"), reference.split(" "), strict=True)) for reference in references]
        with self._server.answering():
            # Sealed rows are refreshed, and so need not be looked for among what is not: that takes twice as long. The
            # server copies whole sources; any part of them it would take apart and put together again.
            answer = self._server.reader.mget(docs=docs, realtime=False)
        found = answer["docs"]
        for reference, doc in zip(references, found, strict=True):
            if "_source" in doc:
                continue
            error = doc.get("error", {}).get("type", "index_not_found_exception")
            if error != "index_not_found_exception":
                raise StoreAway(f"View row {reference} cannot be read of {self._server.where} now: {error}.")
            raise RowsGone(f"View row {reference} was cleaned up; read again from the published epoch.")
        return [unpacked(doc["_source"]["payload"]) for doc in found]

    def discard(self, version: int) -> None:
        generation = self._current()
        delete(self._server, generation, rows_with(version=version))
        generation.seals.forget([version])
        del generation.created[version]

    def remove_before(self, hub: str, hour: int) -> int:
        generation = self._current()
        wanted = _sealed(generation).filter("term", hub=hub).filter("range", start={"lt": hour})
        return delete(self._server, generation, wanted)

    def forget_days(self, hub: str) -> None:
        generation = self._current()
        wanted = _sealed(generation).filter("term", hub=hub).filter("terms", grain=[DAY, MONTH])
        delete(self._server, generation, wanted)

    def clean_up(self, version: int) -> int:
        generation = self._current()
        cleaned = generation.cleaned_up_to()
        if version <= cleaned:
            return 0
        deleted = delete_stale(self._server, generation, cleaned, version)
        generation.seals.forget(sealed for sealed in generation.seals.versions() if sealed < version)
        generation.keep_cleaned(version)
        return deleted

    # Birth and seals.

    def birth(self) -> str:
        return self._born().birth

    def _born(self) -> Generation:
        """The generation of the store as it is; another where it lost something."""
        found = self._of(self._meta.birth())
        if found is None or not found.is_whole():
            found = self._begun(instead_of=found)
        with self._lock:
            self._generation = found
        return found

    def seal(self, version: int, birth: str) -> bool:
        if self.birth() != birth:
            return False
        generation = self._current()
        generation.refresh_all()
        if generation.count(rows_with(version=version)) < generation.created[version]:
            logger.error("Elasticsearch lost rows of epoch %d while it was written; all rows are made anew.", version)
            self._generation = self._begun(instead_of=generation)
            return False
        generation.seals.put(version, generation.count(rows_up_to(version)))
        return True

    def is_sealed(self, version: int) -> bool:
        if version == 0:
            return True
        self._server.refuse_while_away()
        with self._doubting():
            while True:
                generation = self._generation or self._of(self._meta.birth())
                if generation is None:
                    return False
                if self._is_proved(version, generation, self._server.answers(self._proof(version, generation))):
                    return True
                if self._generation in (generation, None):
                    return False

    def seems_sealed(self, version: int) -> bool:
        if (self._generation, version) != self._seen_sealed:
            return self.is_sealed(version)
        self._server.refuse_while_away()
        return True

    @contextmanager
    def _doubting(self) -> Iterator[None]:
        """A server that refuses is asked again before the next reader goes by what it said."""
        try:
            yield
        except StoreAway:
            self._seen_sealed = None
            raise

    def _proof(self, version: int, generation: Generation) -> list[Asked]:
        """What is asked to know whether a version is sealed: the birth of the store, the seal, and how many rows there are."""
        ids = [BIRTH, generation.seals.id(version)]
        rows = rows_up_to(version).extra(size=0, track_total_hits=True)
        return [(Search().query("ids", values=ids)[: len(ids)], self._meta.index), (rows, generation.indexes)]

    def _is_proved(self, version: int, generation: Generation, answers: Sequence[dict]) -> bool:
        """Whether the answers to a proof say that a version is sealed in a generation, which is the store's own."""
        known, counts = answers
        found = {hit["_id"]: hit["_source"] for hit in known["hits"].get("hits", [])}
        birth, seal = found.get(BIRTH, {}).get("birth"), found.get(generation.seals.id(version))
        is_current = birth == generation.birth
        is_sealed = (
            is_current
            and seal is not None
            and seal["declaration"] == DECLARATION
            and counts["hits"]["total"]["value"] >= seal["rows"]
        )
        following = generation if is_current else self._of(birth)
        with self._lock:
            # Another thread may have learnt of a newer one while this answer was on its way.
            if self._generation in (generation, None):
                self._generation = following
            self._seen_sealed = (generation, version) if is_sealed else None
        return is_sealed

    def _begun(self, instead_of: Generation | None) -> Generation:
        """The generation of a new birth, or of that which another process gave the store meanwhile."""
        self._indexes.make(self._meta.index)
        self._meta.give_birth(secrets.token_hex(8), instead_of.birth if instead_of else None)
        current = self._of(self._meta.birth())
        if current is None:
            raise StoreAway(f"The view store at {self._server.where} was emptied while it began; try again.")
        self._indexes.delete_others(current.birth)
        self._meta.forget_others(current.birth)
        return current

    def _of(self, birth: str | None) -> Generation | None:
        """The generation of a birth, with what this process wrote to it."""
        if birth is None:
            return None
        with self._lock:
            if birth not in self._generations:
                self._generations[birth] = Generation(self._server, self._meta, self._indexes, birth)
            return self._generations[birth]

    def _current(self) -> Generation:
        return self._generation or self._born()

    # For those who watch.

    def trouble(self) -> str | None:
        return self._server.trouble(self._indexes.all)

    def size(self) -> StoreSize | None:
        generation = self._current()
        generation.refresh_all()
        with self._server.answering():
            stats = self._server.client.indices.stats(index=generation.indexes, metric=["docs", "store"])
        found = stats["_all"]["total"]
        return StoreSize(found.get("docs", {}).get("count", 0), found.get("store", {}).get("size_in_bytes", 0))


def _sealed(generation: Generation) -> Search:
    """The rows of sealed versions. What a run writes meanwhile stays: its seal must find as many rows as it made."""
    return rows_up_to(max(generation.seals.versions(), default=0))


def _starts_in(wanted: GrainRange) -> Query:
    """The rows of a grain that start in a range of hours."""
    grain, start, end = wanted
    return Q("term", grain=grain) & Q("range", start={"gte": start, "lt": end})
