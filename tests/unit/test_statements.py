"""Statements: golden files, frozen whatever comes later, corrected in the next, and the same again from the log."""

import csv
import hashlib
import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core import management
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.test import Client

from events.models import Hub
from speed.consumer import apply_new
from tests.statements import downloads, new_hub, rate, send
from views_layer.models import Attribution, Rate, Statement
from views_layer.statements import NoStatement, issue, read_month, verify_statement

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("redis_url")]
OCTOBER, NOVEMBER, DECEMBER = date(2025, 10, 1), date(2025, 11, 1), date(2025, 12, 1)
NOW = datetime(2026, 1, 2, 9, tzinfo=UTC)


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """In October the kiosk brings three downloads, the blog one, `=1+1` one; a rate of 12.5 cents, of the blog 20."""
    hub = new_hub(monkeypatch)
    send(
        tmp_path,
        *downloads("2025-10-05", "kiosk", 2),
        # In Paris the month ends at 23:00 UTC.
        ("2025-10-31T22:59:59Z", "late", "kiosk", "download"),
        ("2025-10-31T23:00:00Z", "november", "kiosk", "download"),
        *downloads("2025-10-06", "blog", 1),
        *downloads("2025-10-07", "=1+1", 1),
        *downloads("2025-10-08", None, 1),
    )
    apply_new()
    rate(hub, "12.5", "2025-10-01")
    rate(hub, "20", "2025-10-01", "blog")
    return hub


def later(tmp_path: Path, *events: tuple) -> None:
    send(tmp_path, *events)
    apply_new()


def amounts(statement: Statement) -> dict[str, int]:
    return {line["intermediary"]: line["amount"] for line in statement.lines}


def corrected(statement: Statement) -> list[tuple]:
    return [tuple(one[name] for name in ("month", "intermediary", "old", "new")) for one in statement.corrections]


def printed(*arguments: str) -> dict:
    out = io.StringIO()
    management.call_command("statement", *arguments, stdout=out)
    return json.loads(out.getvalue())


GOLDEN = """\
statement,hub,month,model,currency,kind,of_month,goal,intermediary,credit,rate,old,new,amount,digest
1,acme,2025-10,last,EUR,line,2025-10,download,'=1+1,1.000000,0.12500,,,0.13,{digest}
1,acme,2025-10,last,EUR,line,2025-10,download,blog,1.000000,0.20000,,,0.20,{digest}
1,acme,2025-10,last,EUR,line,2025-10,download,kiosk,3.000000,0.12500,,,0.37,{digest}
1,acme,2025-10,last,EUR,total,,,,,,,,0.70,{digest}
"""


DRAFT = """\
statement,hub,month,model,currency,kind,of_month,goal,intermediary,credit,rate,old,new,amount,digest
draft,acme,2025-10,last,EUR,line,2025-10,visits,'=1+1,1.000000,0.00,,,0.00,{digest}
draft,acme,2025-10,last,EUR,line,2025-10,visits,blog,1.000000,0.00,,,0.00,{digest}
draft,acme,2025-10,last,EUR,line,2025-10,visits,kiosk,3.000000,0.00,,,0.00,{digest}
draft,acme,2025-10,last,EUR,total,,,,,,,,0.00,{digest}
"""


def test_a_month_without_a_rate_is_a_draft_of_credits_that_is_not_kept(acme: Hub, tmp_path: Path) -> None:
    Rate.objects.all().delete()
    found = printed("acme", "--month", "2025-10", "--to", str(tmp_path))
    assert (found["issued"], found["number"], found["total"], found["corrections"]) == (False, None, "0.00", [])
    assert Path(found["csv"]).read_bytes().decode() == DRAFT.format(digest=found["digest"]).replace("\n", "\r\n")
    assert Path(found["pdf"]).read_bytes().startswith(b"%PDF")
    assert not Statement.objects.exists()
    rate(acme, "12.5", "2025-10-01")
    assert printed("acme", "--month", "2025-10", "--to", str(tmp_path))["issued"] is True


def test_the_csv_of_a_month_made_by_hand(acme: Hub) -> None:
    statement = issue(acme, OCTOBER, None, NOW)
    assert statement.csv == GOLDEN.format(digest=statement.digest).replace("\n", "\r\n")
    assert (statement.total, statement.currency, statement.number) == (70, "EUR", 1)


def test_the_digest_is_that_of_the_events_as_documented(acme: Hub) -> None:
    """The events of October, written out: only numbers that the normaliser gave are read from the log."""
    statement = issue(acme, OCTOBER, None, NOW)
    from events.log import event_log

    log = event_log()
    events = [
        event for chunk in log.read({}, log.head()) for event in chunk.events if event.occurred_at < 1761951600000
    ]
    text = "".join(
        "\x1f".join((str(e.occurred_at), e.id, e.action, str(e.visit), str(e.visitor), e.intermediary or "\x1e")) + "\n"
        for e in sorted(events, key=lambda event: (event.occurred_at, event.id))
    )
    assert (len(events), statement.digest) == (6, hashlib.sha256(text.encode()).hexdigest())


def test_the_command_writes_files_and_prints_what_is_in_them(acme: Hub, tmp_path: Path) -> None:
    with time_machine.travel(NOW, tick=True):
        found = printed("acme", "--month", "2025-10", "--to", str(tmp_path / "out"))
        again = printed("acme", "--month", "2025-10", "--to", str(tmp_path / "again"))
    names = ("statement", "number", "model", "total", "currency", "corrections")
    assert [found[name] for name in names] == ["acme-2025-10", 1, "last", "0.70", "EUR", []]
    for kind in ("csv", "pdf"):
        assert found[kind] == str(tmp_path / f"out/acme-2025-10.{kind}")
        assert Path(found[kind]).read_bytes() == Path(again[kind]).read_bytes()
    assert again["digest"] == found["digest"]
    rows = list(csv.DictReader(io.StringIO(Path(found["csv"]).read_text())))
    assert sum(Decimal(row["amount"]) for row in rows if row["kind"] != "total") == Decimal(found["total"])
    assert Path(found["pdf"]).read_bytes().startswith(b"%PDF-")


def test_the_pdf_is_the_same_to_the_byte(acme: Hub) -> None:
    from views_layer.statement_files import pdf_of_statement

    statement = issue(acme, OCTOBER, None, NOW)
    stored = Statement.objects.get()
    assert pdf_of_statement(statement) == bytes(stored.pdf) == pdf_of_statement(stored)


def test_a_statement_is_frozen_and_verified_after_late_events(acme: Hub, tmp_path: Path) -> None:
    before = issue(acme, OCTOBER, None, NOW)
    later(tmp_path, *downloads("2025-10-20", "kiosk", 2, "later"))
    after = issue(acme, OCTOBER, None, NOW + timedelta(days=1))
    assert (after.pk, after.csv, after.digest) == (before.pk, before.csv, before.digest)
    verify_statement(after, NOW + timedelta(days=1))


def test_late_events_are_corrected_once_in_the_next_statement(acme: Hub, tmp_path: Path) -> None:
    issue(acme, OCTOBER, None, NOW)
    later(tmp_path, *downloads("2025-10-20", "kiosk", 2, "later"), *downloads("2025-10-21", "radio", 1))
    november = issue(acme, NOVEMBER, None, NOW)
    # October is 62.5 + 12.5 + 12.5 + 20 = 107.5 now: the halves go to =1+1 and kiosk, the first two by name.
    assert amounts(november) == {"kiosk": 13}
    assert corrected(november) == [("2025-10", "kiosk", 37, 63), ("2025-10", "radio", 0, 12)]
    assert november.total == 13 + 26 + 12
    december = issue(acme, DECEMBER, None, NOW)
    assert (amounts(december), corrected(december), december.total) == ({}, [], 0)


def test_three_months_each_correct_what_was_not_corrected_yet(acme: Hub, tmp_path: Path) -> None:
    issue(acme, OCTOBER, None, NOW)
    later(tmp_path, *downloads("2025-10-20", "blog", 1, "later"))
    november = issue(acme, NOVEMBER, None, NOW)
    later(tmp_path, *downloads("2025-10-22", "blog", 2, "last"), *downloads("2025-11-10", "blog", 1))
    december = issue(acme, DECEMBER, None, NOW)
    assert corrected(november) == [("2025-10", "blog", 20, 40)]
    assert corrected(december) == [("2025-10", "blog", 40, 80), ("2025-11", "blog", 0, 20)]
    rows = [row for row in csv.reader(io.StringIO(december.csv)) if row[5] == "correction"]
    assert [row[6:14] for row in rows] == [
        ["2025-10", "", "blog", "", "", "0.40", "0.80", "0.40"],
        ["2025-11", "", "blog", "", "", "0.00", "0.20", "0.20"],
    ]
    for statement in Statement.objects.all():
        verify_statement(statement, NOW)


def test_a_late_visit_may_take_credit_away(acme: Hub, tmp_path: Path) -> None:
    issue(acme, OCTOBER, None, NOW)
    # A reader of October came by the radio, in the same visit and before the kiosk was named.
    later(tmp_path, ("2025-10-05T11:59:00Z", "reader-kiosk-2025-10-05-0", "radio", "view"))
    november = issue(acme, NOVEMBER, None, NOW)
    assert corrected(november) == [("2025-10", "kiosk", 37, 25), ("2025-10", "radio", 0, 12)]
    assert ",-0.12," in november.csv
    assert "'-0" not in november.csv


@pytest.mark.parametrize(
    ("month", "change", "words"),
    [
        (date(2026, 1, 1), {}, "is not over in Europe/Paris; its statement can be issued from 2026-02-01 00:00"),
        (OCTOBER, {"events_since": datetime(2025, 9, 15, tzinfo=UTC)}, "keeps raw events since 2025-09-15T00:00:00Z"),
    ],
)
def test_it_refuses_a_month_that_cannot_be_told(acme: Hub, month: date, change: dict, words: str) -> None:
    Hub.objects.update(**change)
    with pytest.raises(NoStatement, match=words):
        issue(acme, month, None, NOW)
    assert not Statement.objects.exists()


def test_a_month_without_raw_events_is_settled(acme: Hub, tmp_path: Path) -> None:
    issue(acme, OCTOBER, None, NOW)
    later(tmp_path, *downloads("2025-10-20", "kiosk", 2, "later"))
    Hub.objects.update(events_since=datetime(2025, 9, 15, tzinfo=UTC))
    assert corrected(issue(acme, NOVEMBER, None, NOW)) == []


def test_the_model_is_the_hubs_and_stays_that_of_the_statement(acme: Hub) -> None:
    Attribution.objects.create(hub=acme, model="linear")
    assert issue(acme, OCTOBER, None, NOW).model == "linear"
    assert issue(acme, NOVEMBER, "first", NOW).model == "first"
    with pytest.raises(NoStatement, match="was issued with the model 'linear'"):
        issue(acme, OCTOBER, "first", NOW)


def test_verify_finds_what_is_not_in_the_log_any_more(acme: Hub) -> None:
    statement = issue(acme, OCTOBER, None, NOW)
    Statement.objects.update(digest="0" * 64)
    statement.refresh_from_db()
    with pytest.raises(NoStatement, match="Have events been erased"):
        verify_statement(statement, NOW)
    with time_machine.travel(NOW, tick=True), pytest.raises(CommandError, match="No statement of acme for 2025-11"):
        management.call_command("statement", "acme", "--month", "2025-11", "--verify")


def test_an_intermediary_in_any_script_is_in_both_files(acme: Hub, tmp_path: Path) -> None:
    later(tmp_path, *downloads("2025-11-05", "東京書店", 1), *downloads("2025-11-05", "Café № 5", 1))
    statement = issue(acme, NOVEMBER, None, NOW)
    assert "東京書店" in statement.csv
    assert len(statement.pdf) > 1_000


def test_a_rate_is_refused_where_another_is_in_force(acme: Hub) -> None:
    with pytest.raises(ValidationError, match="overlaps with download by everyone from 2025-10-01 on"):
        rate(acme, "15", "2025-12-01")
    with pytest.raises(ValidationError, match="a statement has one currency"):
        rate(acme, "15", "2025-12-01", "radio", currency="USD")
    with pytest.raises(ValidationError, match="'EUX' is no ISO 4217"):
        rate(acme, "15", "2025-12-01", "radio", currency="EUX")
    with pytest.raises(ValidationError, match="cannot end on 2025-11-30"):
        rate(acme, "15", "2025-12-01", "radio", last_day=date(2025, 11, 30))


def test_a_rate_is_ended_and_a_new_one_begins(acme: Hub) -> None:
    old = Rate.objects.get(intermediary="blog")
    old.last_day = date(2025, 11, 14)
    old.save()
    rate(acme, "30", "2025-11-15", "blog")
    old.amount = Decimal(25)
    with pytest.raises(ValidationError, match="A rate is not edited"):
        old.save()


def test_no_rate_changes_what_a_statement_has_paid(acme: Hub) -> None:
    issue(acme, OCTOBER, None, NOW)
    with pytest.raises(ValidationError, match="choose days from 2025-11-01 on"):
        rate(acme, "15", "2025-10-15", "radio")
    old = Rate.objects.get(intermediary="blog")
    old.last_day = date(2025, 10, 30)
    with pytest.raises(ValidationError, match="has been issued"):
        old.save()
    old.last_day = date(2025, 10, 31)
    old.save()
    rate(acme, "30", "2025-11-01", "blog")
    assert (old.is_paid, Rate.objects.get(amount=30).is_paid) == (True, False)


def test_yen_have_no_cents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = new_hub(monkeypatch)
    later(tmp_path, *downloads("2025-10-05", "kiosk", 3))
    rate(hub, "12.5", "2025-10-01", currency="JPY")
    statement = issue(hub, OCTOBER, None, NOW)
    assert (statement.total, str(statement.money(statement.total))) == (38, "38")
    assert ",3.000000,12.500,,,38," in statement.csv


@pytest.mark.parametrize("text", ["2025", "2025-13", "2025-1", "october"])
def test_it_says_how_a_month_is_written(text: str) -> None:
    with pytest.raises(NoStatement, match="write it as 2026-10"):
        read_month(text)


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("owner"))
    return client


def test_staff_reads_statements_and_has_their_files(acme: Hub, owner: Client) -> None:
    statement = issue(acme, OCTOBER, None, NOW)
    home = f"/admin/views_layer/statement/{statement.pk}"
    found = {kind: owner.get(f"{home}/{kind}/") for kind in ("csv", "pdf")}
    assert (found["csv"].content.decode(), found["pdf"].content) == (statement.csv, bytes(statement.pdf))
    assert [owner.get(path).status_code for path in ("/admin/views_layer/statement/", f"{home}/change/")] == [200, 200]
    assert owner.get("/admin/views_layer/statement/999/pdf/").status_code == 404


def test_staff_ends_a_rate_and_begins_another(acme: Hub, owner: Client) -> None:
    old = Rate.objects.get(intermediary="blog")
    asked = {"hub": acme.pk, "goal": "download", "intermediary": "blog", "amount": "30", "currency": "EUR"}
    refused = owner.post("/admin/views_layer/rate/add/", asked | {"first_day": "2025-12-01"})
    assert (refused.status_code, b"It overlaps with download by blog" in refused.content) == (200, True)
    ended = owner.post(f"/admin/views_layer/rate/{old.pk}/change/", {"last_day": "2025-11-30", "amount": "99"})
    begun = owner.post("/admin/views_layer/rate/add/", asked | {"first_day": "2025-12-01"})
    assert (ended.status_code, begun.status_code) == (302, 302)
    rates = Rate.objects.filter(intermediary="blog").order_by("first_day")
    assert [(str(one.amount), one.last_day, one.created_by) for one in rates] == [
        ("20.000", date(2025, 11, 30), None),
        ("30.000", None, User.objects.get(username="owner")),
    ]


def test_staff_deletes_only_a_rate_that_nobody_was_paid_by(acme: Hub, owner: Client) -> None:
    issue(acme, OCTOBER, None, NOW)
    paid, new = Rate.objects.get(intermediary="blog"), rate(acme, "9", "2025-11-01", "radio")
    answers = [owner.post(f"/admin/views_layer/rate/{one.pk}/delete/", {"post": "yes"}) for one in (paid, new)]
    assert [answer.status_code for answer in answers] == [403, 302]
    assert {*Rate.objects.values_list("intermediary", flat=True)} == {"", "blog"}
