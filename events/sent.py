"""What a client sends: the fields of an event, their types and limits, and the decoding of a request's body.

A body without a bad event is decoded and checked in one pass by msgspec. Any other body is decoded with `json` and its
events are checked one by one, field by field, to name the field at fault. Both ways accept the same events.
"""

import json
import re
from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from aggregations.event import Scalar

MAX_EVENTS = 1_000
MAX_BYTES = 1024 * 1024
INT64 = range(-(2**63), 2**63)
REPLAYED_VISITOR = "_visitor_key"
"""The field of a kept rejection that stands for the address: the key of its cookieless visitor."""

Id = Annotated[str, Meta(max_length=64)] | None
Code = Annotated[str, Meta(max_length=128)] | None
Text = Annotated[str, Meta(max_length=2_000)] | None
Ordinal = Annotated[int, Meta(ge=1, le=2**31 - 1)] | None
Duration = Annotated[int, Meta(ge=0, le=3_600_000)] | None
Kind = Literal["", "document", "image", "video", "link"] | None
Properties = (
    Annotated[
        dict[
            Annotated[str, Meta(min_length=1, max_length=128)],
            Annotated[str, Meta(max_length=2_000)] | int | float | bool,
        ],
        Meta(max_length=20),
    ]
    | None
)

EXPECTED = {
    Id: "must be a string of at most 64 characters, none of them a control character",
    Code: "must be a string of at most 128 characters, none of them a control character",
    Text: "must be a string of at most 2,000 characters, none of them a control character",
    Ordinal: "must be a whole number from 1 to 2147483647",
    Duration: "must be a whole number of milliseconds from 0 to 3600000",
    Kind: "must be document, image, video or link",
    Properties: "must be a flat map of at most 20 keys to strings, numbers or booleans",
}


class Reject(Exception):
    """An event that is not accepted: `code`, and `detail`, a sentence with the offending value."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Malformed(ValueError):
    """A body that is no JSON, or no event and no list of events."""


class TooManyEvents(ValueError):
    """A body with more events than MAX_EVENTS."""


class Sent(msgspec.Struct, gc=False, omit_defaults=True):
    """The fields that anybody may send. None and "" both mean absent."""

    hub: Code = None
    action: Code = None
    id: Id = None
    media: Code = None
    media_kind: Kind = None
    title: Text = None
    pages: Ordinal = None
    page: Ordinal = None
    duration_ms: Duration = None
    visitor: Code = None
    visit: Code = None
    visit_number: Ordinal = None
    occurred_at: Code = None
    referrer: Text = None
    source: Code = None
    intermediary: Code = None
    network: Code = None
    share: Code = None
    via: Code = None
    target: Text = None
    previous: Text = None
    properties: Properties = None


class TrustedSent(Sent, gc=False, omit_defaults=True):
    """The fields that the holder of an ingest key may send."""

    ip: Code = None
    user_agent: Text = None
    country: Code = None
    language: Code = None


class _Envelope(msgspec.Struct, gc=False):
    events: list[Sent] | msgspec.UnsetType = msgspec.UNSET


class _TrustedEnvelope(msgspec.Struct, gc=False):
    events: list[TrustedSent] | msgspec.UnsetType = msgspec.UNSET


_envelopes: dict[type[Sent], msgspec.json.Decoder] = {
    Sent: msgspec.json.Decoder(_Envelope),
    TrustedSent: msgspec.json.Decoder(_TrustedEnvelope),
}
_singles: dict[type[Sent], msgspec.json.Decoder] = {
    Sent: msgspec.json.Decoder(Sent),
    TrustedSent: msgspec.json.Decoder(TrustedSent),
}
_fields = {kind: [(field.name, field.type) for field in msgspec.structs.fields(kind)] for kind in (Sent, TrustedSent)}

UNDECODABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_escaped_control = re.compile(rb"\\(?:[bfnrt]|u00[0189]|u007[fF])")
_ip_value = re.compile(r"""(?<=["']ip["'])\s{0,9}:\s{0,9}(?:"[^"]*"?|'[^']*'?|[^,}\]]*)""", re.IGNORECASE)
_digits = re.compile(r"[0-9a-f:.]{2,}", re.IGNORECASE)
_address = re.compile(r"::|(?:[0-9a-f]{1,4}:){5}|\d{1,3}(?:\.\d{1,3}){3}", re.IGNORECASE)
_c1_control = re.compile(b"\xc2[\x80-\x9f]")


class Body:
    """A request's body. `events` holds for each event what was sent, or why it is rejected.

    Raises Malformed, TooManyEvents.
    """

    def __init__(self, content: bytes, kind: type[Sent]) -> None:
        self._content = content
        self._items: list[Any] | None = None
        self.events: Sequence[Sent | Reject] = _decoded(content, kind) or [
            checked_or_reject(item, kind) for item in self.items
        ]

    @property
    def items(self) -> list[Any]:
        """The events as plain JSON values."""
        if self._items is None:
            self._items = _items(self._content)
        return self._items


def decoded_event(content: bytes, kind: type[Sent]) -> Sent | None:
    """What was sent in one event's bytes, where it is well formed; None where it may not be."""
    if _may_hold_control(content) or not _is_utf8(content):
        return None
    try:
        return _singles[kind].decode(content)
    except UNDECODABLE:
        return None


def _decoded(content: bytes, kind: type[Sent]) -> list[Sent] | None:
    """The events of a body in which all are well formed; None where one may not be."""
    if _may_hold_control(content) or not _is_utf8(content):
        return None
    try:
        events = _envelopes[kind].decode(content).events
        if events is msgspec.UNSET:
            return [_singles[kind].decode(content)]
    except UNDECODABLE:
        return None
    if len(events) > MAX_EVENTS:
        raise _too_many(len(events))
    return events


def _may_hold_control(content: bytes) -> bool:
    """True where a string of the body may hold a control character; a raw one below U+0020 is no JSON anyway."""
    return (
        (b"\\" in content and _escaped_control.search(content) is not None)
        or b"\x7f" in content
        or (b"\xc2" in content and _c1_control.search(content) is not None)
    )


def _is_utf8(content: bytes) -> bool:
    """False for what is no UTF-8, also in fields that nobody reads, which msgspec skips unread."""
    try:
        return content.isascii() or bool(str(content, "utf-8"))
    except UnicodeDecodeError:
        return False


def _items(content: bytes) -> list[Any]:
    try:
        body = decoded_value(content)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"The body is no JSON: {error}.") from error
    if not isinstance(body, dict):
        raise Malformed('The body must be an event, or {"events": [...]}.')
    if "events" not in body:
        return [body]
    if not isinstance(body["events"], list):
        raise Malformed('"events" must be a list of events.')
    if len(body["events"]) > MAX_EVENTS:
        raise _too_many(len(body["events"]))
    return body["events"]


def decoded_value(content: bytes) -> Any:
    """The plain value of strict JSON. Raises ValueError, RecursionError."""
    return json.loads(str(content, "utf-8"), parse_int=_int, parse_constant=_no_constant)


def _int(digits: str) -> int | float:
    """The number; one of more digits than Python converts is as good as infinite, and no field allows that."""
    return int(digits) if len(digits) <= 40 else float(digits)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _too_many(count: int) -> TooManyEvents:
    return TooManyEvents(f"{count} events are too many for one request; send at most {MAX_EVENTS}.")


def checked_or_reject(item: Any, kind: type[Sent]) -> Sent | Reject:
    """What was sent in a plain JSON value, or why it is rejected."""
    if not isinstance(item, dict):
        return Reject("invalid_event", f"An event must be an object, not {shown(item)}.")
    try:
        return kind(**{name: _checked(name, item.get(name), type_) for name, type_ in _fields[kind]})
    except Reject as reject:
        return reject


def _checked(name: str, value: Any, type_: Any) -> Any:
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    try:
        if _has_unprintable(value):
            raise ValueError
        return msgspec.convert(value, type_)
    except (ValueError, RecursionError):
        told = "." if name == "ip" else f", not {shown(value)}."
        raise Reject(f"invalid_{name}", f"{name} {EXPECTED[type_]}{told}") from None


def _has_unprintable(value: Any) -> bool:
    if isinstance(value, str):
        return UNPRINTABLE.search(value) is not None
    if isinstance(value, dict):
        return any(_has_unprintable(text) for pair in value.items() for text in pair if isinstance(text, str))
    return False


def plain_properties(properties: dict[str, Scalar]) -> dict[str, Scalar] | None:
    """The properties with whole floats as integers; None where there are none.

    Raises Reject for a number that is not finite, or an integer of more than 64 bits.
    """
    plain = {}
    for key, value in properties.items():
        if type(value) is float:
            if not isfinite(value):
                raise Reject("invalid_properties", f"properties.{key} must be finite, not {shown(value)}.")
            if value.is_integer() and abs(value) < 2**53:
                value = int(value)
        elif type(value) is int and value not in INT64:
            raise Reject("invalid_properties", f"properties.{key} must fit in 64 bits, not {shown(value)}.")
        plain[key] = value
    return plain or None


def shown(value: Any) -> str:
    """The value for an error message, as JSON has it but texts in single quotes: printable, without addresses, short."""
    text = repr(value) if isinstance(value, str | bytes) else json.dumps(value, default=repr)
    text = without_addresses(text[:2_000])
    return text if len(text) <= 80 else text[:77] + "..."


def without_addresses(text: str) -> str:
    """The text with whatever looks like an IPv4 or IPv6 address, or is the value of an "ip" in it, blanked."""
    text = _ip_value.sub("[address]", text)
    return _digits.sub(lambda run: "[address]" if _address.search(run[0]) else run[0], text)
