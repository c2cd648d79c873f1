"""The demo hub, and three months of its history through the real normaliser."""

import itertools
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from events.demo.visits import Arrival, Audience, Fact, in_order, launches
from events.intake import Batch, Intake
from events.models import Hub
from events.normaliser import Caller, normalise
from events.sent import TrustedSent

SLUG, TITLE, TIMEZONE = "demo", "Maison Lumière", "Europe/Paris"
DAYS = 90
VISITS_A_DAY = 62
OF_WEEKDAY = (1.0, 1.05, 1.0, 1.08, 0.92, 0.95, 1.25)
OF_HOUR = (3, 2, 1, 1, 1, 2, 5, 12, 24, 34, 40, 42, 50, 52, 44, 38, 36, 38, 42, 48, 60, 64, 44, 16)
CHUNK_EVENTS = 5_000


def demo_hub() -> Hub:
    """The demo hub; made where there is none. Its history ends when it was made."""
    shown = {"title": TITLE, "timezone": TIMEZONE, "embeds_recommendations": True}
    return Hub.objects.get_or_create(slug=SLUG, defaults=shown)[0]


def history(hub: Hub) -> Iterator[Fact]:
    """The events of the 90 days before the hub was made, in order of time; the same at every call."""
    ends_at = hub.created_at.astimezone(hub.zone)
    first = ends_at.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    audience = Audience(hub.slug, milliseconds(first), prefix="h", seed="Maison Lumière")
    arrivals: list[Arrival] = []
    for day in range(DAYS + 1):
        arrivals += _arrivals_of(first + timedelta(days=day), day, audience.chance)
    until = milliseconds(ends_at)
    return in_order(audience, [arrival for arrival in arrivals if arrival.at < until], until)


def _arrivals_of(midnight: datetime, day: int, chance: random.Random) -> list[Arrival]:
    """The visits that begin on a local day: more on Sundays and after launches, and a little more every week."""
    expected = VISITS_A_DAY * OF_WEEKDAY[midnight.weekday()] * (0.8 + 0.4 * day / DAYS) * (1 + 0.45 * launches(day))
    count = max(0, round(chance.gauss(expected, expected**0.5)))
    return [
        Arrival(milliseconds(midnight.replace(hour=hour)) + int(chance.random() * 3_600_000))
        for hour in chance.choices(range(24), OF_HOUR, k=count)
    ]


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def append(facts: Iterable[Fact], hub: Hub) -> tuple[int, int]:
    """Append events with the rights of the hub's ingest key; returns how many were accepted, how many known before."""
    intake, caller = Intake(), Caller({hub.slug: 0}.get, is_trusted=True)
    accepted = duplicates = 0
    rest = iter(facts)
    while chunk := list(itertools.islice(rest, CHUNK_EVENTS)):
        received_at = milliseconds(datetime.now(UTC))
        drafts = [normalise(TrustedSent(**fact), caller, received_at) for fact in chunk]  # type: ignore[arg-type]
        outcome = intake.append([Batch(drafts)])[0]
        accepted += outcome.accepted
        duplicates += outcome.duplicates
    return accepted, duplicates
