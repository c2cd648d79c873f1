"""Statements: what a hub's intermediaries are paid for a month, computed from the log, and frozen once issued.

A statement is computed from the events up to one position of the log, so that it can be computed again to the byte,
whatever has come since: the events after the position are left out by their ids. What they change is found when the next
statement computes the earlier months anew.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from aggregations.buckets import instant_ms, midnight, moment_of, next_first_day
from events.log import Position, event_log
from events.models import Hub
from insights.retribution import COLUMNS, NEVER, VISITS, WINDOW_MS, Visits
from insights.statement import Line, corrections, digest, paid, statement_lines
from insights.statement import Rate as RateInForce
from views_layer import raw
from views_layer.ask import utc
from views_layer.insights import events_at, events_of
from views_layer.models import Attribution, Rate, Statement
from views_layer.statement_files import csv_of_statement, pdf_of_statement


class NoStatement(Exception):
    """A statement that cannot be issued, or is not what the log says: why, and the way out."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """A correction line: what an intermediary was paid so far for the month of an earlier statement, and should have been."""

    statement: int
    month: str
    digest: str
    intermediary: str
    old: int
    new: int


@dataclass(frozen=True, slots=True)
class Log:
    """The events of a hub up to a position, without robots, as visits."""

    visits: Visits
    position: Position

    def digest(self, start: int, end: int) -> str:
        return digest(self.visits.events, self.visits, start, end)


def issue(hub: Hub, month: date, model: str | None, now: datetime) -> Statement:
    """The statement of the month that begins on `month`: the one that was issued, else a new one. Raises NoStatement.

    Its model is that of the hub where none is named. Without a rate in the month it is a draft, which is not kept.
    """
    if (issued := Statement.objects.filter(hub=hub, month=month).first()) is not None:
        if model not in (None, issued.model):
            raise NoStatement(
                f"{issued} was issued with the model {issued.model!r} and is frozen; leave {model!r} out,"
                " it can be used for months to come."
            )
        return issued
    _refuse_running(hub, month, now)
    rates = list(_rates_in(hub, month))
    if not rates:
        return _draft(hub, month, model or model_of(hub), now)
    earlier = list(Statement.objects.filter(hub=hub).order_by("number"))
    statement = Statement(
        hub=hub,
        number=earlier[-1].number + 1 if earlier else 1,
        month=month,
        timezone=hub.timezone,
        model=model or model_of(hub),
        currency=_currency_of(hub, month, rates),
        issued_at=now.replace(microsecond=0),
    )
    log = _read(hub, _end(month, hub.zone), now)
    _refuse_removed(hub, month, hub.zone)
    statement.position = log.position
    _compute(statement, log, earlier)
    statement.csv, statement.pdf = csv_of_statement(statement), pdf_of_statement(statement)
    try:
        with transaction.atomic():
            statement.save(force_insert=True)
    except IntegrityError:
        if Statement.objects.filter(hub=hub).count() == len(earlier):
            raise
        # Somebody has issued it meanwhile, or another of the hub, after which this one has another number.
        return issue(hub, month, model, now)
    return statement


def _draft(hub: Hub, month: date, model: str, now: datetime) -> Statement:
    """The credits of the visits of a month at a rate of 0: what there would be to pay for."""
    log = _read(hub, _end(month, hub.zone), now)
    _refuse_removed(hub, month, hub.zone)
    start, end = _start(month, hub.zone), _end(month, hub.zone)
    lines = statement_lines(log.visits, [RateInForce(0, VISITS, None, Decimal(0), start)], model, start, end)
    draft = Statement(
        hub=hub, number=Statement.DRAFT, month=month, timezone=hub.timezone, model=model, currency=Rate.EUR,
        issued_at=now.replace(microsecond=0), position=log.position, lines=_kept(lines), corrections=[], total=0,
        digest=log.digest(start, end),
    )  # fmt: skip
    draft.csv, draft.pdf = csv_of_statement(draft), pdf_of_statement(draft)
    return draft


def verify_statement(statement: Statement, now: datetime) -> None:
    """Compute a statement again from the log as it was. Raises NoStatement where it is not the same to the byte."""
    zone = ZoneInfo(statement.timezone)
    log = _read(statement.hub, _end(statement.month, zone), now, statement.position)
    _refuse_removed(statement.hub, statement.month, zone)
    again = Statement(
        hub=statement.hub, number=statement.number, month=statement.month, timezone=statement.timezone,
        model=statement.model, currency=statement.currency, issued_at=statement.issued_at, position=statement.position,
    )  # fmt: skip
    earlier = Statement.objects.filter(hub=statement.hub, number__lt=statement.number).order_by("number")
    _compute(again, log, list(earlier))
    if again.digest != statement.digest:
        raise NoStatement(
            f"{statement} was computed from events with the digest {statement.digest}; those in the log have"
            f" {again.digest}. Have events been erased since? They are listed under Removals in the admin."
        )
    if csv_of_statement(again) != statement.csv:
        raise NoStatement(
            f"The log gives other lines than those of {statement}, though from the same events: look at both."
        )


def _compute(statement: Statement, log: Log, earlier: Sequence[Statement]) -> None:
    """Fill in what a statement says: lines, corrections, total, digest. `earlier` are those of lower numbers, in order."""
    zone = ZoneInfo(statement.timezone)
    start, end = _start(statement.month, zone), _end(statement.month, zone)
    rates = _rates_of(statement.hub, statement.month, zone)
    lines = statement_lines(log.visits, _in_force(rates, zone), statement.model, start, end)
    corrected = _corrections(statement, log, earlier)
    statement.lines = _kept(lines)
    statement.corrections = [asdict(one) for one in corrected]
    statement.total = sum(line.amount for line in lines) + sum(one.new - one.old for one in corrected)
    statement.digest = log.digest(start, end)


def _corrections(statement: Statement, log: Log, earlier: Sequence[Statement]) -> list[Corrected]:
    """What the log now says otherwise of the months of `earlier`, and no statement has corrected yet.

    Months of which raw events were removed are settled, and so are those in another currency.
    """
    found: list[Corrected] = []
    for issued in earlier:
        zone = ZoneInfo(issued.timezone)
        if issued.month >= statement.month or issued.currency != statement.currency:
            continue
        if not _is_kept(statement.hub, issued.month, zone):
            continue
        start, end = _start(issued.month, zone), _end(issued.month, zone)
        rates = _in_force(_rates_of(statement.hub, issued.month, zone), zone)
        new = paid(statement_lines(log.visits, rates, issued.model, start, end))
        differing = corrections(_paid_so_far(issued, earlier), new)
        seen = log.digest(start, end) if differing else ""
        found += [
            Corrected(issued.number, f"{issued.month:%Y-%m}", seen, one.intermediary, one.old, one.new)
            for one in differing
        ]
    return found


def _paid_so_far(issued: Statement, until: Iterable[Statement]) -> dict[str, int]:
    """What each intermediary has for the month of a statement: its lines, and the corrections of those `until` now."""
    sums = defaultdict(int, paid(lines_of(issued)))
    for later in until:
        for one in later.corrections:
            if one["statement"] == issued.number:
                sums[one["intermediary"]] += one["new"] - one["old"]
    return sums


def _kept(lines: Iterable[Line]) -> list[dict[str, Any]]:
    return [line._asdict() | {"rate": str(line.rate)} for line in lines]


def lines_of(statement: Statement) -> list[Line]:
    return [Line(**line | {"rate": Decimal(line["rate"])}) for line in statement.lines]


def _read(hub: Hub, end: int, now: datetime, until: Position | None = None) -> Log:
    """The hub's events that occurred before `end`, up to a position of the log; up to now where none is given."""
    columns = {name: name for name in COLUMNS}
    table, current = events_at(hub, (0, end), columns, raw.ROBOTS["exclude"], [], now)
    if not current.has_buffers and (current.cut_at is None or instant_ms(current.cut_at) < end):
        raise NoStatement("The real-time buffers do not answer, and batch has not come as far: try again soon.")
    if until is not None:
        chunks = event_log().read(until, current.mark)
        later = [event.id for chunk in chunks for event in chunk.events if event.hub == hub.slug]
        table = table.filter(pc.invert(pc.is_in(table["id"], pa.array(later, pa.string()))))
    return Log(Visits(events_of(table)), until or current.mark)


def _start(month: date, zone: ZoneInfo) -> int:
    return instant_ms(midnight(month, zone))


def _end(month: date, zone: ZoneInfo) -> int:
    return instant_ms(midnight(next_first_day("month", month), zone))


def _refuse_running(hub: Hub, month: date, now: datetime) -> None:
    end = _end(month, hub.zone)
    if instant_ms(now) < end:
        over = moment_of(end).astimezone(hub.zone)
        raise NoStatement(
            f"{month:%Y-%m} is not over in {hub.timezone}; its statement can be issued from {over:%Y-%m-%d %H:%M} on."
        )


def _is_kept(hub: Hub, month: date, zone: ZoneInfo) -> bool:
    """Whether the raw events of a month, and of the 30 days that its paths look back, are kept."""
    return hub.events_since is None or instant_ms(hub.events_since) <= _start(month, zone) - WINDOW_MS


def _refuse_removed(hub: Hub, month: date, zone: ZoneInfo) -> None:
    if not _is_kept(hub, month, zone):
        assert hub.events_since is not None
        needed = moment_of(_start(month, zone) - WINDOW_MS)
        raise NoStatement(
            f"{hub.slug} keeps raw events since {utc(hub.events_since)}, and the paths of {month:%Y-%m} begin on"
            f" {needed:%Y-%m-%d}: it cannot be computed any more. Issue statements sooner, or keep raw events longer."
        )


def model_of(hub: Hub) -> str:
    """The model by which the statements of a hub deal credit."""
    found = Attribution.objects.filter(hub=hub).first()
    return found.model if found else Attribution.DEFAULT


def _rates_in(hub: Hub, month: date) -> QuerySet[Rate]:
    """The rates in force on a day of a month, oldest first."""
    last = next_first_day("month", month) - timedelta(days=1)
    return Rate.objects.filter(hub=hub, first_day__lte=last).exclude(last_day__lt=month).order_by("pk")


def _rates_of(hub: Hub, month: date, zone: ZoneInfo) -> list[Rate]:
    """The rates in force on a day of a month, oldest first. Raises NoStatement where there is none."""
    if not (found := list(_rates_in(hub, month))):
        raise NoStatement(
            f"No rate of {hub.slug} is in force in {month:%Y-%m}; enter what its goals are worth under Rates in the admin."
        )
    return found


def _currency_of(hub: Hub, month: date, rates: Sequence[Rate]) -> str:
    currencies = sorted({rate.currency for rate in rates})
    if len(currencies) > 1:
        raise NoStatement(
            f"The rates of {hub.slug} in {month:%Y-%m} are in {' and '.join(currencies)}, and a statement has one"
            " currency; let the new one begin on the first of a month."
        )
    return currencies[0]


def _in_force(rates: Iterable[Rate], zone: ZoneInfo) -> list[RateInForce]:
    return [
        RateInForce(
            rate.pk,
            rate.goal,
            rate.intermediary or None,
            rate.amount,
            instant_ms(midnight(rate.first_day, zone)),
            NEVER if rate.last_day is None else instant_ms(midnight(rate.last_day + timedelta(days=1), zone)),
        )
        for rate in rates
    ]


def owed(hub: Hub, visits: Visits, model: str, start: int, end: int) -> list[tuple[str, Line]]:
    """What the goals of [start, end) are worth by the rates of the hub as they are: the currency, and the line."""
    by_currency: dict[str, list[Rate]] = defaultdict(list)
    for rate in Rate.objects.filter(hub=hub).order_by("pk"):
        by_currency[rate.currency].append(rate)
    return [
        (currency, line)
        for currency, rates in sorted(by_currency.items())
        for line in statement_lines(visits, _in_force(rates, hub.zone), model, start, end)
    ]


def summary(statement: Statement) -> dict[str, Any]:
    """What the command prints of a statement, apart from its files."""
    return {
        "statement": statement.name,
        "number": None if statement.is_draft else statement.number,
        "issued": not statement.is_draft,
        "model": statement.model,
        "total": str(statement.money(statement.total)),
        "currency": statement.currency,
        "digest": statement.digest,
        "corrections": [
            {
                "month": one["month"],
                "intermediary": one["intermediary"],
                "old": str(statement.money(one["old"])),
                "new": str(statement.money(one["new"])),
                "difference": str(statement.money(one["new"] - one["old"])),
            }
            for one in statement.corrections
        ],
    }


def read_month(text: str) -> date:
    """The first day of a month such as 2026-10. Raises NoStatement."""
    try:
        if len(text) != 7:
            raise ValueError(text)
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise NoStatement(f"{text!r} is no month; write it as 2026-10.") from None
