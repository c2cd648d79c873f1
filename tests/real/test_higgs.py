from collections import Counter
from datetime import datetime

import pytest

from tests.real.converters import higgs
from tests.real.expected import EXPECTED
from tests.real.folder import needs

pytestmark = [needs("higgs"), pytest.mark.slow, pytest.mark.django_db(transaction=True, databases="__all__")]

WANTED = EXPECTED["higgs"]
HOUR_MS = 3_600_000


def test_it_counts_a_week_of_shares_by_network_and_hour(import_part):
    printed, events = import_part("higgs")
    assert printed == {"accepted": WANTED["events"], "duplicates": 0, "rejected": 0}
    by_hour = Counter(event.occurred_at // HOUR_MS for event in events)
    assert {
        "sent": WANTED["sent"],
        "events": len(events),
        "actions": Counter(event.action for event in events),
        "networks": Counter(event.network for event in events),
        "hours": len(by_hour),
    } == WANTED
    assert by_hour == Counter(_hour_of(event["occurred_at"]) for event in higgs())
    assert len({event.visitor for event in events}) == len({event["visitor"] for event in higgs()})


def _hour_of(occurred_at: str) -> int:
    return int(datetime.fromisoformat(occurred_at).timestamp()) // 3600
