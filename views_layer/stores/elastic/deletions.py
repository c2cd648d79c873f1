"""Rows are found by their buckets and deleted by id. What is deleted is first taken off what the seals ask for."""

from collections.abc import Sequence
from itertools import groupby

from elasticsearch_dsl import Search

from views_layer.stores.elastic.bulk import batches, deletion, send
from views_layer.stores.elastic.generation import Generation
from views_layer.stores.elastic.rows import row_id, rows_up_to, start_of
from views_layer.stores.elastic.server import Server

BUCKETS_AT_ONCE = 1_000


def delete(server: Server, generation: Generation, wanted: Search) -> int:
    """Delete the rows of a search; returns how many."""
    before, deleted = generation.seals.versions(), 0
    generation.refresh_all()
    for some in batches(generation.hits(wanted.sort("bucket", "version")), BUCKETS_AT_ONCE):
        deleted += _drop(server, generation, [(bucket, version) for bucket, version in some])
    _settle(generation, before)
    return deleted


def delete_stale(server: Server, generation: Generation, cleaned: int, version: int) -> int:
    """Delete what readers of `version` and later cannot need, where it was cleaned up to `cleaned`; returns how many."""
    before, deleted = generation.seals.versions(), 0
    generation.refresh_all()
    # Only what a version wrote since the last clean-up makes older rows stale, and only those of its buckets.
    fresh = Search().filter("range", version={"gt": cleaned, "lte": version}).sort("bucket", "version")
    buckets = (bucket for bucket, _ in groupby(generation.hits(fresh), key=lambda hit: hit[0]))
    for some in batches(buckets, BUCKETS_AT_ONCE):
        deleted += _drop(server, generation, _stale(generation, some, version))
    _settle(generation, before)
    return deleted


def _stale(generation: Generation, buckets: Sequence[str], version: int) -> list[tuple[str, int]]:
    """The rows of buckets that are older than the newest up to `version`."""
    of_buckets = rows_up_to(version).filter("terms", bucket=list(buckets))
    hits = generation.hits(of_buckets.sort("bucket", "version"))
    rows = [[(bucket, found) for bucket, found in some] for _, some in groupby(hits, key=lambda hit: hit[0])]
    return [row for some in rows for row in some[:-1]]


def _drop(server: Server, generation: Generation, rows: Sequence[tuple[str, int]]) -> int:
    """Delete rows by bucket and version."""
    if rows:
        generation.seals.ask_for_fewer([version for _, version in rows])
        deletions = [deletion(generation.index_at(start_of(bucket)), row_id(bucket, v)) for bucket, v in rows]
        send(server, deletions)
    return len(rows)


def _settle(generation: Generation, before: set[int]) -> None:
    generation.refresh_all()
    generation.seals.settle(before, lambda version: generation.count(rows_up_to(version)))
