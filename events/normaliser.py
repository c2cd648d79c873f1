"""The normaliser: from what was sent to an event that can be stamped with its numbers.

A literal list of steps. Each takes the draft, completes it, or raises Reject. None of them depends on the order in
which events arrive; what does is done by the stamper, inside the append.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from django.conf import settings

from aggregations.event import Scalar
from events import geography, sources, user_agents
from events.log import Rejection
from events.models import SLUG
from events.sent import (
    REPLAYED_VISITOR,
    UNPRINTABLE,
    Reject,
    Sent,
    TrustedSent,
    plain_properties,
    shown,
    without_addresses,
)

ACTIONS = frozenset({"view", "read", "share", "download", "print", "click", "search", "play", "feature"})
CUSTOM_ACTION = re.compile(r"[a-z][a-z0-9_]{0,31}")
CLOCK_TOLERANCE_MS = 5 * 60 * 1000
PUBLIC_AGE_MS = 48 * 3600 * 1000
DAY_MS = 24 * 3600 * 1000
FIELDS = frozenset(TrustedSent.__struct_fields__)

_epoch = datetime(1970, 1, 1, tzinfo=UTC)
_millisecond = timedelta(milliseconds=1)


@dataclass(slots=True)
class Caller:
    """Who sends, and what may be taken from the request instead of from the event.

    `hubs` answers since when a hub keeps numbers, in milliseconds; None for one that is unknown or not this caller's. A
    trusted caller (an ingest key, an import) sends any time and its own `ip`, `user_agent`, `country` and `language`;
    the others have those of the request.
    """

    hubs: Callable[[str], int | None]
    is_trusted: bool = False
    address: str = ""
    user_agent: str = ""
    language: str | None = None
    _country: list[str | None] = field(default_factory=list)

    @property
    def sends(self) -> type[Sent]:
        return TrustedSent if self.is_trusted else Sent

    @property
    def country(self) -> str | None:
        if not self._country:
            self._country.append(geography.country_of(self.address or None))
        return self._country[0]


class Draft(msgspec.Struct, gc=False):
    """An event on its way through the steps. `visit_key` is None where inactivity decides the visit."""

    sent: Sent
    caller: Caller
    received_at: int
    hub: str = ""
    counted_since: int = 0
    action: str = ""
    id: str = ""
    occurred_at: int = 0
    is_clamped: bool = False
    visitor_key: bytes = b""
    visit_key: bytes | None = None
    source: str | None = None
    device: str | None = None
    browser: str | None = None
    os: str | None = None
    is_bot: bool = False
    country: str | None = None
    language: str | None = None
    properties: dict | None = None
    is_duplicate: bool = False


def check_hub(draft: Draft) -> None:
    hub = draft.sent.hub
    if not hub:
        raise Reject("missing_hub", "hub is required: the slug of a hub.")
    since = draft.caller.hubs(hub)
    if since is None:
        raise Reject("unknown_hub", f"hub {shown(hub)} is not known, or not the hub of this key.")
    draft.hub, draft.counted_since = hub, since


def check_action(draft: Draft) -> None:
    action = draft.sent.action
    if not action:
        raise Reject("missing_action", "action is required; for example view.")
    if action not in ACTIONS and not CUSTOM_ACTION.fullmatch(action):
        raise Reject("invalid_action", f"action must match [a-z][a-z0-9_]{{0,31}}, not {shown(action)}.")
    draft.action = action


def stamp_time(draft: Draft) -> None:
    text = draft.sent.occurred_at
    if not text:
        draft.occurred_at = draft.received_at
        return
    at = milliseconds_of(text)
    if at < 0:
        code = "invalid_occurred_at" if draft.caller.is_trusted else "too_old"
        raise Reject(code, f"occurred_at must be in 1970 or later, not {shown(text)}.")
    if at > draft.received_at + CLOCK_TOLERANCE_MS:
        at = draft.received_at
        draft.is_clamped = True
    elif at < draft.received_at - PUBLIC_AGE_MS and not draft.caller.is_trusted:
        raise Reject("too_old", f"occurred_at may lie at most 48 hours back without an ingest key, not {shown(text)}.")
    elif at < draft.counted_since:
        since = _epoch + draft.counted_since * _millisecond
        raise Reject(
            "too_old", f"{draft.hub} keeps numbers since {since:%Y-%m-%dT%H:%MZ}, not as far back as {shown(text)}."
        )
    draft.occurred_at = at


def milliseconds_of(text: str) -> int:
    """Milliseconds since 1970, cut, of an ISO 8601 time with offset. Raises Reject."""
    try:
        at: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or ("T" not in text and " " not in text):
        raise Reject("invalid_occurred_at", f"occurred_at must be ISO 8601 with an offset, not {shown(text)}.")
    return (at - _epoch) // _millisecond


def check_properties(draft: Draft) -> None:
    if draft.sent.properties:
        draft.properties = plain_properties(draft.sent.properties)


def stamp_id(draft: Draft) -> None:
    draft.id = draft.sent.id or f"{draft.received_at:012x}{os.urandom(10).hex()}"


def stamp_source(draft: Draft) -> None:
    sent = draft.sent
    draft.source = sent.source or (sources.source_of(sent.referrer) if sent.referrer else None)


def stamp_user_agent(draft: Draft) -> None:
    sent = draft.sent
    text = sent.user_agent if isinstance(sent, TrustedSent) else draft.caller.user_agent
    agent = user_agents.classify(text or None)
    draft.device, draft.browser, draft.os, draft.is_bot = agent.device, agent.browser, agent.os, agent.is_bot


def stamp_place(draft: Draft) -> None:
    sent, caller = draft.sent, draft.caller
    if isinstance(sent, TrustedSent):
        draft.country = sent.country or (geography.country_of(sent.ip) if sent.ip else None)
        draft.language = sent.language or None
    else:
        draft.country = caller.country
        draft.language = caller.language


def stamp_visitor(draft: Draft) -> None:
    sent = draft.sent
    if draft.visitor_key:
        pass
    elif sent.visitor:
        draft.visitor_key = visitor_key(draft.hub, sent.visitor)
    else:
        draft.visitor_key = _cookieless_key(draft)
    if sent.visit:
        draft.visit_key = named_visit_key(draft.visitor_key, sent.visit)


STEPS: list[Callable[[Draft], None]] = [
    check_hub,
    check_action,
    stamp_time,
    check_properties,
    stamp_id,
    stamp_source,
    stamp_user_agent,
    stamp_place,
    stamp_visitor,
]


def normalise(sent: Sent | Reject, caller: Caller, received_at: int, known_visitor: bytes = b"") -> Draft:
    """The draft of an event after all steps. Raises Reject. `known_visitor` is the visitor key of a replayed event."""
    if isinstance(sent, Reject):
        raise sent
    draft = Draft(sent, caller, received_at, visitor_key=known_visitor)
    for step in STEPS:
        step(draft)
    return draft


def _key(*parts: bytes) -> bytes:
    """A 16-byte keyed hash. Parts are told apart by NUL, which no string of an event can hold."""
    return hashlib.blake2b(b"\0".join(parts), key=settings.VISITOR_KEY[:64], digest_size=16).digest()


@lru_cache(maxsize=100_000)
def visitor_key(hub: str, visitor: str) -> bytes:
    """The key of a visitor that the client named."""
    return _key(b"visitor", hub.encode(), visitor.encode())


@lru_cache(maxsize=100_000)
def cookieless_key(hub: str, day: int, address: str, user_agent: str) -> bytes:
    """The key of a visitor without name: one browser at one address, for one UTC day (days since 1970)."""
    agent = user_agent.encode("utf-8", "replace")
    return _key(b"cookieless", hub.encode(), b"%d" % day, address.encode("utf-8", "replace"), agent)


@lru_cache(maxsize=100_000)
def named_visit_key(visitor: bytes, visit: str) -> bytes:
    """The key of a visit that the client named; it belongs to its visitor."""
    return _key(b"named visit", visitor.hex().encode(), visit.encode())


def unnamed_visit_key(visitor: bytes, first_at: int, ordinal: int) -> bytes:
    """The key of a visit that inactivity began."""
    return _key(b"visit", visitor.hex().encode(), b"%d" % first_at, b"%d" % ordinal)


def lot(visitor: bytes, purpose: bytes) -> int:
    """What a visitor draws for a purpose: always the same, of 128 bits; it tells neither the key nor another lot."""
    return int.from_bytes(_key(b"lot", purpose, visitor.hex().encode()))


def _cookieless_key(draft: Draft) -> bytes:
    sent, caller = draft.sent, draft.caller
    address, agent = caller.address, caller.user_agent
    if isinstance(sent, TrustedSent):
        address, agent = sent.ip or "", sent.user_agent or ""
    return cookieless_key(draft.hub, draft.occurred_at // DAY_MS, address, agent)


def hub_said(sent: Any, caller: Caller) -> str:
    """The hub that an event names, checked or as it came; "" where it is none that the caller may send to."""
    if isinstance(sent, Sent):
        return sent.hub if sent.hub and caller.hubs(sent.hub) is not None else ""
    hub = sent.get("hub") if isinstance(sent, dict) else None
    if not isinstance(hub, str) or not re.fullmatch(SLUG.regex, hub):  # no other text should reach a database
        return ""
    return hub if caller.hubs(hub) is not None else ""


def rejection_of(item: Any, reject: Reject, caller: Caller, received_at: int) -> Rejection:
    """What the inbox keeps of a rejected event: as sent, without address, with what the request said instead.

    A replay counts the same visitor: a cookieless one is kept as the keyed hash that it would have had. The field `ip`
    is left out. What is no event, unknown fields, and lists and maps in fields (kept as a list of their JSON text) may
    hold an address anywhere: whatever looks like an IPv4 or IPv6 address in them is blanked.
    """
    hub = item.get("hub") if isinstance(item, dict) else None
    hub = hub if isinstance(hub, str) and not UNPRINTABLE.search(hub) else ""
    if isinstance(item, dict):
        kept = _without_address(item, hub, caller, received_at)
    else:
        kept = _blanked(item)
    return Rejection(
        hub_said(item, caller),
        reject.code,
        reject.detail[:500],
        json.dumps(kept).encode(),
        received_at,
        is_public=not caller.is_trusted,
    )


def _without_address(item: dict, hub: str, caller: Caller, received_at: int) -> dict:
    kept = {
        without_addresses(key): value if key in FIELDS and isinstance(value, Scalar) else _blanked(value)
        for key, value in item.items()
        if key not in ("ip", REPLAYED_VISITOR)
    }
    if isinstance(properties := item.get("properties"), dict):
        kept["properties"] = {
            key: value if isinstance(value, Scalar) else _blanked(value)
            for key, value in properties.items()
            if key != "ip"
        }
    address, agent = caller.address, caller.user_agent
    if caller.is_trusted:
        address, agent = (text if isinstance(text, str) else "" for text in (item.get("ip"), item.get("user_agent")))
        if address and not kept.get("country"):
            kept["country"] = geography.country_of(address)
    else:
        kept |= {"user_agent": agent[:2000], "country": caller.country, "language": caller.language}
    if not item.get("visitor"):
        try:
            day = milliseconds_of(item["occurred_at"]) // DAY_MS
        except (KeyError, TypeError, Reject):
            day = received_at // DAY_MS
        kept[REPLAYED_VISITOR] = cookieless_key(hub, day, address, agent).hex()
    return kept


def _blanked(value: Any) -> Any:
    """The value with its addresses blanked; of a list or map the JSON text, in a list, since no field may be a list."""
    if isinstance(value, str):
        return without_addresses(value)
    if isinstance(value, dict | list):
        return [without_addresses(json.dumps(value, ensure_ascii=False))]
    return value
