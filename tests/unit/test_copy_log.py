"""copy_log: a log in SQLite, copied to MongoDB, and gone on with there."""

import json
from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from events.intake import Batch, Intake, Outcome
from events.logs.mongo import MongoEventLog
from events.logs.mongo.copy import TABLES
from events.logs.orm import OrmEventLog
from events.normaliser import Caller, normalise
from events.sent import TrustedSent
from tests import mongo

pytestmark = [pytest.mark.services, pytest.mark.django_db(databases="__all__", transaction=True)]

START = 1_795_000_000_000


@pytest.fixture
def url() -> Iterator[str]:
    with mongo.fresh_url() as url:
        yield url


def draft(number: int, visitor: str = "ann"):
    sent = TrustedSent(hub="acme", action="view", visitor=visitor, id=f"e{number}")
    return normalise(sent, Caller(lambda hub: 0, True), START + number * 3_600_000)


def fill(log, numbers, visitor: str = "ann") -> list[Outcome]:
    intake = Intake(log)
    return [intake.append([Batch([draft(number, visitor)])])[0] for number in numbers]


def copy(url: str) -> dict:
    out = StringIO()
    call_command("copy_log", url, stdout=out)
    return {name: one["count"] for name, one in json.loads(out.getvalue()).items()}


def read(log) -> list:
    return [(chunk.sequence, chunk.received_at, chunk.events) for chunk in log.read({})]


def test_a_copied_log_goes_on_where_the_other_ended(url, monkeypatch):
    for module in ("events.stamper", "events.logs.orm", "events.logs.mongo.numbering"):
        monkeypatch.setattr(f"{module}.FREQUENT", 3)
    fill(OrmEventLog(), range(6))
    fill(OrmEventLog(), [6], "bob")
    copied, log = copy(url), MongoEventLog(url)
    assert (copied, read(log)) == (
        {"chunks": 7, "ids": 7, "visitors": 2, "visits": 7, "frequent": 1},
        read(OrmEventLog()),
    )
    again, (late,) = fill(log, [0, 6], "bob"), fill(log, [7])
    (event,) = read(log)[-1][2]
    assert (again, late, log.head()) == ([Outcome(0, 1)] * 2, Outcome(1, 0), {"main": 8})
    assert (event.visitor, event.visit, event.visit_number) == (1, 8, 7)


def test_it_goes_on_after_the_last_copied_chunk(url, monkeypatch):
    monkeypatch.setattr("events.logs.mongo.copy.ROWS", 2)
    fill(OrmEventLog(), range(5))
    with monkeypatch.context() as patch:
        patch.setattr("events.logs.mongo.copy._verified", lambda *rest: 1 / 0)
        patch.setattr("events.logs.mongo.copy.TABLES", {"chunks": TABLES["chunks"]})
        with pytest.raises(ZeroDivisionError):
            copy(url)
    fill(OrmEventLog(), [5])
    assert (copy(url)["chunks"], copy(url)["chunks"], read(MongoEventLog(url))) == (6, 6, read(OrmEventLog()))


def test_it_refuses_a_target_that_holds_another_log(url):
    fill(OrmEventLog(), range(2))
    other = MongoEventLog(url)
    other.prepare()
    fill(other, [9])
    with pytest.raises(CommandError, match="holds another log"):
        copy(url)


def test_a_difference_is_said(url):
    fill(OrmEventLog(), range(2))
    copy(url)
    MongoEventLog(url)._server["visits"].update_one({}, {"$set": {"last_at": 7}})
    with pytest.raises(CommandError, match="The copy differs from the log: 2 visits"):
        copy(url)


def test_what_is_no_mongodb_is_refused():
    with pytest.raises(CommandError, match="is no MongoDB"):
        call_command("copy_log", "postgres://here/log")
