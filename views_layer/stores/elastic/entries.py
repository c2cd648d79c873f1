"""A media as a document, to be searched by the beginnings of its words.

Words come folded, so that the server need know no language, and not even fold: not every distribution of it can.
"""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from elasticsearch_dsl import Document, Keyword, Long, Text

from views_layer.media_index import Entry, Mark
from views_layer.stores.elastic.bulk import Action, replacement

BEGINNINGS = {"min_chars": 1, "max_chars": 12}
"""The prefixes of each word that the server keeps; longer ones it looks for among the words that begin so."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class MediaDocument(Document):
    """An entry; or, without key and words, the mark of a hub."""

    hub = Long()
    generation = Keyword()
    key = Keyword()
    words = Text(analyzer="whitespace", norms=False, index_options="docs", index_prefixes=BEGINNINGS)
    until = Long()


def entry_put(index: str, hub: int, generation: str, entry: Entry) -> Action:
    source = {"hub": hub, "generation": generation, "key": entry.key, "words": entry.words.strip()}
    return replacement(index, entry_id(generation, entry.key), source, _microseconds(entry.learnt_at))


def entry_id(generation: str, key: str) -> str:
    """Of fixed length: the server takes 512 bytes at most."""
    return blake2b(f"{generation}:{key}".encode(), digest_size=16).hexdigest()


def mark_id(hub: int) -> str:
    return f"mark:{hub}"


def mark_source(hub: int, mark: Mark) -> dict[str, str | int]:
    return {"hub": hub, "generation": mark.generation, "until": _microseconds(mark.until)}


def mark_from(source: dict) -> Mark:
    return Mark(source["generation"], EPOCH + source["until"] * MICROSECOND)


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND
