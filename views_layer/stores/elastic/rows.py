"""A view row as a document. Its id follows from bucket and version, so a row that is there is never written over."""

from base64 import b64decode, b64encode
from collections.abc import Iterator

import pyarrow
from elasticsearch_dsl import Binary, Document, Keyword, Long, Search

from batch.view_store import ViewRow
from views_layer.stores.elastic.bulk import Action, creation

BYTES_AT_ONCE, WRITTEN_AT_ONCE = 2 * 1024 * 1024, 250
"""Of payloads, and rows, in one request that writes, about."""

_codec = pyarrow.Codec("zstd", compression_level=1)


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


def row_creation(index: str, version: int, row: ViewRow) -> Action:
    bucket = bucket_name(row.hub, row.rollup, row.grain, row.start, row.end)
    source = {
        "hub": row.hub,
        "rollup": row.rollup,
        "grain": row.grain,
        "start": row.start,
        "end": row.end,
        "version": version,
        "bucket": bucket,
        "payload": packed(row.payload),
    }
    return creation(index, row_id(bucket, version), source)


def packed(payload: bytes) -> str:
    """A payload as it is kept: its size, and its zstd, in base64."""
    return b64encode(len(payload).to_bytes(4, "big") + _codec.compress(payload, asbytes=True)).decode()


def unpacked(kept: str) -> bytes:
    body = b64decode(kept)
    return _codec.decompress(body[4:], int.from_bytes(body[:4], "big"), asbytes=True)


def row_id(bucket: str, version: int) -> str:
    return f"{bucket}:{version}"


def bucket_name(hub: str, rollup: str, grain: str, start: int, end: int) -> str:
    return f"{hub}:{rollup}:{grain}:{start}:{end}"


def start_of(bucket: str) -> int:
    return int(bucket.split(":")[3])


def rows_with(**terms: str | int) -> Search:
    found = Search()
    for name, value in terms.items():
        found = found.filter("term", **{name: value})
    return found


def rows_up_to(version: int) -> Search:
    return Search().filter("range", version={"lte": version})


def parts(rows: Iterator[ViewRow]) -> Iterator[list[ViewRow]]:
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
