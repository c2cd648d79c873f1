"""Replaying the inbox."""

import json

import pytest

from events.intake import Batch, Intake
from events.logs.orm import OrmEventLog
from events.models import Hub, RejectedEvent
from events.normaliser import Caller, normalise, rejection_of
from events.rejected import Replay, replay
from events.sent import Reject, checked_or_reject

pytestmark = pytest.mark.django_db(databases="__all__")

AT = 1_795_000_000_000


@pytest.fixture
def intake() -> Intake:
    return Intake(OrmEventLog())


def refuse(intake, item, caller=None) -> None:
    caller = caller or Caller(lambda hub: None, address="192.0.2.1", user_agent="Mozilla/5.0", language="fr")
    try:
        normalise(checked_or_reject(item, caller.sends), caller, AT)
    except Reject as reject:
        intake.append([Batch([], [rejection_of(item, reject, caller, AT)])])


def logged() -> list:
    return [event for chunk in OrmEventLog().read({}) for event in chunk.events]


def test_it_counts_once_however_often_it_is_replayed(intake):
    refuse(intake, {"hub": "acme", "action": "view"})
    Hub.objects.create(slug="acme")
    rows = list(RejectedEvent.objects.all())
    assert replay(rows, intake) == Replay(accepted=1)
    assert replay(rows, intake) == Replay(duplicates=1)
    assert replay(RejectedEvent.objects.all(), intake) == Replay()
    assert [(e.occurred_at, e.received_at, e.language) for e in logged()] == [(AT, AT, "fr")]


def test_it_gives_two_events_without_name_their_visitor(intake):
    for _ in range(2):
        refuse(intake, {"hub": "acme", "action": "view"})
    Hub.objects.create(slug="acme")
    assert replay(RejectedEvent.objects.all(), intake) == Replay(accepted=2)
    caller = Caller(lambda hub: 0, address="192.0.2.1", user_agent="Mozilla/5.0")
    same = normalise(checked_or_reject({"hub": "acme", "action": "view"}, caller.sends), caller, AT)
    assert {e.visitor_key for e in logged()} == {same.visitor_key}


def test_it_keeps_what_fails_again_with_its_new_reason(intake):
    refuse(intake, {"hub": "acme", "action": "view", "page": 0})
    RejectedEvent.objects.update(code="unknown_hub")
    Hub.objects.create(slug="acme")
    assert replay(RejectedEvent.objects.all(), intake) == Replay(rejected=1)
    assert list(RejectedEvent.objects.values_list("code", "replayed_at")) == [("invalid_page", None)]


def test_it_counts_no_event_that_came_again_by_itself(intake):
    refuse(intake, {"hub": "acme", "action": "view", "id": "a"})
    Hub.objects.create(slug="acme")
    caller = Caller(lambda hub: 0)
    item = {"hub": "acme", "action": "view", "id": "a"}
    intake.append([Batch([normalise(checked_or_reject(item, caller.sends), caller, AT)])])
    assert replay(RejectedEvent.objects.all(), intake) == Replay(duplicates=1)


@pytest.mark.parametrize("item", [5, None, "text", {"hub": "a\ud800", "action": "\x00"}, {"hub": {}, "visitor": []}])
def test_it_survives_any_payload(intake, item):
    refuse(intake, item)
    assert replay(RejectedEvent.objects.all(), intake) == Replay(rejected=1)
    assert json.loads(bytes(RejectedEvent.objects.get().payload)) is not ...
