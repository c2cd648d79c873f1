"""What an append to the event log on MongoDB costs, beside the bare insert of the same documents."""

import os
import secrets
from collections.abc import Iterator
from time import perf_counter

from pymongo import MongoClient

from aggregations.event import Event
from aggregations.rollups import HOUR_MS
from bench import house, mix
from bench.figures import Figure, Figures, Options, at_least, say
from events.log import Account
from events.logs.mongo import MongoEventLog
from events.logs.mongo.chunks import chunk_id

SERVER = "TEST_EVENT_LOG_URL"
"""Names the server: mongodb://HOST:PORT."""
SIZES = (100, 1_000)
CHUNKS, WARM_UP = 300, 20
"""Chunks that are timed of each size, after some that are not: of a process and a server that have just begun."""
TARGET = 0.6


def measure(options: Options) -> Figures:
    """Chunks of 100 and of 1,000 events, each beside the bare insert of the documents that the log wrote, in turns."""
    house.migrate()
    url = f"{os.environ[SERVER]}/bench_{secrets.token_hex(6)}"
    client: MongoClient[dict] = MongoClient(url)
    with client:
        try:
            return dict(_figure(url, size, options.scaled(CHUNKS, 3)) for size in SIZES)
        finally:
            client.drop_database(client.get_default_database())


def _figure(url: str, size: int, chunks: int) -> tuple[str, Figure]:
    log = MongoEventLog(url)
    log.prepare()
    partition, bare = f"bench-{size}", log._server.database[f"bare_{size}"]
    appending = inserting = 0.0
    for sequence, events in enumerate(_chunks(size, WARM_UP + chunks), 1):
        if sequence == WARM_UP + 1:
            appending = inserting = 0.0
        began = perf_counter()
        with log.writer(partition) as writer:
            writer.append(events, events[-1].received_at)
            writer.account("acme", events[-1].received_at // HOUR_MS, Account(received=size, accepted=size))
        appending += perf_counter() - began
        (document,) = log._server.database["chunks"].find({"_id": chunk_id(partition, sequence)})
        began = perf_counter()
        bare.insert_one(document)
        inserting += perf_counter() - began
    total = size * chunks
    say(
        f"{size} events a chunk: {appending / chunks * 1000:.2f} ms an append, {inserting / chunks * 1000:.2f} ms an insert"
    )
    limit = total / inserting
    figure = at_least(TARGET * limit, total / appending, "events/s", limit, "insert_one of the same documents")
    return f"append_to_mongodb_{size}_a_chunk", figure


def _chunks(size: int, count: int) -> Iterator[list[Event]]:
    found = mix.events("acme", size * count, 1_795_000_000_000, 1_795_000_000_000 + HOUR_MS)
    for _ in range(count):
        chunk = [event for _, event in zip(range(size), found, strict=False)]
        if len(chunk) == size:
            yield chunk
