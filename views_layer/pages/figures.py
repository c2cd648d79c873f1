"""Key numbers and the chart over time, from one answer of the API."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time

from django.utils.translation import gettext as _

from views_layer.models import Note
from views_layer.pages.selection import Selection
from views_layer.pages.wording import Change, change, change_until, dated, figure, instant, share

SPARK_WIDTH, SPARK_HEIGHT = 100, 26
START, END = "START", "END"


@dataclass(frozen=True, slots=True)
class KeyNumber:
    """A key number; `spark` is the points of its line over time, in a box of SPARK_WIDTH by SPARK_HEIGHT."""

    metric: str
    title: str
    definition: str
    text: str
    note: str
    change: Change | None
    spark: str
    url: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of the chart. `phase` is past, running or future; a future one has no value yet. `notes` are of its days.

    `start` and `end` are as the state of a page says them; `url` shows the bucket alone, and is empty for an hour.
    """

    label: str
    start: str
    end: str
    url: str
    tick: str
    phase: str
    value: float | None
    text: str
    previous: float | None
    previous_text: str
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Chart:
    """The chart's measure over time, and one sentence that says what it shows.

    `zoom` is the query of a page of another range, with START and END in the place of its ends.
    """

    metric: str
    title: str
    kind: str
    buckets: list[Bucket]
    summary: str
    is_compared: bool
    has_running: bool
    zoom: str


def key_numbers(
    answer: dict,
    compared: dict,
    names: tuple[str, ...],
    metrics: dict[str, dict],
    selection: Selection,
    until: str | None = None,
) -> list[KeyNumber]:
    """The key numbers `names` of an answer by interval, with the change of the totals `compared` where they have one.

    `until` is the time at which `compared` ends, where that is before the answer does.
    """
    totals, previous = answer["totals"], compared.get("previous")
    as_of = known_until(answer["meta"])
    rows = [row for row in answer["results"] if instant(row["time"]) <= as_of]
    return [
        KeyNumber(
            metric=name,
            title=metrics[name]["title"],
            definition=metrics[name]["definition"],
            text=figure(name, metrics[name]["unit"], totals[name]),
            note=_note(name, totals),
            change=_change(name, metrics[name]["unit"], totals[name], compared[name], previous[name], until)
            if previous
            else None,
            spark=spark([row[name] for row in rows]),
            url=selection.query(metric=name),
            is_current=name == selection.metric,
        )
        for name in names
    ]


def _change(
    name: str, unit: str, whole: float | None, part: float | None, before: float | None, until: str | None
) -> Change:
    """The change of `part`, which is named where it is not the `whole` that is shown above it."""
    if until and figure(name, unit, part) != figure(name, unit, whole):
        return change_until(name, unit, part, before, until)
    return change(name, unit, part, before)


def known_until(meta: dict) -> datetime:
    """The instant up to which an answer knows the events: live, else by batch, else none at all."""
    text = meta.get("as_of") or meta.get("batch_until")
    return instant(text) if text else datetime.min.replace(tzinfo=UTC)


def _note(name: str, totals: dict) -> str:
    if name in {"new_visitors", "returning_visitors"} and totals.get("visitors"):
        return _("%(share)s of visitors") % {"share": share(totals[name], totals["visitors"])}
    return ""


def spark(values: list[float | None]) -> str:
    """The SVG points of a small line through `values`; empty where fewer than two are known."""
    known = [(index, value) for index, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return ""
    top = max(value for _, value in known) or 1
    step = SPARK_WIDTH / (len(values) - 1)
    return " ".join(
        f"{index * step:.1f},{SPARK_HEIGHT - 2 - value / top * (SPARK_HEIGHT - 4):.1f}" for index, value in known
    )


def chart(
    answer: dict, selection: Selection, metrics: dict[str, dict], interval: str, notes: Sequence[Note] = ()
) -> Chart:
    """The chart of the measure of a page. A note is in the bucket in which its local day begins."""
    metric, zone = selection.metric, selection.zone()
    unit = metrics[metric]["unit"]
    as_of = known_until(answer["meta"])
    first, end = (instant(answer["query"][name]) for name in ("from", "to"))
    starts = [instant(row["time"]) for row in answer["results"]]
    many_days = interval == "hour" and len({start.date() for start in starts}) > 1
    noted = _by_start(notes, starts)
    buckets = []
    for row, start, next_start in zip(answer["results"], starts, [*starts[1:], end], strict=True):
        phase = "future" if start > as_of else "running" if next_start >= as_of else "past"
        before = (row.get("previous") or {}).get(metric)
        ends = [_end_text(at.astimezone(zone), interval) for at in (max(first, start), next_start)]
        value = None if phase == "future" else row[metric]
        buckets.append(
            Bucket(
                label=bucket_label(start, interval),
                start=ends[0],
                end=ends[1],
                url="" if interval == "hour" else selection.range_query(*ends),
                tick=bucket_tick(start, interval, many_days),
                phase=phase,
                value=value,
                text="" if phase == "future" else figure(metric, unit, value),
                previous=before,
                previous_text=figure(metric, unit, before),
                notes=noted.get(start, []),
            )
        )
    return Chart(
        metric=metric,
        title=metrics[metric]["title"],
        kind="percent" if metric == "bounce_rate" else unit,
        buckets=buckets,
        summary=_summary(metrics[metric], answer["totals"][metric], buckets),
        is_compared="previous" in answer["totals"],
        has_running=any(bucket.phase == "running" for bucket in buckets),
        zoom=selection.range_query(START, END),
    )


def _end_text(at: datetime, interval: str) -> str:
    """An end of a bucket, within the range: the local day that begins then, else the instant."""
    is_day = interval != "hour" and at.time() == time.min
    return at.date().isoformat() if is_day else at.isoformat(timespec="seconds")


def _by_start(notes: Sequence[Note], starts: list[datetime]) -> dict[datetime, list[str]]:
    """The texts of notes by the start of their bucket: the first that begins on the day, else the last before it."""
    found: dict[datetime, list[str]] = {}
    days = [start.date() for start in starts]
    for note in notes:
        place = bisect_left(days, note.day)
        if place == len(days) or days[place] > note.day:
            place -= 1
        found.setdefault(starts[max(place, 0)], []).append(note.text)
    return found


def _summary(metric: dict, total: float | None, buckets: list[Bucket]) -> str:
    """One sentence on the chart: the whole, and the bucket with most of it."""
    said = {"title": metric["title"], "total": figure(metric["name"], metric["unit"], total)}
    known = [bucket for bucket in buckets if bucket.value]
    if len(known) < 2:
        return _("%(title)s: %(total)s in this period.") % said
    top = max(known, key=lambda bucket: bucket.value or 0)
    return _("%(title)s: %(total)s in this period, most on %(bucket)s (%(most)s).") % (
        said | {"bucket": top.label, "most": top.text}
    )


def bucket_label(start: datetime, interval: str) -> str:
    """The full name of a bucket, for tables and tooltips."""
    match interval:
        case "hour":
            return dated(start, "EEE d MMM y, HH:mm")
        case "week":
            return _("week of %(day)s") % {"day": dated(start, "d MMM y")}
        case "month":
            return dated(start, "MMMM y")
    return dated(start, "EEE d MMM y")


def bucket_tick(start: datetime, interval: str, many_days: bool) -> str:
    """The short name of a bucket, under the chart's axis."""
    match interval:
        case "hour":
            return dated(start, "EEE HH:mm" if many_days else "HH:mm")
        case "month":
            return dated(start, "MMM y" if start.month == 1 else "MMM")
    return dated(start, "d MMM")
