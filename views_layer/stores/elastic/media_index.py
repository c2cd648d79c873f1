"""The index of media in Elasticsearch: `<prefix>-media`."""

from collections.abc import Iterable, Sequence
from typing import Any

from elasticsearch import NotFoundError
from elasticsearch_dsl import Search

from views_layer.media_index import Entry, Hits, Mark, MediaIndex
from views_layer.stores.elastic.bulk import batches, deletion, send
from views_layer.stores.elastic.entries import entry_id, entry_put, mark_from, mark_id, mark_source
from views_layer.stores.elastic.indexes import Indexes
from views_layer.stores.elastic.server import Server

PUT_AT_ONCE = 2_000


class ElasticMediaIndex(MediaIndex):
    """Entries of media in an Elasticsearch."""

    def __init__(self, hosts: Sequence[str], prefix: str = "affluence", timeout: float = 30, **options: Any) -> None:
        self._server = Server(hosts, timeout, **options)
        self._indexes = Indexes(self._server, prefix)
        self._name = self._indexes.media

    def mark(self, hub: int) -> Mark | None:
        self._server.refuse_while_away()
        with self._server.answering():
            try:
                found = self._server.reader.get(index=self._name, id=mark_id(hub))["_source"]
            except NotFoundError:
                return None
        return mark_from(found)

    def put(self, hub: int, generation: str, entries: Iterable[Entry]) -> int:
        self._indexes.make(self._name)
        count = 0
        for some in batches(entries, PUT_AT_ONCE):
            send(self._server, [entry_put(self._name, hub, generation, entry) for entry in some])
            count += len(some)
        return count

    def keep(self, hub: int, mark: Mark) -> None:
        self._server.refresh(self._name)
        with self._server.answering():
            self._server.client.index(index=self._name, id=mark_id(hub), document=mark_source(hub, mark))

    def forget(self, hub: int) -> None:
        send(self._server, [deletion(self._name, mark_id(hub))])

    def drop_others(self, hub: int, generation: str) -> None:
        others = Search().filter("term", hub=hub).filter("exists", field="key").exclude("term", generation=generation)
        for some in batches(self._server.hits(others.sort("generation", "key"), self._name), PUT_AT_ONCE):
            send(self._server, [deletion(self._name, entry_id(*of)) for of in some], refresh=True)

    def find(self, generation: str, words: Sequence[str], without: Sequence[str], after: str, count: int) -> Hits:
        entries = Search().filter("term", generation=generation).filter("exists", field="key")
        entries = entries.exclude("terms", key=list(without)).extra(track_total_hits=True)
        matching = entries.sort("key").extra(_source=False, search_after=[after])[:count]
        for word in words:
            matching = matching.filter("prefix", words=word)
        found, held = self._server.answers([(matching, self._name), (entries[:0], self._name)])
        keys = [hit["sort"][0] for hit in found["hits"].get("hits", [])]
        return Hits(keys, found["hits"]["total"]["value"], held["hits"]["total"]["value"])
