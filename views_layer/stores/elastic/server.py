"""An Elasticsearch, asked so that its silence and its refusals are StoreAway."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch
from elasticsearch_dsl import Search

from batch.view_store import StoreAway

PAGE = 10_000
"""Hits of one search; the server allows no more."""
LOOKS_FOR_S = 0.7
READERS_WAIT_S = 5.0
AWAY_FOR_S = 2.0
"""How long readers do without a server that did not answer one of them, before the next one asks it."""
WRONG = 400
PARTS = ("total", "hits._id", "hits._source", "hits.sort")
"""Of the hits of a search, where it has them."""

Asked = tuple[Search, str]
"""A search, and the indexes that it searches."""


class Server:
    """`client` is patient, as those who write are; `reader` gives up before those who wait for an answer do."""

    def __init__(self, hosts: Sequence[str], timeout: float, **options: Any) -> None:
        self.client = Elasticsearch(
            list(hosts), request_timeout=timeout, max_retries=0, retry_on_timeout=False, **options
        )
        self.reader = self.client.options(request_timeout=READERS_WAIT_S)
        self.where = ", ".join(hosts)
        self._away_until = 0.0

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Raises StoreAway where the server does not answer, or refuses what is asked well: it is busy, lacks a shard or an
        index, or knows the user not."""
        try:
            yield
        except TransportError as error:
            self._away_until = time.monotonic() + AWAY_FOR_S
            raise StoreAway(f"Elasticsearch at {self.where} does not answer ({type(error).__name__}).") from error
        except ApiError as error:
            if error.meta.status == WRONG:
                raise
            raise StoreAway(
                f"Elasticsearch at {self.where} refuses with {error.meta.status} ({error.error})."
            ) from error

    def refuse_while_away(self) -> None:
        """Raises StoreAway, without asking the server, where it did not answer a moment ago."""
        if time.monotonic() < self._away_until:
            raise StoreAway(f"Elasticsearch at {self.where} did not answer a moment ago.")

    def hits(self, wanted: Search, indexes: str) -> Iterator[list]:
        """The sort values of all hits, page by page. The order must tell any two documents apart."""
        hits = self.page(wanted[:PAGE], indexes)
        yield from hits
        while len(hits) == PAGE:
            hits = self.page(wanted[:PAGE].extra(search_after=hits[-1]), indexes)
            yield from hits

    def hits_before(self, last: Sequence[Asked], wanted: Search, indexes: str) -> tuple[list[list], list[dict]]:
        """The sort values of all hits, and the answers to what is searched after the last of them. In one request, where
        there is no more than a page of hits.
        """
        answer, *at_last = self.answers([(_sorted_only(wanted[:PAGE]), indexes), *last], in_order=True)
        hits = [hit["sort"] for hit in answer.get("hits", {}).get("hits", [])]
        if len(hits) < PAGE:
            return hits, at_last
        hits += self.hits(wanted.extra(search_after=hits[-1]), indexes)
        return hits, self.answers(last) if last else []

    def page(self, wanted: Search, indexes: str) -> list[list]:
        """The sort values of the hits of one search."""
        with self.answering():
            answer = self.reader.search(
                index=indexes,
                body=_sorted_only(wanted).to_dict(),
                ignore_unavailable=True,
                allow_partial_search_results=False,
                filter_path="hits.hits.sort",
            )
        return [hit["sort"] for hit in answer.get("hits", {}).get("hits", [])]

    def answers(self, asked: Sequence[Asked], in_order: bool = False) -> list[dict]:
        """The answer to each of several searches, in one request: PARTS of it. `in_order`: each begins when the one before
        has ended; else the server does as many together as it can."""
        lines: list[dict] = []
        for search, indexes in asked:
            lines += [{"index": indexes, "ignore_unavailable": True, "allow_partial_search_results": False}]
            lines += [search.to_dict()]
        with self.answering():
            answer = self.reader.msearch(
                searches=lines,
                max_concurrent_searches=1 if in_order else None,
                filter_path=["responses.status", "responses.error.type", *(f"responses.hits.{part}" for part in PARTS)],
            )
        for found in answer["responses"]:
            if "error" in found:
                raise StoreAway(f"Elasticsearch at {self.where} cannot be searched now: {found['error']['type']}.")
        return answer["responses"]

    def count(self, wanted: Search, indexes: str) -> int:
        with self.answering():
            answer = self.client.search(
                index=indexes,
                body=wanted.extra(size=0, track_total_hits=True).to_dict(),
                allow_partial_search_results=False,
            )
        return answer["hits"]["total"]["value"]

    def refresh(self, indexes: str) -> None:
        """Let searches find what was written."""
        with self.answering():
            answer = self.client.indices.refresh(index=indexes, ignore_unavailable=True)
        if answer["_shards"]["failed"]:
            raise StoreAway(f"The view store at {self.where} could not refresh {indexes}; try again.")

    def trouble(self, indexes: str) -> str | None:
        """Why it does not serve, in a sentence; None where it does."""
        hasty = self.client.options(request_timeout=LOOKS_FOR_S)
        try:
            health = hasty.cluster.health(index=indexes, expand_wildcards="all")
        except (TransportError, ApiError) as error:
            return f"Elasticsearch at {self.where} does not answer ({error})."
        if health["status"] == "red":
            return f"Elasticsearch at {self.where} is red: {health['unassigned_shards']} shards are not assigned."
        return None


def _sorted_only(wanted: Search) -> Search:
    """A search that answers with sort values alone."""
    return wanted.extra(_source=False, stored_fields="_none_", track_total_hits=False)
