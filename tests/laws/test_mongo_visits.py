"""The visit of an event is the same where the log lies in MongoDB."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.intake import Batch, Intake
from events.logs.mongo import MongoEventLog
from tests import mongo
from tests.laws.test_visits import MINUTE, START, Reference, draft, events, hubs

pytestmark = [pytest.mark.services, pytest.mark.django_db(databases="__all__", transaction=True)]


@pytest.fixture
def log() -> Iterator[MongoEventLog]:
    with mongo.fresh_log() as log:
        yield log


def rows(log: MongoEventLog, hub: str) -> list[tuple]:
    found = log._server["visits"].find({"h": hub}).sort("number", 1)
    return [
        (one["number"], one["ordinal"], (one["first_at"] - START) // MINUTE, (one["last_at"] - START) // MINUTE)
        for one in found
    ]


def tear(log: MongoEventLog, hub: str) -> None:
    """Leave the outlines as a writer does that dies over them."""
    log._server["frequent"].update_many({"h": hub}, {"$set": {"writer": "dead"}})
    log._server["visits"].update_many({"h": hub, "number": {"$gt": 1}}, {"$unset": {"reach": ""}})


@pytest.mark.parametrize("frequent", [0, 3])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    events=events,
    sizes=st.lists(st.integers(4, 9), min_size=10, max_size=10),
    is_cold=st.booleans(),
    is_torn=st.booleans(),
)
def test_an_event_joins_the_visit_that_a_scan_of_all_visits_finds(
    log, monkeypatch, frequent, events, sizes, is_cold, is_torn
):
    for module in ("events.stamper", "events.logs.mongo.numbering"):
        monkeypatch.setattr(f"{module}.FREQUENT", frequent)
    hub, reference, intake, rest = f"mongo-{next(hubs)}", Reference(), Intake(log), list(events)
    expected = [reference.stamp(*event) for event in events]
    before = log.head()
    for size in sizes:
        intake = Intake(log) if is_cold else intake
        if is_torn:
            tear(log, hub)
        intake.append([Batch([draft(hub, *event) for event in rest[:size]])])
        rest = rest[size:]
    stamped = [(event.visit, event.visit_number) for chunk in log.read(before) for event in chunk.events]
    assert (stamped, rows(log, hub)) == (expected, reference.rows())
