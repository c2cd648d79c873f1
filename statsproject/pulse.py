"""The pulse: each serving process keeps a key of Redis alive, which is gone seconds after the process."""

import os
import threading
import time
from contextlib import suppress

import redis

from speed import server

PARTS = ("web", "worker-speed", "worker-batch", "beat")
EVERY_SECONDS = 1.0
LASTS_MS = 3_500
ANSWER_WITHIN_SECONDS = 0.7


def _key(part: str) -> str:
    return f"{{pulse}}:{part}"  # all in one hash slot, so that one command reads them


def _client() -> redis.Redis:
    """A client that gives up after one short try: a Redis that hangs counts as one that is gone."""
    return server.connect(ANSWER_WITHIN_SECONDS, retry=server.ONCE)


def beat_once(part: str, client: redis.Redis) -> None:
    """Let the pulse of `part` last a few seconds from now. A Redis that does not answer is no error."""
    try:
        client.set(_key(part), os.getpid(), px=LASTS_MS)
    except redis.RedisError:
        client.close()


def keep(part: str) -> threading.Thread:
    """Keep the pulse of `part` from a daemon thread, as long as this process runs."""

    def run() -> None:
        client = _client()
        while True:
            beat_once(part, client)
            time.sleep(EVERY_SECONDS)

    thread = threading.Thread(target=run, name=f"pulse {part}", daemon=True)
    thread.start()
    return thread


def stop(part: str) -> None:
    """End the pulse of a part that has died, so that it shows at once. A Redis that does not answer is no error."""
    client = _client()
    with suppress(redis.RedisError):
        client.delete(_key(part))
    client.close()


def felt() -> dict[str, bool]:
    """Which parts have a pulse, and whether Redis answers; within about a second, whatever Redis does."""
    client = _client()
    try:
        pulses = client.mget([_key(part) for part in PARTS])
    except redis.RedisError:
        return {**dict.fromkeys(PARTS, False), "redis": False}
    finally:
        client.close()
    return {**{part: bool(pulse) for part, pulse in zip(PARTS, pulses, strict=True)}, "redis": True}


def redis_trouble() -> str | None:
    """What is wrong with Redis, in a sentence."""
    return server.trouble()
