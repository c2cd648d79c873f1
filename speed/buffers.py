"""The real-time buffers: two in steady state, the active one that is fed and the frozen one that waits for its batch run.

Every change is one Lua script, so a reader sees all of it or nothing. Redis is a cache of the log: the content of a
buffer is a function of its epoch's first cut and its mark, and `recovery` builds it again from cuts and log.

An entry is the bytes of cells (see aggregations.cells). A buffer holds, for each hub and rollup, a list of entries
whose merge is its state: applying appends one, compaction merges them. How long each list must be is kept beside it: a
reader that finds another length, or damaged bytes, condemns the buffers, and recovery builds them again.

All keys of an installation lie in one hash slot: a swap cuts the buffers of all hubs at one position of the log, and the
mark moves with the entries of all of them, so a script must have them all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import redis
from django.conf import settings
from redis.commands.core import Script

from aggregations.cells import DamagedCells
from aggregations.rollups import DECLARATION
from events.log import Position
from speed import server

logger = logging.getLogger(__name__)

COMPACT_AT = 16
"""Entries of one list before they are merged. Measured: reads grow with it, writes shrink with it; 16 is flat in both."""

REWRITTEN_WITHIN_S = 60

SAMPLE = 200
"""Lists whose memory is asked for when a buffer's is estimated."""

Entry = tuple[str, str, bytes]
"""Hub, rollup and the bytes of their cells."""

TAG = "{affluence}"
"""What is in braces says in which hash slot a key lies."""
PREFIX = f"{TAG}:{DECLARATION}:2:"
"""Buffers of another declaration are not seen: after a measure was added, recovery folds the log anew. Nor are those of
another form, whose number comes after the declaration."""
OF_ANY_FORM = (f"{TAG}:*", "affluence:*")
"""What the keys of buffers are like; the second those before 1.0, in many slots."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Where the buffers stand: epochs, the cut of the frozen one (both None where nothing is frozen), the mark.

    `birth` is that of the log that they were folded from (see EventLog.birth). `is_damaged` where they were condemned.
    """

    published: int
    active: int
    mark: Position
    frozen: int | None
    cut: Position | None
    birth: str
    is_damaged: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the buffers: the pipeline and the entries of one hub, by rollup, of all epochs after `published`."""

    pipeline: Pipeline
    entries: dict[str, list[bytes]]


@cache
def client() -> redis.Redis:
    """The connection pool to Redis."""
    return server.connect(settings.REDIS_TIMEOUT)


def pipeline() -> Pipeline | None:
    """The state of the buffers; None where Redis holds none (new or wiped). Raises redis.RedisError."""
    return _pipeline(cast(dict[bytes, bytes], client().hgetall(_pipeline_key())))


def snapshot(hub: str, rollups: Sequence[str]) -> Snapshot | None:
    """The pipeline and a hub's entries, in one script; None where Redis holds none.

    Raises redis.RedisError, DamagedCells where a list is not as long as it must be.
    """
    answer = _run("snapshot", [_pipeline_key()], [PREFIX, hub, *rollups])
    flat: list[bytes] = answer[0]
    state = _pipeline(dict(zip(flat[::2], flat[1::2], strict=True)))
    if state is None:
        return None
    if wrong := [name.decode() for name in answer[2]]:
        raise DamagedCells(f"Lists of the buffers are not as long as they must be: {', '.join(wrong)}.")
    return Snapshot(state, dict(zip(rollups, answer[1], strict=True)))


def apply(state: Pipeline, next_mark: Position, entries: Iterable[Entry]) -> list[tuple[str, str]] | None:
    """Append entries to the active buffer and move its mark, if epoch, mark and log are still those of `state`.

    Returns the (hub, rollup) pairs that want compaction; None where somebody else moved the mark, and nothing changed.
    """
    keys = [_pipeline_key(), _lengths_key(state.active)]
    arguments: list[str | bytes] = [state.birth, str(state.active)]
    arguments += [position_text(state.mark), position_text(next_mark), str(COMPACT_AT)]
    for hub, rollup, data in entries:
        keys.append(_key(state.active, hub, rollup))
        arguments += [f"{hub}:{rollup}", data]
    answer: list[bytes] | None = _run("apply", keys, arguments)
    return None if answer is None else [_hub_and_rollup(name) for name in answer]


def entries_of(epoch: int, names: Sequence[tuple[str, str]]) -> list[list[bytes]]:
    """All entries of the lists of (hub, rollup) pairs, in one round trip."""
    with client().pipeline(transaction=False) as together:
        for hub, rollup in names:
            together.lrange(_key(epoch, hub, rollup), 0, -1)
        return together.execute()


def compact(epoch: int, merges: Iterable[tuple[str, str, Sequence[bytes], bytes]]) -> list[bool]:
    """Put a merge in the place of a list's first entries, for (hub, rollup, entries, merge), in one round trip.

    False where those entries are there no more, or the list is not as long as it must be.
    """
    script = _script("compact")
    with client().pipeline(transaction=False) as together:
        for hub, rollup, entries, merged in merges:
            digest = hashlib.sha1(b"".join(entries), usedforsecurity=False).hexdigest()
            keys = [_key(epoch, hub, rollup), _lengths_key(epoch)]
            script(keys, [f"{hub}:{rollup}", str(len(entries)), digest, merged], client=together)
        return [bool(done) for done in together.execute()]


def swap(birth: str) -> tuple[int, Position] | None:
    """Freeze the active buffer and open the next; returns the frozen epoch and its cut.

    Where a frozen buffer still waits, nothing changes and that one is returned: the active buffer keeps growing.
    None where Redis holds no buffers of the log of that birth: recovery comes first.
    """
    answer: list[bytes] | None = _run("swap", [_pipeline_key()], [PREFIX, birth])
    return None if answer is None else (int(answer[0]), json.loads(answer[1]))


def retire(epoch: int, cut: Position) -> bool:
    """Flip the published epoch and drop the frozen buffer, in one script. True where that is so afterwards.

    A frozen buffer of the epoch that ends elsewhere than at `cut`, the recorded one, stays: rows that end at the cut
    cannot take its place. Recovery mends that.
    """
    keys = [_pipeline_key(), _lengths_key(epoch)]
    return bool(_run("retire", keys, [PREFIX, str(epoch), position_text(cut)]))


def install(state: Pipeline, entries: Iterable[Entry], instead_of: Pipeline | None) -> bool:
    """Replace everything by `state`, an empty active buffer, and `entries` in the frozen one.

    False, and nothing changed, where the pipeline is no longer `instead_of` (None: where Redis holds some again).
    """
    arguments: list[str | bytes] = [PREFIX, *_texts(instead_of), *_texts(state)]
    for hub, rollup, data in entries:
        arguments += [f"{hub}:{rollup}", data]
    return bool(_run("install", [_pipeline_key()], arguments))


def condemn() -> None:
    """Mark the buffers as damaged, so that recovery builds them again; until then they serve whom they can."""
    _run("condemn", [_pipeline_key()], [])


def frozen_names(epoch: int) -> list[tuple[str, str]] | None:
    """The (hub, rollup) pairs that the frozen buffer holds, sorted; None where it is not `epoch` that is frozen."""
    with client().pipeline(transaction=True) as together:
        together.hget(_pipeline_key(), "frozen")
        together.hkeys(_lengths_key(epoch))
        frozen, names = together.execute()
    if frozen != str(epoch).encode():
        return None
    return sorted(_hub_and_rollup(name) for name in names)


def sizes() -> dict[str, tuple[int, int]]:
    """For `active` and `frozen` the number of lists and their bytes, estimated from SAMPLE of them at most."""
    state = pipeline()
    epochs = {"active": state and state.active, "frozen": state and state.frozen}
    return {name: _size(epoch) if epoch else (0, 0) for name, epoch in epochs.items()}


def used_bytes() -> int:
    """The memory that Redis uses, for whatever it holds."""
    return cast(dict[str, int], client().info("memory"))["used_memory"]


def rewrite_file() -> None:
    """Let Redis write its file anew, without what was dropped. Some servers do not let a client ask for it."""
    try:
        client().bgrewriteaof()
        deadline = time.monotonic() + REWRITTEN_WITHIN_S
        while _is_rewriting() and time.monotonic() < deadline:
            time.sleep(0.05)
    except redis.ResponseError as error:
        logger.warning("Redis does not write its file anew (%s); what was dropped stays in it until it does.", error)


def _is_rewriting() -> bool:
    found = cast(dict[str, int], client().info("persistence"))
    return bool(found.get("aof_rewrite_in_progress") or found.get("aof_rewrite_scheduled"))


def _size(epoch: int) -> tuple[int, int]:
    lengths = _lengths_key(epoch)
    count = client().hlen(lengths)
    sample = cast(list[bytes], client().hrandfield(lengths, SAMPLE))
    with client().pipeline(transaction=False) as together:
        for name in sample:
            together.memory_usage(_key(epoch, *_hub_and_rollup(name)))
        found = [size or 0 for size in together.execute()]  # one that was retired meanwhile has none
    return count, sum(found) * count // max(len(found), 1)


def forget_other_declarations() -> int:
    """Drop the buffers of other declarations and forms, which nobody reads any more; returns the number of keys."""
    found = [
        key
        for form in OF_ANY_FORM
        for key in client().scan_iter(form, count=1_000)
        if not key.startswith(PREFIX.encode())
    ]
    with client().pipeline(transaction=False) as together:
        for key in found:
            together.unlink(key)
        return sum(together.execute())


def position_text(position: Position) -> str:
    """The one text of a position: equal positions have equal texts."""
    return json.dumps(position, sort_keys=True, separators=(",", ":"))


def _texts(state: Pipeline | None) -> list[str]:
    """The fields of a pipeline as Redis holds them; empty texts for none."""
    if state is None:
        return [""] * 6
    frozen = "" if state.frozen is None else str(state.frozen)
    cut = "" if state.cut is None else position_text(state.cut)
    return [str(state.published), str(state.active), position_text(state.mark), frozen, cut, state.birth]


def _pipeline_key() -> str:
    return f"{PREFIX}pipeline"


def _lengths_key(epoch: int) -> str:
    return f"{PREFIX}lengths:{epoch}"


def _key(epoch: int, hub: str, rollup: str) -> str:
    return f"{PREFIX}buffer:{epoch}:{hub}:{rollup}"


def _hub_and_rollup(name: bytes) -> tuple[str, str]:
    hub, rollup = name.decode().split(":")
    return hub, rollup


def _pipeline(fields: dict[bytes, bytes]) -> Pipeline | None:
    if not fields:
        return None
    frozen = fields[b"frozen"]
    return Pipeline(
        published=int(fields[b"published"]),
        active=int(fields[b"active"]),
        mark=json.loads(fields[b"mark"]),
        frozen=int(frozen) if frozen else None,
        cut=json.loads(fields[b"cut"]) if frozen else None,
        birth=fields[b"birth"].decode(),
        is_damaged=b"damaged" in fields,
    )


@cache
def _script(name: str) -> Script:
    return client().register_script((Path(__file__).parent / "scripts" / f"{name}.lua").read_text())


def _run(name: str, keys: Sequence[str], arguments: Sequence[str | bytes]) -> Any:
    return _script(name)(keys=keys, args=arguments)
