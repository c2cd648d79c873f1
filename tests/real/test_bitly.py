from collections import Counter

import pytest

from tests.real.expected import EXPECTED
from tests.real.folder import needs

pytestmark = [needs("bitly"), pytest.mark.django_db(transaction=True, databases="__all__")]

WANTED = EXPECTED["bitly"]


def test_it_counts_clicks_and_no_heartbeats(import_part):
    printed, events = import_part("bitly")
    assert printed == {"accepted": WANTED["events"], "duplicates": 0, "rejected": 0}
    assert {
        "sent": WANTED["sent"],
        "events": len(events),
        "actions": Counter(event.action for event in events),
        "without_country": sum(event.country is None for event in events),
    } == WANTED


def test_it_names_sources_and_keeps_what_is_no_url(import_part):
    _, events = import_part("bitly")
    direct = [event for event in events if event.referrer == "direct"]
    assert direct
    assert {event.source for event in direct} == {None}
    assert {"Facebook", "Twitter", "Google"} <= {event.source for event in events}
    assert all(event.source for event in events if event.referrer.startswith("http"))
