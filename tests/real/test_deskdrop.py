import time
from collections import Counter

import pytest

from tests.real.converters import deskdrop
from tests.real.expected import EXPECTED
from tests.real.folder import needs

pytestmark = [needs("deskdrop"), pytest.mark.django_db(transaction=True, databases="__all__")]

WANTED = EXPECTED["deskdrop"]


def test_its_sessions_belong_to_one_person_each():
    owners = {(event["visitor"], event["visit"]) for event in deskdrop()}
    assert len(owners) == len({visit for _, visit in owners}) == WANTED["visits"]


@pytest.mark.slow
def test_it_counts_what_was_published_and_counts_it_once(import_part):
    started = time.monotonic()
    printed, events = import_part("deskdrop")
    seconds = time.monotonic() - started

    assert printed == {"accepted": WANTED["events"], "duplicates": WANTED["sent"] - WANTED["events"], "rejected": 0}
    assert {
        "sent": WANTED["sent"],
        "events": len(events),
        "visitors": len({event.visitor for event in events}),
        "visits": len({event.visit for event in events}),
        "media": len({event.media for event in events}),
        "actions": Counter(event.action for event in events),
    } == WANTED
    assert seconds < 60

    printed, events = import_part("deskdrop")
    assert (printed, events) == ({"accepted": 0, "duplicates": WANTED["sent"], "rejected": 0}, [])
