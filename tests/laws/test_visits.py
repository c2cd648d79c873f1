"""The visit of an event, whatever the number of visits, their overlaps, the groups of events and the cache."""

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.intake import Batch, Intake
from events.logs.orm import OrmEventLog
from events.models import Visit
from events.normaliser import Caller, normalise
from events.sent import TrustedSent

pytestmark = pytest.mark.django_db(databases="__all__")

MINUTE = 60_000
START = 1_795_000_000_000
GAP = 30

hubs: Iterator[str] = (f"hub{number}" for number in count())
names = st.sampled_from([None, None, None, "u", "v", "w", "x", "y", "z"])
minutes = st.integers(0, 400) | st.integers(0, 40).map(lambda number: number * 10)
events = st.lists(st.tuples(st.integers(1, 2), minutes, names), min_size=1, max_size=40)


class Reference:
    """All visits of all visitors, scanned."""

    def __init__(self) -> None:
        self.visits: list[dict] = []

    def stamp(self, visitor: int, at: int, name: str | None) -> tuple[int, int]:
        mine = [visit for visit in self.visits if visit["visitor"] == visitor]
        if name:
            found = [visit for visit in mine if visit["name"] == name]
        else:
            near = [visit for visit in mine if visit["first"] - GAP <= at <= visit["last"] + GAP]
            found = sorted(near, key=lambda visit: (visit["first"], visit["number"]))[:1]
        if not found:
            visit = {"visitor": visitor, "name": name, "number": len(self.visits) + 1, "ordinal": len(mine) + 1}
            found = [visit | {"first": at, "last": at}]
            self.visits += found
        visit = found[0]
        visit["first"], visit["last"] = min(visit["first"], at), max(visit["last"], at)
        return visit["number"], visit["ordinal"]

    def rows(self) -> list[tuple]:
        return [(visit["number"], visit["ordinal"], visit["first"], visit["last"]) for visit in self.visits]


def draft(hub: str, visitor: int, minute: int, name: str | None):
    sent = TrustedSent(hub=hub, action="view", visitor=str(visitor), visit=name)
    return normalise(sent, Caller(lambda hub: 0, True), START + minute * MINUTE)


def stamped(hub: str) -> list[tuple[int, int]]:
    chunks = OrmEventLog().read({})
    return [(event.visit, event.visit_number) for chunk in chunks for event in chunk.events if event.hub == hub]


def rows(hub: str) -> list[tuple]:
    found = Visit.objects.filter(hub=hub).order_by("number").values_list("number", "ordinal", "first_at", "last_at")
    return [
        (number, ordinal, (first - START) // MINUTE, (last - START) // MINUTE) for number, ordinal, first, last in found
    ]


@pytest.mark.parametrize("frequent", [0, 3, 100])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(events=events, sizes=st.lists(st.integers(1, 9), min_size=40, max_size=40), is_cold=st.booleans())
def test_an_event_joins_the_visit_that_a_scan_of_all_visits_finds(monkeypatch, frequent, events, sizes, is_cold):
    for module in ("events.stamper", "events.logs.orm"):
        monkeypatch.setattr(f"{module}.FREQUENT", frequent)
    hub, reference, intake, rest = next(hubs), Reference(), Intake(OrmEventLog()), list(events)
    expected = [reference.stamp(*event) for event in events]
    for size in sizes:
        intake = Intake(OrmEventLog()) if is_cold else intake
        intake.append([Batch([draft(hub, *event) for event in rest[:size]])])
        rest = rest[size:]
    assert (stamped(hub), rows(hub)) == (expected, reference.rows())
