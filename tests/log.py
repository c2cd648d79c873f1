"""Events put into the log past the intake, and accounted for as the intake does."""

from collections import Counter
from collections.abc import Sequence

from aggregations.event import Event
from aggregations.rollups import HOUR_MS
from events.log import Account, event_log


def append(events: Sequence[Event], received_at: int = 1) -> int:
    """Append one chunk; returns its sequence."""
    with event_log().writer() as writer:
        sequence = writer.append(events, received_at)
        for hub, count in Counter(event.hub for event in events).items():
            writer.account(hub, received_at // HOUR_MS, Account(received=count, accepted=count))
    return sequence
