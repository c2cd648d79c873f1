"""What is known of the store: its birth, its indexes, its seals, and up to which version it was cleaned."""

import logging
from collections.abc import Sequence

from elasticsearch import ConflictError, NotFoundError
from elasticsearch_dsl import Document, Keyword, Long, Search

from views_layer.stores.elastic.bulk import batches, deletion, send
from views_layer.stores.elastic.server import PAGE, Server

logger = logging.getLogger(__name__)

BIRTH = "birth-2"
"""The id of the birth, which is the store's own; all else is of a generation. Where rows get another form it gets another
id, so that a store of rows of an older form is begun anew."""


class MetaDocument(Document):
    """A birth, an index or a seal, or up to which version a generation was cleaned."""

    kind = Keyword()
    birth = Keyword()
    name = Keyword()
    uuid = Keyword()
    version = Long()
    declaration = Keyword()
    rows = Long()


class Meta:
    """The index of what is known."""

    def __init__(self, server: Server, index: str) -> None:
        self._server, self.index = server, index

    def birth(self) -> str | None:
        with self._server.answering():
            try:
                return self._server.client.get(index=self.index, id=BIRTH)["_source"]["birth"]
            except NotFoundError:
                return None

    def give_birth(self, birth: str, instead_of: str | None) -> None:
        """Put a birth in the place of another, or of none, unless another process was faster."""
        document = _document("birth", birth)
        with self._server.answering():
            try:
                if instead_of is None:
                    self._server.client.create(index=self.index, id=BIRTH, document=document, refresh=True)
                    return
                found = self._server.client.get(index=self.index, id=BIRTH)
                if found["_source"]["birth"] == instead_of:
                    self._server.client.index(
                        index=self.index,
                        id=BIRTH,
                        document=document,
                        if_seq_no=found["_seq_no"],
                        if_primary_term=found["_primary_term"],
                        refresh=True,
                    )
            except (ConflictError, NotFoundError):
                logger.info("Another process began the view store anew.")

    def all(self, kind: str, birth: str) -> list[dict]:
        """All that is known of a kind, of a generation."""
        wanted = Search().filter("term", kind=kind).filter("term", birth=birth).sort("_doc")
        with self._server.answering():
            answer = self._server.client.search(
                index=self.index, body=wanted[:PAGE].to_dict(), ignore_unavailable=True, filter_path="hits.hits._source"
            )
        return [hit["_source"] for hit in answer.get("hits", {}).get("hits", [])]

    def keep(self, id: str, kind: str, birth: str, **values: str | int) -> None:
        document = _document(kind, birth, **values)
        with self._server.answering():
            self._server.client.index(index=self.index, id=id, document=document, refresh=True)

    def forget(self, ids: Sequence[str]) -> None:
        for some in batches(ids, PAGE):
            send(self._server, [deletion(self.index, one) for one in some], refresh=True)

    def forget_others(self, birth: str) -> None:
        """Forget what is known of other generations."""
        others = Search().exclude("term", birth=birth).sort("_doc").extra(_source=False)
        with self._server.answering():
            self._server.client.indices.refresh(index=self.index)
            found = self._server.client.search(
                index=self.index, body=others[:PAGE].to_dict(), filter_path="hits.hits._id"
            )
        self.forget([hit["_id"] for hit in found.get("hits", {}).get("hits", [])])


def _document(kind: str, birth: str, **values: str | int) -> dict[str, str | int]:
    return {"kind": kind, "birth": birth, **values}
