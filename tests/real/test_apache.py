from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from tests.real.converters import apache
from tests.real.expected import EXPECTED
from tests.real.folder import needs

pytestmark = [needs("apache"), pytest.mark.django_db(transaction=True, databases="__all__")]

WANTED = EXPECTED["apache"]


def visits_by_inactivity() -> dict[str, int]:
    """Visits of each visitor: a new one after more than 30 minutes without a request."""
    times = defaultdict(list)
    for event in apache():
        times[event["visitor"]].append(datetime.fromisoformat(event["occurred_at"]))
    for visitor in times.values():
        visitor.sort()
    gap = timedelta(minutes=30)
    return {visitor: 1 + sum(after - before > gap for before, after in pairwise(at)) for visitor, at in times.items()}


def test_it_finds_visits_by_inactivity_in_a_shuffled_log(import_part):
    printed, events = import_part("apache")
    expected = visits_by_inactivity()
    assert printed == {"accepted": WANTED["events"], "duplicates": 0, "rejected": 0}
    assert {
        "sent": WANTED["sent"],
        "events": len(events),
        "actions": Counter(event.action for event in events),
        "status_200": sum(event.properties["status"] == 200 for event in events),
    } == WANTED
    assert len({event.visitor for event in events}) == len(expected)
    assert len({event.visit for event in events}) == sum(expected.values())
    visits = {(event.visitor, event.visit) for event in events}
    assert sorted(Counter(visitor for visitor, _ in visits).values()) == sorted(expected.values())


def test_it_numbers_the_visits_of_a_visitor_in_order_of_occurrence(import_part):
    _, events = import_part("apache")
    visits = defaultdict(list)
    for event in sorted(events, key=lambda event: event.occurred_at):
        if event.visit_number not in visits[event.visitor]:
            visits[event.visitor].append(event.visit_number)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in visits.values())
