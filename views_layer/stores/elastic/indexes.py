"""The indexes of a prefix, and the templates that they are made from."""

from datetime import UTC, datetime

from elasticsearch import ApiError
from elasticsearch_dsl import Document

from views_layer.stores.elastic.bulk import MISSING
from views_layer.stores.elastic.entries import MediaDocument
from views_layer.stores.elastic.meta import MetaDocument
from views_layer.stores.elastic.rows import RowDocument
from views_layer.stores.elastic.server import Server

MONTHS_BY_NAME = 36
"""Searches over more months name all indexes of the generation at once."""

UNREFRESHED = {"refresh_interval": "-1"}
Kind = tuple[str, type[Document], dict[str, str]]
"""The pattern of a template, what the documents are, and settings."""


class Indexes:
    """`<prefix>-meta`, `<prefix>-media`, and `<prefix>-rows-<birth>-<year>-<month>` for each UTC month of a row's start."""

    def __init__(self, server: Server, prefix: str) -> None:
        self._server, self._prefix = server, prefix
        self.all = f"{prefix}-*"
        self.meta, self.media = f"{prefix}-meta", f"{prefix}-media"
        self._kinds: dict[str, Kind] = {
            self.meta: (self.meta, MetaDocument, {}),
            self.media: (self.media, MediaDocument, {}),
        }
        """Of the indexes that are no rows'."""

    def of(self, birth: str) -> str:
        """All indexes of a generation."""
        return f"{self._prefix}-rows-{birth}-*"

    def at(self, birth: str, start: int) -> str:
        """The index of the rows that start in an hour."""
        return f"{self.of(birth)[:-1]}{datetime.fromtimestamp(start * 3_600, UTC):%Y-%m}"

    def between(self, birth: str, start: int, end: int) -> str:
        """The indexes of the rows that start in a range of hours."""
        first, last = (datetime.fromtimestamp(hour * 3_600, UTC) for hour in (start, max(end - 1, start)))
        months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
        if len(months) > MONTHS_BY_NAME:
            return self.of(birth)
        generation = self.of(birth)[:-1]
        return ",".join(f"{generation}{month // 12:04}-{month % 12 + 1:02}" for month in months)

    def make(self, name: str) -> str:
        """Make an index, unless it is there; returns its UUID."""
        self._put_template(name)
        with self._server.answering():
            try:
                self._server.client.indices.create(index=name)
            except ApiError as error:
                if error.error != "resource_already_exists_exception":
                    raise
            return self._server.client.indices.get_settings(index=name)[name]["settings"]["index"]["uuid"]

    def uuids(self, birth: str) -> dict[str, str]:
        """The indexes of a generation that are there, with the UUID that each was given when it was made."""
        return self._uuids(self.of(birth))

    def delete_others(self, birth: str) -> None:
        """Delete the indexes of other generations."""
        for name in sorted(self._uuids(f"{self._prefix}-rows-*")):
            if not name.startswith(self.of(birth)[:-1]):
                with self._server.answering():
                    self._server.client.options(ignore_status=MISSING).indices.delete(index=name)

    def _uuids(self, pattern: str) -> dict[str, str]:
        with self._server.answering():
            found = self._server.client.indices.get_settings(index=pattern, name="index.uuid", allow_no_indices=True)
        return {name: of["settings"]["index"]["uuid"] for name, of in found.items()}

    def _put_template(self, name: str) -> None:
        """What makes an index. None is made by a write alone: one that was deleted stays deleted."""
        pattern, document, settings = self._kinds.get(name, (f"{self._prefix}-rows-*", RowDocument, UNREFRESHED))
        with self._server.answering():
            self._server.client.indices.put_index_template(
                name=pattern.rstrip("-*"),
                index_patterns=[pattern],
                allow_auto_create=False,
                priority=500,
                template={
                    "settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1", **settings},
                    "mappings": {"dynamic": "strict", **document._doc_type.mapping.to_dict()},
                },
            )
