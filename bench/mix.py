"""The realistic mix: visits of eight events, 2,000 media by Zipf, countries, devices and sources as on a public library."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from aggregations.event import Event
from aggregations.rollups import HOUR_MS
from events.log import Account, event_log

EVENTS_A_VISIT = 8
MEDIA = 2_000
VISITS_A_VISITOR = 2.5
ACTIONS = ("view", "read", "read", "read", "read", "read", None, "read")
"""The events of a visit; None is one of OTHERS."""
OTHERS = ("share", "download", "click", "search", "print", "play")
COUNTRIES = ("FR", "CH", "BE", "DE", "CA", "US", "GB", "IT", "ES", "LU", "MA", "SN", "TN", "NL", None)
SOURCES = (None, "Google", "Facebook", "newsletter", "Bing", "LinkedIn", "X", "ChatGPT", "partner.example")
DEVICES = (("mobile", "Safari", "iOS"), ("desktop", "Chrome", "Windows"), ("mobile", "Chrome", "Android"),
           ("desktop", "Firefox", "Linux"), ("tablet", "Safari", "iOS"), ("desktop", "Safari", "macOS"))  # fmt: skip
LANGUAGES = ("fr", "en", "de", "it", None)
NETWORKS = ("Facebook", "X", "LinkedIn", "WhatsApp", "mail")


@dataclass(frozen=True, slots=True)
class Visits:
    """Columns of visits: what all events of a visit have in common, and when they begin."""

    starts: list[int]
    visitors: list[int]
    ordinals: list[int]
    media: list[int]
    choices: list[list[int]]


def visits(count: int, start: int, end: int, seed: int) -> Visits:
    """`count` visits that begin in [start, end) milliseconds, in order; the same for the same seed."""
    chance = np.random.default_rng(seed)
    starts = np.sort(chance.integers(start, max(start + 1, end - 300_000), count))
    visitors = chance.integers(1, max(2, int(count / VISITS_A_VISITOR)), count)
    seen: dict[int, int] = {}
    ordinals = []
    for visitor in visitors.tolist():
        seen[visitor] = seen.get(visitor, 0) + 1
        ordinals.append(seen[visitor])
    weights = 1 / np.arange(1, MEDIA + 1)
    media = chance.choice(MEDIA, count, p=weights / weights.sum())
    choices = [_skewed(chance, len(of), count) for of in (COUNTRIES, SOURCES, DEVICES, LANGUAGES, OTHERS, NETWORKS)]
    return Visits(starts.tolist(), visitors.tolist(), ordinals, media.tolist(), choices)


def _skewed(chance: np.random.Generator, size: int, count: int) -> list[int]:
    weights = 0.6 ** np.arange(size)
    return chance.choice(size, count, p=weights / weights.sum()).tolist()


def events(hub: str, count: int, start: int, end: int, seed: int = 1) -> Iterator[Event]:
    """About `count` normalised events of a hub, as the intake would have stamped them."""
    found = visits(count // EVENTS_A_VISIT, start, end, seed)
    countries, sources, devices, languages, others, networks = found.choices
    number = 0
    for visit, at in enumerate(found.starts):
        media = f"media-{found.media[visit]:04d}"
        device, browser, system = DEVICES[devices[visit]]
        for place, name in enumerate(ACTIONS):
            action = name or OTHERS[others[visit]]
            number += 1
            moment = at + place * 20_000 + number % 997
            yield Event(
                hub, f"{moment:012x}{number:08x}", action, moment, moment, found.visitors[visit], visit + 1,
                found.ordinals[visit], False, False, (place * 2_900 + visit % 7_000) if action == "read" else 0,
                media, "document", None, None, place if action == "read" else None,
                NETWORKS[networks[visit]] if action == "share" else None, None, None,
                f"/chapter/{visit % 40}" if action == "click" else f"word {visit % 300}" if action == "search" else None,
                None, None, SOURCES[sources[visit]], "kiosk-7" if visit % 50 == 0 else None, device, browser, system,
                COUNTRIES[countries[visit]], LANGUAGES[languages[visit]], None,
                found.visitors[visit].to_bytes(16, "big"), visit.to_bytes(16, "big"),
            )  # fmt: skip


def append(found: Iterator[Event], chunk_events: int, chunks_a_commit: int = 50) -> int:
    """Append events to the log in chunks, past normaliser and numbering, which have a figure of their own."""
    total = 0
    chunk: list[Event] = []
    waiting: list[list[Event]] = []
    for event in found:
        chunk.append(event)
        if len(chunk) == chunk_events:
            waiting.append(chunk)
            chunk = []
        if len(waiting) == chunks_a_commit:
            total += _commit(waiting)
            waiting = []
    return total + _commit([*waiting, chunk] if chunk else waiting)


def _commit(chunks: Sequence[list[Event]]) -> int:
    if chunks:
        with event_log().writer() as writer:
            for chunk in chunks:
                received_at = chunk[-1].received_at
                writer.append(chunk, received_at)
                account = Account(received=len(chunk), accepted=len(chunk))
                writer.account(chunk[0].hub, received_at // HOUR_MS, account)
    return sum(len(chunk) for chunk in chunks)


def bodies(hub: str, requests: int, events_each: int, start: int, seed: int = 1) -> Iterator[bytes]:
    """JSON bodies as the tracker sends them: one event, or `{"events": [...]}`; ids unique and in order of time."""
    needed = requests * events_each
    found = visits(needed // EVENTS_A_VISIT + 1, start, start + 3_600_000, seed)
    sources, others = found.choices[1], found.choices[4]
    number = 0
    for _ in range(requests):
        sent = []
        for _ in range(events_each):
            visit, place = divmod(number, EVENTS_A_VISIT)
            action = ACTIONS[place] or OTHERS[others[visit]]
            sent.append({
                "hub": hub, "id": f"{start:012x}{seed:04x}{number:010x}", "action": action,
                "media": f"media-{found.media[visit]:04d}", "visitor": f"{found.visitors[visit]:032x}",
                "visit": f"{visit:032x}", "source": SOURCES[sources[visit]], "title": "A book of light and stone",
                "media_kind": "document", "pages": 40, "page": place if action == "read" else None,
                "duration_ms": place * 2_900 if action == "read" else None,
            })  # fmt: skip
            number += 1
        yield msgspec.json.encode(sent[0] if events_each == 1 else {"events": sent})
