"""The normalised event: one immutable fact, as the log keeps it and every layer reads it."""

from collections.abc import Iterable

import msgspec

Scalar = str | int | float | bool


class Event(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One accepted event. Times are milliseconds since 1970-01-01T00:00:00Z.

    `visitor` and `visit` are numbers from 1 up within the hub, stamped by the normaliser; `visitor_key` and
    `visit_key` are the 16-byte keyed hashes that they number. A field without a value is None.
    New fields are appended at the end with a default, so that chunks written before still decode.
    """

    hub: str
    id: str
    action: str
    occurred_at: int
    received_at: int
    visitor: int
    visit: int
    visit_number: int
    is_bot: bool = False
    is_clamped: bool = False
    duration_ms: int = 0
    media: str | None = None
    media_kind: str | None = None
    title: str | None = None
    pages: int | None = None
    page: int | None = None
    network: str | None = None
    share: str | None = None
    via: str | None = None
    target: str | None = None
    previous: str | None = None
    referrer: str | None = None
    source: str | None = None
    intermediary: str | None = None
    device: str | None = None
    browser: str | None = None
    os: str | None = None
    country: str | None = None
    language: str | None = None
    properties: dict[str, Scalar] | None = None
    visitor_key: bytes = b""
    visit_key: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Event])


def encode_events(events: Iterable[Event]) -> bytes:
    """The bytes of a chunk's events: MessagePack, an array of arrays in field order."""
    return _encoder.encode(list(events))


def decode_events(payload: bytes) -> list[Event]:
    """The events of `encode_events`. Raises msgspec.DecodeError for bytes that are none."""
    return _decoder.decode(payload)
