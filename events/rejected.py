"""The inbox of rejected events, and sending them through the intake again."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils import timezone

from events.directory import Memory, counted_since
from events.intake import Batch, Intake
from events.models import RejectedEvent
from events.normaliser import Caller, Draft, normalise
from events.sent import REPLAYED_VISITOR, Reject, checked_or_reject

GROUP = 1_000


@dataclass(slots=True)
class Replay:
    """What became of rejected events that were sent again."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0


def replay(rejected: Iterable[RejectedEvent], intake: Intake | None = None) -> Replay:
    """Send rejected events through the intake again, with the rights of an ingest key and the time of their receipt.

    Idempotent, also after a crash: an event without id has one that follows from its row in the inbox. An event that
    is accepted (or was before) is marked; one that fails again stays, with its new reason. Raises LogBusy, after which
    the rest can be replayed.
    """
    result = Replay()
    intake = intake or Intake()
    caller = Caller(Memory(counted_since), is_trusted=True)
    group: list[RejectedEvent] = []
    for row in rejected:
        if row.replayed_at is None:
            group.append(row)
        if len(group) == GROUP:
            _replay_group(group, caller, intake, result)
            group = []
    _replay_group(group, caller, intake, result)
    return result


def _replay_group(rows: list[RejectedEvent], caller: Caller, intake: Intake, result: Replay) -> None:
    drafts, passed = [], []
    for row in rows:
        try:
            drafts.append(_draft(row, caller))
            passed.append(row)
        except Reject as reject:
            row.code, row.detail = reject.code[:64], reject.detail[:500]
            row.save(update_fields=["code", "detail"])
            result.rejected += 1
    (outcome,) = intake.append([Batch(drafts)])
    result.accepted += outcome.accepted
    result.duplicates += outcome.duplicates
    RejectedEvent.objects.filter(pk__in=[row.pk for row in passed]).update(replayed_at=timezone.now())


def naming(hub: str, visitor: str, key: bytes) -> list[int]:
    """Which rows of the inbox name a visitor of a hub, by name or by key."""
    rows = RejectedEvent.objects.filter(hub__in=[hub, ""])
    return [row.pk for row in rows.iterator() if _is_of(row, hub, visitor, key)]


def delete(rows: Sequence[int]) -> int:
    """Delete rows of the inbox; returns how many."""
    for first in range(0, len(rows), GROUP):
        RejectedEvent.objects.filter(pk__in=rows[first : first + GROUP]).delete()
    return len(rows)


def _is_of(row: RejectedEvent, hub: str, visitor: str, key: bytes) -> bool:
    try:
        item = json.loads(bytes(row.payload))
    except ValueError:
        return False
    if not isinstance(item, dict) or (row.hub or item.get("hub")) != hub:
        return False
    return str(item.get("visitor")) == visitor or item.get(REPLAYED_VISITOR) == key.hex()


def _draft(row: RejectedEvent, caller: Caller) -> Draft:
    received_at = round(row.received_at.timestamp() * 1000)
    payload = bytes(row.payload)
    try:
        item = json.loads(payload)
    except ValueError as error:
        raise Reject("invalid_event", f"The payload is no JSON: {error}.") from error
    visitor = b""
    if isinstance(item, dict):
        visitor = bytes.fromhex(item.get(REPLAYED_VISITOR) or "")
        if not item.get("id"):
            # Of the row alone: whatever is mended in its payload, it is the same event.
            item["id"] = hashlib.blake2b(b"%d\0%d" % (row.pk, received_at), digest_size=16).hexdigest()
    return normalise(checked_or_reject(item, caller.sends), caller, received_at, visitor)
