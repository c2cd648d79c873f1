"""The view store in Elasticsearch.

Rows lie in one index for each UTC month of their start and each *generation* of the store, which is named by the
store's birth mark: `<prefix>-rows-<birth>-<year>-<month>`. Their ids follow from bucket and version, so a row that is
there is never written over. What is known of the store itself lies in `<prefix>-meta`: its birth, its indexes with
their UUIDs, and the seals with the number of rows that readers of each must find.

The server may lose anything. A store that lacks an index, or rows of a sealed version, is no longer the one of its
birth: it gets another birth, with no rows, and the old generation goes. Readers count before they trust a seal.

Only what every distribution of the server has is used: no scripts, no delete-by-query.
"""

import logging
import secrets
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import Any, TypeVar

import msgspec
from elastic_transport import TransportError
from elasticsearch import ApiError, ConflictError, Elasticsearch, NotFoundError
from elasticsearch_dsl import Binary, Document, Keyword, Long, Search

from aggregations.buckets import DAY, HOUR, MONTH
from aggregations.rollups import DECLARATION
from batch.view_store import RowAddress, RowsGone, StoreAway, StoreSize, ViewRow, ViewStore

logger = logging.getLogger(__name__)

BYTES_AT_ONCE, WRITTEN_AT_ONCE = 2 * 1024 * 1024, 250
"""Of payloads, and rows, in one request that writes, about."""
SENT_TOGETHER = 2
"""Requests at a time: the server works on one while the next is on its way."""
FETCHED_AT_ONCE = 500
PAGE = 10_000
"""Hits of one search; the server allows no more."""
BUCKETS_AT_ONCE = 1_000
MONTHS_BY_NAME = 36
"""Searches over more months name all indexes of the generation at once."""
TRIES_FOR_S = 20.0
"""How long a write is tried again where the server is busy."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 2.0
BUSY = {429, 502, 503, 504}
CREATED, OK, WRONG, MISSING, THERE = 201, 200, 400, 404, 409
LOOKS_FOR_S = 0.7
READERS_WAIT_S = 5.0
AWAY_FOR_S = 2.0
"""How long readers do without a server that did not answer one of them, before the next one asks it."""

Action = tuple[bytes, ...]
"""The lines of one action of a bulk request: what to do, and the source of a row."""
T = TypeVar("T")


class RowDocument(Document):
    """A row. `bucket` names hub, rollup, grain, start and end in one term. The payload is kept and not indexed."""

    hub = Keyword()
    rollup = Keyword()
    grain = Keyword()
    start = Long()
    end = Long()
    version = Long()
    bucket = Keyword()
    payload = Binary()


class MetaDocument(Document):
    """What is known of the store: a birth, an index or a seal, or up to which version a generation was cleaned."""

    kind = Keyword()
    birth = Keyword()
    name = Keyword()
    uuid = Keyword()
    version = Long()
    declaration = Keyword()
    rows = Long()


class ElasticViewStore(ViewStore):
    """Rows in the indexes `<prefix>-…` of an Elasticsearch of version 8."""

    def __init__(self, hosts: Sequence[str], prefix: str = "affluence", timeout: float = 30, **options: Any) -> None:
        self._client = Elasticsearch(
            list(hosts), request_timeout=timeout, max_retries=0, retry_on_timeout=False, **options
        )
        self._where = ", ".join(hosts)
        self._prefix, self._meta = prefix, f"{prefix}-meta"
        self._birth: str | None = None
        self._known: set[str] = set()
        self._unrefreshed: dict[str, int] = {}
        self._created: Counter[int] = Counter()
        self._away_until = 0.0

    # Rows.

    def write(self, version: int, rows: Iterable[ViewRow]) -> int:
        written, parts = 0, _parts(iter(rows))
        with ThreadPoolExecutor(SENT_TOGETHER) as pool:
            for together in _batches(parts, SENT_TOGETHER):
                for name in sorted({self._index(row.start) for part in together for row in part}):
                    self._make_index(name)
                    self._unrefreshed[name] = min(version, self._unrefreshed.get(name, version))
                actions = [[self._creation(version, row) for row in part] for part in together]
                self._created[version] += sum(pool.map(self._bulk, actions))
                written += sum(map(len, together))
        return written

    def _creation(self, version: int, row: ViewRow) -> Action:
        bucket, index = _bucket(row.hub, row.rollup, row.grain, row.start, row.end), self._index(row.start)
        source = {
            "hub": row.hub,
            "rollup": row.rollup,
            "grain": row.grain,
            "start": row.start,
            "end": row.end,
            "version": version,
            "bucket": bucket,
            "payload": b64encode(row.payload).decode(),
        }
        return _line({"create": {"_index": index, "_id": f"{bucket}:{version}"}}), _line(source)

    def addresses(self, hub: str, rollup: str, grain: str, start: int, end: int, version: int) -> list[RowAddress]:
        self._refresh_own(version)
        wanted = _rows(hub=hub, rollup=rollup, grain=grain).filter("range", start={"gte": start, "lt": end})
        wanted = wanted.filter("range", version={"lte": version}).sort("start", "end", "version")
        newest = {(at, until): found for at, until, found in self._hits(wanted, self._indexes(start, end))}
        return [
            RowAddress(
                grain, *bucket, found, f"{self._index(bucket[0])} {_bucket(hub, rollup, grain, *bucket)}:{found}"
            )
            for bucket, found in newest.items()
        ]

    def written(self, version: int, rollup: str, grain: str) -> dict[str, list[int]]:
        self._refresh_all()
        wanted = _rows(version=version, rollup=rollup, grain=grain).sort("hub", "start", "end")
        found: dict[str, list[int]] = {}
        for hub, start, _ in self._hits(wanted, self._all_indexes()):
            found.setdefault(hub, []).append(start)
        return found

    def first_start(self, hub: str, rollup: str, version: int, start: int = 0) -> int | None:
        self._refresh_own(version)
        wanted = _rows(hub=hub, rollup=rollup, grain=HOUR).filter("range", version={"lte": version})
        wanted = wanted.filter("range", start={"gte": start})
        found = self._page(wanted.sort("start")[:1], self._all_indexes())
        return found[0][0] if found else None

    def fetch(self, addresses: Sequence[RowAddress]) -> list[bytes]:
        payloads: dict[int | str, bytes] = {}
        for some in _batches(dict.fromkeys(address.reference for address in addresses), FETCHED_AT_ONCE):
            payloads.update(zip(some, self._payloads([str(reference) for reference in some]), strict=True))
        return [payloads[address.reference] for address in addresses]

    def _payloads(self, references: Sequence[str]) -> list[bytes]:
        docs = [dict(zip(("_index", "_id"), reference.split(" "), strict=True)) for reference in references]
        with self._answering():
            # Sealed rows are refreshed, and so need not be looked for among what is not: that takes twice as long.
            answer = self._client.options(request_timeout=READERS_WAIT_S).mget(
                docs=docs, realtime=False, source_includes=["payload"], filter_path="docs._source,docs.error,docs.found"
            )
        found = answer["docs"]
        for reference, doc in zip(references, found, strict=True):
            if "_source" in doc:
                continue
            error = doc.get("error", {}).get("type", "index_not_found_exception")
            if error != "index_not_found_exception":
                raise StoreAway(f"View row {reference} cannot be read of {self._where} now: {error}.")
            raise RowsGone(f"View row {reference} was cleaned up; read again from the published epoch.")
        return [b64decode(doc["_source"]["payload"]) for doc in found]

    # Birth and seals.

    def birth(self) -> str:
        found = self._read_birth()
        if found is None or not self._is_whole(found):
            found = self._begin(instead_of=found)
        self._be_of(found)
        return found

    def seal(self, version: int, birth: str) -> bool:
        if self.birth() != birth:
            return False
        self._refresh_all()
        if self._count(_rows(version=version)) < self._created[version]:
            logger.error("Elasticsearch lost rows of epoch %d while it was written; all rows are made anew.", version)
            self._be_of(self._begin(instead_of=birth))
            return False
        rows = self._count(_up_to(version))
        self._keep(_seal_id(birth, version), "seal", birth, version=version, declaration=DECLARATION, rows=rows)
        return True

    def is_sealed(self, version: int) -> bool:
        if version == 0:
            return True
        if time.monotonic() < self._away_until:
            raise StoreAway(f"Elasticsearch at {self._where} did not answer a moment ago.")
        while True:
            birth = self._birth or self._read_birth()
            if birth is None:
                return False
            found, count = self._looked_up(["birth", _seal_id(birth, version)], _up_to(version), birth)
            current = found.get("birth", {}).get("birth")
            if current == birth:
                break
            self._be_of(current)
        seal = found.get(_seal_id(birth, version))
        return seal is not None and seal["declaration"] == DECLARATION and count >= seal["rows"]

    def _looked_up(self, ids: list[str], counted: Search, birth: str) -> tuple[dict[str, dict], int]:
        """What the store knows under some ids, and how many rows there are, in one round trip."""
        rows = counted.extra(size=0, track_total_hits=True).to_dict()
        with self._answering():
            answer = self._client.options(request_timeout=READERS_WAIT_S).msearch(
                searches=[
                    {"index": self._meta, "ignore_unavailable": True, "allow_partial_search_results": False},
                    {"query": {"ids": {"values": ids}}, "size": len(ids)},
                    {"index": self._all_indexes(birth), "allow_partial_search_results": False},
                    rows,
                ],
                filter_path="responses.hits.hits._id,responses.hits.hits._source,responses.hits.total,responses.error.type",
            )
        for response in answer["responses"]:
            if "error" in response:
                raise StoreAway(f"The view store at {self._where} cannot be searched now: {response['error']['type']}.")
        known, counts = answer["responses"]
        found = {hit["_id"]: hit["_source"] for hit in known["hits"].get("hits", [])}
        return found, counts["hits"]["total"]["value"]

    def _read_birth(self) -> str | None:
        with self._answering():
            try:
                return self._client.get(index=self._meta, id="birth")["_source"]["birth"]
            except NotFoundError:
                return None

    def _is_whole(self, birth: str) -> bool:
        """False where the store lacks an index that it had, or rows of its newest seal."""
        with self._answering():
            settings = self._client.indices.get_settings(
                index=self._all_indexes(birth), name="index.uuid", allow_no_indices=True
            )
        uuids = {name: found["settings"]["index"]["uuid"] for name, found in settings.items()}
        known = {meta["name"]: meta["uuid"] for meta in self._kept("index", birth)}
        if lost := sorted(name for name, uuid in known.items() if uuids.get(name) != uuid):
            logger.error("Elasticsearch lost the indexes %s; all rows are made anew.", ", ".join(lost))
            return False
        seals = self._kept("seal", birth)
        if not seals:
            return True
        newest = max(seals, key=lambda seal: seal["version"])
        self._refresh_all(birth)
        count = self._count(_up_to(newest["version"]), birth)
        if count < newest["rows"]:
            logger.error("Elasticsearch holds %d of %d rows; all are made anew.", count, newest["rows"])
            return False
        return True

    def _begin(self, instead_of: str | None) -> str:
        """Give the store a new birth, unless another process was faster; returns the birth that it has now."""
        birth = secrets.token_hex(8)
        self._put_templates()
        with self._answering():
            self._create(self._meta)
            try:
                if instead_of is None:
                    self._client.create(index=self._meta, id="birth", document=_meta("birth", birth), refresh=True)
                else:
                    found = self._client.get(index=self._meta, id="birth")
                    if found["_source"]["birth"] == instead_of:
                        self._client.index(
                            index=self._meta,
                            id="birth",
                            document=_meta("birth", birth),
                            if_seq_no=found["_seq_no"],
                            if_primary_term=found["_primary_term"],
                            refresh=True,
                        )
            except (ConflictError, NotFoundError):
                logger.info("Another process began the view store anew.")
        current = self._read_birth()
        if current is None:
            raise StoreAway(f"The view store at {self._where} was emptied while it began; try again.")
        self._drop_others(current)
        return current

    def _drop_others(self, birth: str) -> None:
        """Delete the indexes of other generations, and what is known of them."""
        with self._answering():
            names = self._client.indices.get_settings(
                index=f"{self._prefix}-rows-*", name="index.uuid", allow_no_indices=True
            )
            for name in sorted(names):
                if not name.startswith(self._all_indexes(birth)[:-1]):
                    self._client.options(ignore_status=MISSING).indices.delete(index=name)
            self._client.indices.refresh(index=self._meta)
        others = Search().exclude("term", birth=birth).sort("_doc").extra(_source=False)
        with self._answering():
            found = self._client.search(index=self._meta, body=others[:PAGE].to_dict(), filter_path="hits.hits._id")
        ids = [hit["_id"] for hit in found.get("hits", {}).get("hits", [])]
        if ids:
            self._bulk([_deletion(self._meta, one) for one in ids], refresh=True)

    def _be_of(self, birth: str | None) -> None:
        if birth != self._birth:
            self._known.clear()
            self._unrefreshed.clear()
            self._created.clear()
        self._birth = birth

    def _current(self) -> str:
        return self._birth or self.birth()

    # Deleting.

    def discard(self, version: int) -> None:
        self._delete(_rows(version=version))
        self._forget([_seal_id(self._current(), version)])
        del self._created[version]

    def remove_before(self, hub: str, hour: int) -> int:
        sealed = max(self._sealed_versions(), default=0)
        wanted = _rows(hub=hub).filter("range", start={"lt": hour}).filter("range", version={"lte": sealed})
        return self._delete(wanted)

    def forget_days(self, hub: str) -> None:
        sealed = max(self._sealed_versions(), default=0)
        # What a run writes meanwhile stays: its seal must find as many rows as it made.
        self._delete(_rows(hub=hub).filter("terms", grain=[DAY, MONTH]).filter("range", version={"lte": sealed}))

    def clean_up(self, version: int) -> int:
        birth = self._current()
        cleaned = next((meta["version"] for meta in self._kept("cleaned", birth)), 0)
        if version <= cleaned:
            return 0
        before = self._sealed_versions()
        self._refresh_all()
        # Only what a version wrote since the last clean-up makes older rows stale, and only those of its buckets.
        fresh = Search().filter("range", version={"gt": cleaned, "lte": version}).sort("bucket", "version")
        buckets = (bucket for bucket, _ in groupby(self._hits(fresh, self._all_indexes()), key=lambda hit: hit[0]))
        deleted = 0
        for some in _batches(buckets, BUCKETS_AT_ONCE):
            deleted += self._drop(self._stale(some, version))
        self._refresh_all()
        self._settle(before)
        self._forget([_seal_id(birth, s["version"]) for s in self._kept("seal", birth) if s["version"] < version])
        self._keep(f"cleaned:{birth}", "cleaned", birth, version=version)
        return deleted

    def _stale(self, buckets: Sequence[str], version: int) -> list[tuple[str, int]]:
        """The rows of buckets that are older than the newest up to `version`."""
        of_buckets = Search().filter("terms", bucket=list(buckets)).filter("range", version={"lte": version})
        hits = self._hits(of_buckets.sort("bucket", "version"), self._all_indexes())
        rows = [[(bucket, found) for bucket, found in some] for _, some in groupby(hits, key=lambda hit: hit[0])]
        return [row for some in rows for row in some[:-1]]

    def _delete(self, wanted: Search) -> int:
        before, deleted = self._sealed_versions(), 0
        self._refresh_all()
        for some in _batches(self._hits(wanted.sort("bucket", "version"), self._all_indexes()), BUCKETS_AT_ONCE):
            deleted += self._drop([(bucket, version) for bucket, version in some])
        self._refresh_all()
        self._settle(before)
        return deleted

    def _drop(self, rows: Sequence[tuple[str, int]]) -> int:
        """Delete rows by bucket and version. First the seals ask for so many fewer: readers must not miss them."""
        if not rows:
            return 0
        birth = self._current()
        for seal in self._kept("seal", birth):
            fewer = sum(version <= seal["version"] for _, version in rows)
            if fewer:
                seal["rows"] -= fewer
                self._keep(_seal_id(birth, seal["version"]), **seal)
        self._bulk([_deletion(self._index(_start(bucket)), f"{bucket}:{version}") for bucket, version in rows])
        return len(rows)

    def _sealed_versions(self) -> set[int]:
        return {seal["version"] for seal in self._kept("seal", self._current())}

    def _settle(self, before: set[int]) -> None:
        """Let seals that were made while rows were deleted, and not there `before`, ask for no row that went."""
        birth = self._current()
        for seal in self._kept("seal", birth):
            if seal["version"] not in before:
                seal["rows"] = min(seal["rows"], self._count(_up_to(seal["version"])))
                self._keep(_seal_id(birth, seal["version"]), **seal)

    # What is known of the store.

    def _kept(self, kind: str, birth: str) -> list[dict]:
        """All that is known of a kind, of a generation."""
        wanted = Search().filter("term", kind=kind).filter("term", birth=birth).sort("_doc")
        with self._answering():
            answer = self._client.search(
                index=self._meta, body=wanted[:PAGE].to_dict(), ignore_unavailable=True, filter_path="hits.hits._source"
            )
        return [hit["_source"] for hit in answer.get("hits", {}).get("hits", [])]

    def _keep(self, id: str, kind: str, birth: str, **values: str | int) -> None:
        with self._answering():
            self._client.index(index=self._meta, id=id, document=_meta(kind, birth, **values), refresh=True)

    def _forget(self, ids: Sequence[str]) -> None:
        for some in _batches(ids, PAGE):
            self._bulk([_deletion(self._meta, one) for one in some], refresh=True)

    # Indexes.

    def _index(self, start: int) -> str:
        """The index of the rows that start in an hour."""
        return f"{self._all_indexes()[:-1]}{datetime.fromtimestamp(start * 3_600, UTC):%Y-%m}"

    def _indexes(self, start: int, end: int) -> str:
        """The indexes of the rows that start in a range of hours."""
        first, last = (datetime.fromtimestamp(hour * 3_600, UTC) for hour in (start, max(end - 1, start)))
        months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
        if len(months) > MONTHS_BY_NAME:
            return self._all_indexes()
        generation = self._all_indexes()[:-1]
        return ",".join(f"{generation}{month // 12:04}-{month % 12 + 1:02}" for month in months)

    def _all_indexes(self, birth: str | None = None) -> str:
        return f"{self._prefix}-rows-{birth or self._current()}-*"

    def _make_index(self, name: str) -> None:
        """Make an index and remember that the store has it. One that it had already, and lost, is not made again."""
        if name in self._known:
            return
        birth = self._current()
        if name not in {meta["name"] for meta in self._kept("index", birth)}:
            self._put_templates()
            with self._answering():
                self._create(name)
                uuid = self._client.indices.get_settings(index=name)[name]["settings"]["index"]["uuid"]
            self._keep(f"index:{name}", "index", birth, name=name, uuid=uuid)
        self._known.add(name)

    def _create(self, name: str) -> None:
        try:
            self._client.indices.create(index=name)
        except ApiError as error:
            if error.error != "resource_already_exists_exception":
                raise

    def _put_templates(self) -> None:
        """What makes an index of ours. None is made by a write alone: one that was deleted stays deleted."""
        for name, document, settings in (
            (f"{self._prefix}-rows-*", RowDocument, {"refresh_interval": "-1"}),
            (self._meta, MetaDocument, {}),
        ):
            with self._answering():
                self._client.indices.put_index_template(
                    name=name.rstrip("-*"),
                    index_patterns=[name],
                    allow_auto_create=False,
                    priority=500,
                    template={
                        "settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1", **settings},
                        "mappings": {"dynamic": "strict", **document._doc_type.mapping.to_dict()},
                    },
                )

    # Requests.

    def _hits(self, wanted: Search, indexes: str) -> Iterator[list]:
        """The sort values of all hits, page by page. The order must tell any two rows apart."""
        hits = self._page(wanted[:PAGE], indexes)
        yield from hits
        while len(hits) == PAGE:
            hits = self._page(wanted[:PAGE].extra(search_after=hits[-1]), indexes)
            yield from hits

    def _page(self, wanted: Search, indexes: str) -> list[list]:
        body = wanted.extra(_source=False, stored_fields="_none_", track_total_hits=False).to_dict()
        with self._answering():
            answer = self._client.options(request_timeout=READERS_WAIT_S).search(
                index=indexes,
                body=body,
                ignore_unavailable=True,
                allow_partial_search_results=False,
                filter_path="hits.hits.sort",
            )
        return [hit["sort"] for hit in answer.get("hits", {}).get("hits", [])]

    def _count(self, wanted: Search, birth: str | None = None) -> int:
        with self._answering():
            answer = self._client.search(
                index=self._all_indexes(birth),
                body=wanted.extra(size=0, track_total_hits=True).to_dict(),
                allow_partial_search_results=False,
            )
        return answer["hits"]["total"]["value"]

    def _refresh_own(self, version: int) -> None:
        """Let searches find what this process has written, where it wrote rows of up to `version`.

        A run reads what is published while it writes the next version: refreshing for that would cost more than the rest.
        """
        if any(written <= version for written in self._unrefreshed.values()):
            self._refresh(",".join(sorted(self._unrefreshed)))
            self._unrefreshed.clear()

    def _refresh_all(self, birth: str | None = None) -> None:
        """Let searches find what any process has written."""
        self._refresh(self._all_indexes(birth))
        self._unrefreshed.clear()

    def _refresh(self, indexes: str) -> None:
        with self._answering():
            answer = self._client.indices.refresh(index=indexes, ignore_unavailable=True)
        if answer["_shards"]["failed"]:
            raise StoreAway(f"The view store at {self._where} could not refresh {indexes}; try again.")

    def _bulk(self, actions: Sequence[Action], refresh: bool = False) -> int:
        """Do actions; returns how many rows were made. Each answer is looked at.

        What the server has no room for now is tried again, for TRIES_FOR_S. Raises StoreAway where it refuses.
        """
        pending, created, pause = actions, 0, FIRST_PAUSE_S
        deadline = time.monotonic() + TRIES_FOR_S
        while True:
            refused, reason = pending, ""
            lines: list[Any] = [line for action in pending for line in action]
            try:
                with self._answering():
                    answer = self._client.bulk(
                        operations=lines,
                        refresh=refresh,
                        filter_path="errors,items.*.status,items.*.error",
                    )
                refused, reason, made = self._judged(pending, answer["items"])
                created += made
            except StoreAway as error:
                reason = str(error)
            if not refused:
                return created
            if time.monotonic() + pause > deadline:
                raise StoreAway(f"The view store took {len(refused)} of {len(pending)} rows not: {reason}")
            time.sleep(pause)
            pending, pause = refused, min(pause * 2, LAST_PAUSE_S)

    def _judged(self, actions: Sequence[Action], items: Sequence[dict]) -> tuple[list[Action], str, int]:
        """The actions that may be tried again, why, and how many rows were made. Raises StoreAway for other refusals."""
        again, reason, created = [], "", 0
        for action, item in zip(actions, items, strict=True):
            ((verb, found),) = item.items()
            status, error = found["status"], found.get("error", {})
            if (
                status in (CREATED, OK)
                or (verb == "create" and status == THERE)
                or (verb == "delete" and status == MISSING)
            ):
                created += verb == "create" and status == CREATED
            elif status in BUSY:
                again.append(action)
                reason = f"{error.get('type')}: {error.get('reason')}"
            else:
                raise StoreAway(
                    f"The view store at {self._where} refused a row with {status}: {error.get('type')}, {error.get('reason')}."
                    " Where its index is gone, the next run makes all rows anew."
                )
        return again, reason, created

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Raises StoreAway where the server does not answer, or refuses what is asked well: it is busy, lacks a shard or an
        index, or knows the user not."""
        try:
            yield
        except TransportError as error:
            self._away_until = time.monotonic() + AWAY_FOR_S
            raise StoreAway(f"Elasticsearch at {self._where} does not answer ({type(error).__name__}).") from error
        except ApiError as error:
            if error.meta.status == WRONG:
                raise
            raise StoreAway(
                f"Elasticsearch at {self._where} refuses with {error.meta.status} ({error.error})."
            ) from error

    # For those who watch.

    def trouble(self) -> str | None:
        hasty = self._client.options(request_timeout=LOOKS_FOR_S)
        try:
            health = hasty.cluster.health(index=f"{self._prefix}-*", expand_wildcards="all")
        except (TransportError, ApiError) as error:
            return f"Elasticsearch at {self._where} does not answer ({error})."
        if health["status"] == "red":
            return f"Elasticsearch at {self._where} is red: {health['unassigned_shards']} shards are not assigned."
        return None

    def size(self) -> StoreSize | None:
        self._refresh_all()
        with self._answering():
            found = self._client.indices.stats(index=self._all_indexes(), metric=["docs", "store"])["_all"]["total"]
        return StoreSize(found.get("docs", {}).get("count", 0), found.get("store", {}).get("size_in_bytes", 0))


def _rows(**terms: str | int) -> Search:
    found = Search()
    for name, value in terms.items():
        found = found.filter("term", **{name: value})
    return found


def _up_to(version: int) -> Search:
    return Search().filter("range", version={"lte": version})


def _parts(rows: Iterator[ViewRow]) -> Iterator[list[ViewRow]]:
    """The rows, as many at a time as go into one request."""
    some: list[ViewRow] = []
    size = 0
    for row in rows:
        some.append(row)
        size += len(row.payload)
        if size > BYTES_AT_ONCE or len(some) == WRITTEN_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _bucket(hub: str, rollup: str, grain: str, start: int, end: int) -> str:
    return f"{hub}:{rollup}:{grain}:{start}:{end}"


def _start(bucket: str) -> int:
    return int(bucket.split(":")[3])


def _seal_id(birth: str, version: int) -> str:
    return f"seal:{birth}:{version}"


def _meta(kind: str, birth: str, **values: str | int) -> dict[str, str | int]:
    return {"kind": kind, "birth": birth, **values}


def _line(value: dict) -> bytes:
    return msgspec.json.encode(value)


def _deletion(index: str, id: str) -> Action:
    return (_line({"delete": {"_index": index, "_id": id}}),)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some
