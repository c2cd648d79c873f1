"""The reading curve of a media, page by page or, of a video, stretch by stretch: what its page shows, and its CSV."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, floor
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.http import StreamingHttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from events.models import Media
from views_layer.ask import answer as ask
from views_layer.ask import every_row
from views_layer.pages.downloads import csv_file
from views_layer.pages.selection import Selection
from views_layer.pages.wording import ABSENT_NUMBER, clock, count, decimal, percent, time_of_day, value_of
from views_layer.positions import SIMILAR, completion, is_similar, length_of, mean_curve, parts
from views_layer.question import LIMIT
from views_layer.reading import Reading, reading
from views_layer.turns import Turns

PAGES_SHOWN = 1_000
LONGEST = 5_000
"""Pages of the longest media that is compared with others."""
OTHERS_AT_LEAST, OTHERS_AT_MOST = 3, 50
STRETCH_MS = 30_000
"""A stretch of a video, as the tracker tells it."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the curve. `part` is of the media's visitors, `others` the mean part at the same place of similar media;
    `turns` is None where no raw event of it is there."""

    number: int
    readers: int
    reads: int
    spent_ms: int
    clicks: int
    part: float
    others: float | None
    turns: Turns | None

    @property
    def mean_ms(self) -> float | None:
        return self.spent_ms / self.readers if self.readers else None

    @property
    def clicks_per_reader(self) -> float | None:
        return self.clicks / self.readers if self.readers else None


@dataclass(frozen=True, slots=True)
class Curve:
    """The curve of a media of `length` pages: `finished` and `seen` are parts, of its visitors that saw the last page and,
    on average, of its pages that one of them saw. `others` counts the similar media that it is compared with."""

    is_video: bool
    length: int
    visitors: int
    pages: list[Page]
    finished: float | None
    seen: float | None
    others: int
    since: datetime | None

    @property
    def is_compared(self) -> bool:
        return self.others >= OTHERS_AT_LEAST


def curve_of(media: Media, selection: Selection, allowed: Collection[str] | None, now: datetime) -> Curve:
    """The curve of a media in the state of its page, compared with those of `allowed` (None: all). Raises QueryError."""
    hub = selection.hub
    metrics = ["visitors", "page_reads", "duration_ms", "clicks"]
    asked = selection.asked(metrics, now, by="page", order="page", limit=LIMIT)
    answer = ask(hub, asked, now)
    rows = {row["page"]: row for row in answer["results"] if row["page"] is not None}
    length = length_of(media.pages, rows)
    visitors = answer["totals"]["visitors"]
    readers = {page: row["visitors"] for page, row in rows.items()}
    compared = _others(media, length, selection, allowed, now)
    shown = sorted({*rows, *range(1, min(length, PAGES_SHOWN) + 1)})
    others = mean_curve(length, compared) if len(compared) >= OTHERS_AT_LEAST else []
    turned = reading(hub, media.key, asked, now)
    return Curve(
        is_video=media.kind == "video",
        length=length,
        visitors=visitors,
        pages=[_page(page, rows.get(page), visitors, others, turned) for page in shown],
        finished=readers.get(length, 0) / visitors if length and visitors else None,
        seen=completion(length, visitors, readers),
        others=len(compared),
        since=turned.since,
    )


def _page(number: int, row: dict | None, visitors: int, others: list[float], turned: Reading) -> Page:
    readers = row["visitors"] if row else 0
    never = Turns(None, 0, 0, 0) if turned.pages or turned.since is None else None
    return Page(
        number=number,
        readers=readers,
        reads=row["page_reads"] if row else 0,
        spent_ms=row["duration_ms"] if row else 0,
        clicks=row["clicks"] if row else 0,
        part=readers / visitors if visitors else 0.0,
        others=others[number - 1] if number <= len(others) else None,
        turns=turned.pages.get(number, never),
    )


def _others(
    media: Media, length: int, selection: Selection, allowed: Collection[str] | None, now: datetime
) -> list[list[float]]:
    """The curves of the hub's most visited media of the same kind and a similar length, among those that may be seen."""
    if not 0 < length <= LONGEST:
        return []
    similar = Q(pages=None) | Q(pages__range=(ceil(length / SIMILAR), floor(length * SIMILAR)))
    candidates = selection.hub.media.filter(similar, kind=media.kind).exclude(key=media.key)
    lengths = dict(candidates.values_list("key", "pages"))
    keys = [key for key in lengths if allowed is None or key in allowed]
    if len(keys) < OTHERS_AT_LEAST:
        return []
    visitors = _visitors(selection, keys, now)
    if len(visitors) < OTHERS_AT_LEAST:
        return []
    found: dict[str, dict[int, int]] = {key: {} for key in visitors}
    asked = selection.asked(["visitors"], now, by="media,page", limit=LIMIT)
    asked.setlist("media", [*visitors])
    for row in every_row(selection.hub, asked, now):
        if row["page"] is not None:
            found[row["media"]][row["page"]] = row["visitors"]
    curves = []
    for key, readers in found.items():
        other = length_of(lengths[key], readers)
        if other and is_similar(length, other):
            curves.append(parts(other, visitors[key], readers))
    return curves


def _visitors(selection: Selection, keys: list[str], now: datetime) -> dict[str, int]:
    """The visitors of the most visited of some media."""
    asked = selection.asked(["visitors"], now, by="media", order="-visitors", limit=OTHERS_AT_MOST)
    asked.setlist("media", keys)
    return {row["media"]: row["visitors"] for row in ask(selection.hub, asked, now)["results"] if row["visitors"]}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the curve's table."""

    name: str
    title: str | Promise
    definition: str | Promise
    value: Callable[[Page], float | None]
    text: Callable[[float], str]


COLUMNS = (
    Column("readers", lazy("Readers"), lazy("Distinct visitors with an event that names the page."),
           lambda page: page.readers, count),
    Column("part", lazy("Part"), lazy("Readers of the page, as a part of the visitors of the media."),
           lambda page: page.part, percent),
    Column("others", lazy("Similar media"), lazy("The mean of this part over the similar media, at the same place in them."),
           lambda page: page.others, percent),
    Column("reads", lazy("Reads"), lazy("Reads of the page; a reader may read it several times."),
           lambda page: page.reads, count),
    Column("mean", lazy("Mean time"), lazy("Active time on the page over its readers."),
           lambda page: page.mean_ms, clock),
    Column("median", lazy("Median time"),
           lazy("The active time on the page of the reader in the middle, all reads of a reader together."),
           lambda page: page.turns.median_ms if page.turns else None, clock),
    Column("started", lazy("Started here"), lazy("Visits whose first read of the media is of this page."),
           lambda page: page.turns.started if page.turns else None, count),
    Column("stopped", lazy("Stopped here"), lazy("Visits whose last read of the media is of this page."),
           lambda page: page.turns.stopped if page.turns else None, count),
    Column("again", lazy("Read again"), lazy("Visits that came back to this page from another page of the media."),
           lambda page: page.turns.again if page.turns else None, count),
    Column("clicks", lazy("Clicks"), lazy("Clicks on what the page is enriched with."), lambda page: page.clicks, count),
    Column("clicks_per_reader", lazy("Clicks per reader"), lazy("Clicks on the page over its readers."),
           lambda page: page.clicks_per_reader, decimal),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of the table: bare for the charts, and as it is read."""

    name: str
    bare: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table; `tick` stands under the axis."""

    label: str
    tick: str
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the card of the curve shows."""

    title: str
    numbers: list[tuple[str, str, str | Promise]]
    columns: list[Column]
    rows: list[Row]
    summary: str
    turns_summary: str
    compared: str
    since: str
    cut: str
    is_video: bool
    is_compared: bool


def facts_of(curve: Curve, zone: ZoneInfo, now: datetime) -> Facts:
    """The curve in words."""
    columns = columns_of(curve)
    return Facts(
        title=_("Stretch by stretch") if curve.is_video else _("Page by page"),
        numbers=[
            (_("Saw the end") if curve.is_video else _("Saw the last page"), _share(curve.finished), LAST_SEEN),
            (_("Seen on average") if curve.is_video else _("Pages seen"), _share(curve.seen), COMPLETION),
            (_("Stretches of 30 s") if curve.is_video else _("Pages"), count(curve.length), LENGTH),
        ],
        columns=columns,
        rows=[_row(page, columns, curve.is_video) for page in curve.pages[:PAGES_SHOWN]],
        summary=_summary(curve),
        turns_summary=_turns_summary(curve),
        compared=_compared(curve),
        since=time_of_day(curve.since, now, zone) if curve.since else "",
        cut=count(len(curve.pages)) if len(curve.pages) > PAGES_SHOWN else "",
        is_video=curve.is_video,
        is_compared=curve.is_compared,
    )


LAST_SEEN = lazy("Readers of the last page, as a part of the visitors of the media.")
COMPLETION = lazy("The part of its pages that a visitor of the media saw, on average.")
LENGTH = lazy("What events say of the media; where none says it, the last page that was read.")


def columns_of(curve: Curve) -> list[Column]:
    return [column for column in COLUMNS if column.name != "others" or curve.is_compared]


def _row(page: Page, columns: Sequence[Column], is_video: bool) -> Row:
    cells = []
    for column in columns:
        value = column.value(page)
        bare, text = ("", ABSENT_NUMBER) if value is None else (str(value), column.text(value))
        cells.append(Cell(column.name, bare, text))
    if not is_video:
        return Row(value_of("page", page.number), str(page.number), cells)
    start, end = (clock(STRETCH_MS * number) for number in (page.number - 1, page.number))
    return Row(_("%(start)s to %(end)s") % {"start": start, "end": end}, start, cells)


def _share(part: float | None) -> str:
    return ABSENT_NUMBER if part is None else percent(part)


def _summary(curve: Curve) -> str:
    """One sentence on the curve: how many begin, how many see the end."""
    first = next((page for page in curve.pages if page.number == 1), None)
    said = {
        "visitors": count(curve.visitors),
        "first": _share(first.part if first else None),
        "last": _share(curve.finished),
        "length": count(curve.length),
    }
    if curve.is_video:
        return _("Of %(visitors)s visitors, %(first)s saw the first 30 seconds, %(last)s the last ones.") % said
    return _("Of %(visitors)s visitors, %(first)s saw page 1, %(last)s page %(length)s, the last one.") % said


def _turns_summary(curve: Curve) -> str:
    """One sentence on where visits end, and where readers stay."""
    turned = [(page, page.turns) for page in curve.pages if page.turns and page.turns.median_ms is not None]
    if not turned:
        return ""
    stopped = max(turned, key=lambda one: one[1].stopped)
    longest = max(turned, key=lambda one: one[1].median_ms or 0)
    place = (
        (lambda page: clock(STRETCH_MS * (page.number - 1))) if curve.is_video else (lambda page: count(page.number))
    )
    said = {
        "stopped": place(stopped[0]),
        "visits": count(stopped[1].stopped),
        "longest": place(longest[0]),
        "median": clock(longest[1].median_ms or 0),
    }
    if curve.is_video:
        return _("Most visits stop in the 30 seconds from %(stopped)s on (%(visits)s).") % said
    return (
        _(
            "Most visits stop on page %(stopped)s (%(visits)s); readers stay longest on page %(longest)s (median %(median)s)."
        )
        % said
    )


def _compared(curve: Curve) -> str:
    said = {"count": count(curve.others), "least": OTHERS_AT_LEAST, "most": OTHERS_AT_MOST}
    if curve.others >= OTHERS_AT_MOST:
        return _("Compared with the %(count)s most visited media of the same kind and a similar length.") % said
    if curve.is_compared:
        return _("Compared with %(count)s media of the same kind and a similar length.") % said
    return (
        _("Not compared: fewer than %(least)s other media of the same kind and a similar length were visited.") % said
    )


def download(curve: Curve, hub: str) -> StreamingHttpResponse:
    """Every page of the curve as CSV: parts between 0 and 1, times in milliseconds."""
    columns = columns_of(curve)
    heading = [_("Page"), *(str(column.title) for column in columns)]
    lines = ([page.number, *(column.value(page) for column in columns)] for page in curve.pages)
    return csv_file([heading, *lines], f"{hub}-media-pages.csv")
