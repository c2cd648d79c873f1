"""Cards about whole visits, which no sum of events tells: what they show, and how each is made and written as CSV."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.http import StreamingHttpResponse

from views_layer.ask import answer as ask
from views_layer.pages.selection import Selection
from views_layer.pages.wording import count, dated, share


@dataclass(frozen=True, slots=True)
class Line:
    """Visits of one kind. `share` is their part of the whole, `bar` the width of their bar in percent."""

    label: str
    visits: str
    share: str
    bar: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The lines, none where there is no visit; a sentence about them; since when raw events are kept.

    `query` and `meta` are those of an answer about the same visits.
    """

    rows: list[Line]
    summary: str
    since: str
    query: dict
    meta: dict


@dataclass(frozen=True, slots=True)
class Card:
    """How a card is made, and its CSV by the name of its file. Both raise QueryError."""

    shown: Callable[[Selection, datetime], Shown]
    download: Callable[[Selection, datetime, str], StreamingHttpResponse]


def line(label: str, visits: int, whole: int, most: int) -> Line:
    """A line of `visits` among `whole`, beside a longest of `most`."""
    return Line(label, count(visits), share(visits, whole), f"{100 * visits / most:.2f}")


def shown_of(selection: Selection, rows: list[Line], summary: str, since: datetime | None, now: datetime) -> Shown:
    """A card with these lines. Raises QueryError."""
    answer = ask(selection.hub, selection.asked(["visits"], now), now)
    kept = dated(since.astimezone(selection.zone()), "d MMM y, HH:mm") if rows and since else ""
    return Shown(rows, summary, kept, answer["query"], answer["meta"])
