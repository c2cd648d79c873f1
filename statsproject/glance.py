"""The pipeline at a glance, for the home of the admin: each figure with its state in words, and the last 24 hours.

All of one glance speaks of one moment. What is wrong is said by the alarms alone, so that this page, the alerts and
`pipeline_status` never tell different stories. A figure that cannot be read says so, and the others are still told.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import redis
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from batch import ledger
from batch.models import Audit, Errand, Run
from events.cuts import published_cut, waiting_cut
from events.log import Account, event_log
from events.models import Cut
from statsproject import alarms
from statsproject.alarms import Alarm
from statsproject.celery import SCHEDULE
from views_layer import errands, seam

logger = logging.getLogger(__name__)

CALM = "calm"
HOURS = 24
UNITS = ((172_800, 86_400, "days"), (7_200, 3_600, "hours"), (60, 60, "minutes"), (0, 1, "seconds"))
"""From how many seconds on a span is told in a unit, the seconds of that unit, and its name."""
SHORT = {"hours": "h", "minutes": "min", "seconds": "s"}
RUNS = 8
"""How many of the last runs are listed."""


class Facts(alarms.Facts):
    """What the figures look at, each asked for once."""

    @cached_property
    def alarms(self) -> dict[str, Alarm | None]:
        return alarms.look(self)

    @cached_property
    def published(self) -> Cut | None:
        return published_cut()

    @cached_property
    def waiting(self) -> Cut | None:
        return waiting_cut()

    @cached_property
    def hour(self) -> int:
        return int(self.now.timestamp()) // 3_600

    @cached_property
    def accounts(self) -> dict[int, Account]:
        """What became of the events of the last hours, the running one included."""
        return event_log().accounts(self.hour - HOURS + 1, self.hour + 1)

    @cached_property
    def buffers(self) -> dict[str, tuple[int, int]] | None:
        """Lists and bytes of both buffers; None where Redis does not answer."""
        if not self.parts["redis"]:
            return None
        try:
            return seam.buffer_sizes()[0]
        except redis.RedisError as error:
            logger.warning("Redis does not answer (%s); the home of the admin says so.", error)
            return None


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: its title, its value, its state in a sentence. `tone` is calm, warning or critical."""

    title: str
    value: str
    sentence: str
    tone: str
    url: str


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a list: cells, where the first one leads, and the tone and words of its state."""

    cells: tuple[str, ...]
    state: str
    tone: str
    url: str


@dataclass(frozen=True, slots=True)
class Work:
    """What batch is doing now, in a sentence; `done` of `total` parts, where it counts them."""

    sentence: str
    done: int
    total: int

    @property
    def percent(self) -> int:
        return 100 * self.done // self.total if self.total else 0


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of hours: its title, what it says in a sentence, and for each hour its name and its number."""

    name: str
    title: str
    unit: str
    sentence: str
    hours: list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Glance:
    """Everything that the home shows and refreshes."""

    at: datetime
    verdict: str
    tone: str
    alarms: list[Alarm]
    figures: list[Figure]
    work: list[Work]
    runs: list[Line]
    schedules: list[Line]


def glance(now: datetime) -> Glance:
    """The pipeline at this moment, also with Redis down."""
    facts = Facts(now)
    standing = [alarm for alarm in facts.alarms.values() if alarm]
    verdict, tone = _verdict(standing)
    return Glance(
        at=now,
        verdict=verdict,
        tone=tone,
        alarms=standing,
        figures=[_read(title, alarm, look, facts) for title, alarm, look in FIGURES],
        work=list(_work(now)),
        runs=[_line_of_run(run, now) for run in Run.objects.all()[:RUNS]],
        schedules=list(_schedules(now)),
    )


def charts(now: datetime) -> list[Chart]:
    """The last 24 hours, the running one included."""
    facts = Facts(now)
    hours = range(facts.hour - HOURS + 1, facts.hour + 1)
    nothing = Account()
    accounts = [facts.accounts.get(hour, nothing) for hour in hours]
    accepted = [float(account.accepted) for account in accounts]
    rejected = [float(account.rejected) for account in accounts]
    longest = _longest_runs(hours)
    names = [f"{_at(hour):%H}:00" for hour in hours]
    return [
        Chart("accepted", "Accepted events", "events", _told(accepted, names, "accepted"), _paired(names, accepted)),
        Chart("rejected", "Rejected events", "events", _told(rejected, names, "rejected"), _paired(names, rejected)),
        Chart("runs", "Longest batch run", "seconds", _told_runs(longest, names), _paired(names, longest)),
    ]


def _paired(names: list[str], values: list[float]) -> list[tuple[str, float]]:
    return list(zip(names, values, strict=True))


def _verdict(standing: list[Alarm]) -> tuple[str, str]:
    if not standing:
        return "The pipeline is healthy.", CALM
    is_critical = any(alarm.severity == alarms.CRITICAL for alarm in standing)
    count = "1 alarm stands" if len(standing) == 1 else f"{len(standing)} alarms stand"
    if is_critical:
        return f"The pipeline is unhealthy: {count}.", alarms.CRITICAL
    return f"The pipeline is healthy, and {count}.", alarms.WARNING


Told = tuple[str, str, str]
"""Value, sentence and where it leads."""


def _read(title: str, alarm: str, look: Callable[[Facts], Told], facts: Facts) -> Figure:
    """A figure. Where its alarm stands, that says its state."""
    try:
        value, sentence, url = look(facts)
    except Exception as error:
        logger.exception("The figure %r could not be read.", title)
        return Figure(title, "–", f"This could not be read ({type(error).__name__}).", alarms.CRITICAL, "")
    stands = facts.alarms[alarm]
    if stands:
        return Figure(title, value, stands.sentence, stands.severity, url)
    return Figure(title, value, sentence, CALM, url)


def _log(facts: Facts) -> Told:
    head, url = facts.status["log"], reverse("admin:events_account_changelist")
    newest = [at for at in (event_log().received_at(partition, n) for partition, n in head.items()) if at]
    if not newest:
        return "Empty", "No event has come yet.", url
    ago = _ago(facts.now - datetime.fromtimestamp(max(newest) / 1000, UTC))
    chunks = ", ".join(f"{name} {sequence:,}" for name, sequence in sorted(head.items()))
    return chunks, f"The last chunk was written {ago}.", url


def _rate(facts: Facts) -> Told:
    nothing = Account()
    running, before = (facts.accounts.get(hour, nothing).accepted for hour in (facts.hour, facts.hour - 1))
    elapsed = max(1.0, (facts.now - _at(facts.hour)).total_seconds())
    sentence = f"{running:,} accepted in this hour, {before:,} in the one before ({_per_second(before, 3_600)})."
    return _per_second(running, elapsed), sentence, reverse("admin:events_account_changelist")


def _lag(facts: Facts) -> Told:
    waiting, seconds = facts.status["lag_events"], facts.status["lag_seconds"]
    if not waiting:
        return "0 events", "Every accepted event is in the answers.", ""
    return f"{waiting:,} events", f"They wait to be folded; the oldest for {_short(timedelta(seconds=seconds))}.", ""


def _active(facts: Facts) -> Told:
    if facts.buffers is None:
        return "–", "It cannot be read.", ""
    lists, size = facts.buffers["active"]
    newest = facts.waiting or facts.published
    since = f"since the cut at {_time(newest.cut_at, facts.now)}" if newest else "from the first event"
    return _bytes(size), f"It is fed {since}: {_count(lists, 'list')}.", reverse("admin:events_cut_changelist")


def _frozen(facts: Facts) -> Told:
    if facts.buffers is None:
        return "–", "It cannot be read.", ""
    url = reverse("admin:events_cut_changelist")
    lists, size = facts.buffers["frozen"]
    if facts.waiting is None:
        return "None", "Nothing waits: every epoch that was cut is published.", url
    since = f"Epoch {facts.waiting.epoch} waits since {_time(facts.waiting.cut_at, facts.now)} for its run"
    tries = facts.status["tries"]
    failed = f", which has failed {_count(tries['count'], 'time')}" if tries else ""
    return _bytes(size), f"{since}{failed}: {_count(lists, 'list')}.", url


def _batch(facts: Facts) -> Told:
    url = reverse("admin:batch_run_changelist")
    if facts.published is None:
        return "–", "Nothing is published yet: the first full hour will be.", url
    age = max(timedelta(), facts.now - facts.published.cut_at)
    return _short(age), f"Batch is {span_in_words(age)} old: in time. Epoch {facts.published.epoch} is published.", url


def _last_run(facts: Facts) -> Told:
    url = reverse("admin:batch_run_changelist")
    last = Run.objects.filter(published_at__isnull=False).first()
    if last is None or last.published_at is None:
        return "–", "No run has been published yet.", url
    took = _seconds(last.published_at - last.claimed_at)
    sentence = f"The {last.kind} run of epoch {last.epoch}: {last.event_count:,} events, {last.row_count:,} rows."
    return took, sentence, url


def _audit(facts: Facts) -> Told:
    url = reverse("admin:batch_audit_changelist")
    last = Audit.objects.first()
    if last is None:
        return "–", "Nothing was audited yet.", url
    if last.mismatch_count:
        differing = f"{last.mismatch_count} of {last.compared} states of epoch {last.epoch} differed; acknowledged."
        return "Differed", differing, url
    return (
        "Equal",
        f"All {last.compared} states of epoch {last.epoch} were equal, {_ago(facts.now - last.audited_at)}.",
        url,
    )


def _rejected(facts: Facts) -> Told:
    waiting, lately = facts.status["rejected"], facts.lately[1]
    sentence = f"{waiting:,} wait for replay; {lately:,} came in this hour and the one before."
    url = reverse("admin:events_rejectedevent_changelist") + "?replayed_at__isempty=1"
    return f"{waiting:,}", sentence if waiting or lately else "None waits for replay.", url


FIGURES: tuple[tuple[str, str, Callable[[Facts], Told]], ...] = (
    ("Log head", "accounting", _log),
    ("Ingest rate", "accounting", _rate),
    ("Lag", "lag", _lag),
    ("Active buffer", "redis", _active),
    ("Frozen buffer", "redis", _frozen),
    ("Age of batch", "publication", _batch),
    ("Last run", "publication", _last_run),
    ("Audit", "audit", _audit),
    ("Rejected events", "rejected", _rejected),
)
"""Title, the alarm that says what is wrong with it, and how it is read."""


def _work(now: datetime) -> Iterable[Work]:
    """The errand that is open, and the run that is under way."""
    if errand := errands.open_errand(now):
        yield _work_of_errand(errand, now)
    run = Run.objects.filter(published_at=None, failed_at=None, alive_at__gt=now - ledger.LEASE).first()
    if run:
        took = _short(now - run.claimed_at)
        yield Work(
            f"The {run.kind} run of epoch {run.epoch}, for {took}: {run.step or 'it begins'}.", run.done, run.total
        )


def _work_of_errand(errand: Errand, now: datetime) -> Work:
    asked = f"{errand.get_kind_display().capitalize()}, asked for by {errand.asked_by} at {_time(errand.asked_at, now)}"
    if errand.begun_at:
        return Work(f"{asked}: under way.", 0, 0)
    waits = now - errand.asked_at
    late = " Is worker-batch running?" if waits > timedelta(minutes=1) else ""
    return Work(f"{asked}: waits for the worker since {_short(waits)}.{late}", 0, 0)


def _line_of_run(run: Run, now: datetime) -> Line:
    state, tone = run_state(run, now)
    ended_at = run.published_at or run.failed_at or (now if state == "under way" else run.alive_at)
    cells = (
        f"{run.kind} {run.epoch}",
        _time(run.claimed_at, now),
        _seconds(ended_at - run.claimed_at),
        f"{run.event_count:,}",
        f"{run.row_count:,}",
    )
    return Line(cells, state, tone, reverse("admin:batch_run_change", args=[run.pk]))


def run_state(run: Run, now: datetime) -> tuple[str, str]:
    """The state of a run in words, and its tone."""
    if run.published_at:
        return "published", CALM
    if run.failed_at:
        return "failed", alarms.WARNING
    return ("under way", "busy") if run.alive_at > now - ledger.LEASE else ("stopped", alarms.WARNING)


def _schedules(now: datetime) -> Iterable[Line]:
    """The ticks that must be there, and whatever else staff have put beside them."""
    of_name = {tick.name: tick for tick in SCHEDULE}
    stored = {task.name: task for task in PeriodicTask.objects.select_related("interval", "crontab").order_by("id")}
    for name in [*of_name, *(name for name in stored if name not in of_name)]:
        task, tick = stored.get(name), of_name.get(name)
        wrong = alarms.wrong_with(tick, task, now) if tick else ""
        is_off = task is not None and not task.enabled
        state = wrong or ("disabled" if is_off else "in time" if tick else "enabled")
        every = "–" if task is None else task.crontab.human_readable if task.crontab else str(task.scheduler)
        url = reverse("admin:django_celery_beat_periodictask_change", args=[task.pk]) if task else ""
        sent = _time(task.last_run_at, now) if task and task.last_run_at else "not yet"
        yield Line((name, every, sent), state, alarms.WARNING if wrong else CALM, url)


def _longest_runs(hours: range) -> list[float]:
    """For each hour the seconds of the longest run that was published in it."""
    longest = dict.fromkeys(hours, 0.0)
    for run in Run.objects.filter(published_at__gte=_at(hours[0])):
        assert run.published_at is not None
        hour = int(run.published_at.timestamp()) // 3_600
        if hour in longest:
            longest[hour] = max(longest[hour], round((run.published_at - run.claimed_at).total_seconds(), 1))
    return list(longest.values())


def _told(values: list[float], names: list[str], what: str) -> str:
    total = sum(values)
    if not total:
        return f"None {what} in 24 hours."
    most = max(range(len(values)), key=values.__getitem__)
    return f"{total:,.0f} {what} in 24 hours, most in the hour of {names[most]} UTC ({values[most]:,.0f})."


def _told_runs(values: list[float], names: list[str]) -> str:
    if not any(values):
        return "No run was published in 24 hours."
    most = max(range(len(values)), key=values.__getitem__)
    return f"The longest took {values[most]:,.1f} s, in the hour of {names[most]} UTC."


def _at(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3_600, UTC)


def _time(at: datetime, now: datetime) -> str:
    return f"{at:%H:%M:%S} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def _per_second(events: int, seconds: float) -> str:
    rate = events / seconds
    return (
        f"{rate:,.0f} a second" if rate >= 10 else f"{rate:.1f} a second" if rate >= 1 else f"{60 * rate:.0f} a minute"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _bytes(size: int) -> str:
    return filesizeformat(size).replace("\xa0", " ")


def _seconds(span: timedelta) -> str:
    seconds = max(0.0, span.total_seconds())
    return f"{seconds:.1f} s" if seconds < 60 else _short(span)


def _short(span: timedelta) -> str:
    """A span in its largest unit: 12 s, 12 min, 5 h, 3 days."""
    number, unit = _in_largest_unit(span)
    return f"{number} {SHORT.get(unit, unit)}"


def span_in_words(span: timedelta) -> str:
    """A span in words, in its largest unit: 1 second, 12 minutes."""
    number, unit = _in_largest_unit(span)
    return f"{number} {unit.removesuffix('s') if number == 1 else unit}"


def _in_largest_unit(span: timedelta) -> tuple[int, str]:
    seconds = max(0, int(span.total_seconds()))
    size, unit = next((size, unit) for least, size, unit in UNITS if seconds >= least)
    return seconds // size, unit


def _ago(span: timedelta) -> str:
    return "just now" if span < timedelta(seconds=1) else f"{span_in_words(span)} ago"
