"""What to read next, as a page: what is popular now, what goes with each media, and how often that was followed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from babel.numbers import format_decimal
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from aggregations.buckets import moment_of
from events.models import Media
from insights.recommendations.day_ahead import FRESH, NEWEST, POPULARITY, RECENT
from insights.recommendations.followed import (
    FOLLOWED,
    FOLLOWED_HELD_OUT,
    LISTS_AT_LEAST,
    SHOWN,
    SHOWN_HELD_OUT,
    Group,
    uplift,
)
from insights.recommendations.model import AUDIENCE, Model, Shelf
from views_layer.ask import every_page, every_row
from views_layer.media import find
from views_layer.pages.downloads import csv_file
from views_layer.pages.panels import RECOMMENDATIONS
from views_layer.pages.rows import media_of
from views_layer.pages.selection import Selection
from views_layer.pages.trust import reliance
from views_layer.pages.viewer import Request, Viewer
from views_layer.pages.whole import Found, page_of
from views_layer.pages.wording import ABSENT_NUMBER, count, decimal, locale, percent, time_of_day
from views_layer.question import LIMIT
from views_layer.recommendations import Known, shelf_at

POPULAR_SHOWN = 10
MEDIA_SHOWN = 20
WITH_EACH = 5
KEYS_AT_ONCE = 200
"""Media of a file whose titles are read at once."""

MODEL_TEXTS: dict[str, str | Promise] = {
    "item_item": lazy("media that share readers, beside how many each has"),
    "bm25": lazy("media that share readers, where readers of few media say more"),
    "neighbours": lazy("media that share readers, where rare media and readers of few say more"),
    "ease": lazy("media that predict each other, weighed one against all others"),
    NEWEST: lazy("what is newest"),
    POPULARITY: lazy("what most visitors opened"),
    RECENT: lazy("what most visitors opened lately"),
}
"""What each candidate recommends, in words."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What a period says of lists: clicks and readers by (media where the list stood, media that it led to), the two
    groups, and the query and meta of the answer."""

    pairs: dict[tuple[str | None, str], tuple[int, int]]
    group: Group
    held_out: Group
    query: dict[str, Any]
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A recommended media. `bar` is its strength in percent of the best of its list."""

    label: str
    url: str
    bar: str
    note: str
    clicks: str
    readers: str


@page_of(RECOMMENDATIONS)
def recommendations(request: Request, viewer: Viewer, selection: Selection, now: datetime) -> Found:
    """The page, or its table as CSV."""
    shelf, known = shelf_at(viewer.hub, now)
    followed = _followed(selection, now)
    if request.GET.get("format") == "csv":
        return csv_file(_rows(shelf, followed, viewer), f"{viewer.hub.slug}-recommendations.csv")
    shown = reliance(followed.query, followed.meta, viewer, selection, now)
    shown |= {"audience": AUDIENCE, "is_empty": not shelf.visitors}
    if shelf.visitors:
        shown |= _page(request, viewer, shelf, followed, selection)
        shown |= {"model": _model(known, selection, now), "groups": _groups(followed)}
    return "recommendations", shown


def _followed(selection: Selection, now: datetime) -> Followed:
    """Raises QueryError."""
    asked = selection.unfiltered(metrics="clicks,visitors", by="target,media", limit=LIMIT, action="click")
    lists = selection.unfiltered(metrics="events", by="target", limit=LIMIT, action="feature")
    lists.setlist("target", [SHOWN, SHOWN_HELD_OUT])
    shown = {row["target"]: row["events"] for row in every_row(selection.hub, lists, now)}
    pairs: dict[tuple[str | None, str], tuple[int, int]] = {}
    held_out = 0
    page: dict[str, Any] = {}
    for page in every_page(selection.hub, asked, now):
        for row in page["results"]:
            target = row["target"] or ""
            if target.startswith(FOLLOWED):
                pairs[row["media"], target.removeprefix(FOLLOWED)] = (row["clicks"], row["visitors"])
            elif target.startswith(FOLLOWED_HELD_OUT):
                held_out += row["clicks"]
    clicks = sum(number for number, _readers in pairs.values())
    groups = (Group(shown.get(SHOWN, 0), clicks), Group(shown.get(SHOWN_HELD_OUT, 0), held_out))
    return Followed(pairs, *groups, page["query"], page["meta"])


def _page(request: Request, viewer: Viewer, shelf: Shelf, followed: Followed, selection: Selection) -> dict[str, Any]:
    search = request.GET.get("search", "").strip()
    keys, after = _keys(request, viewer, shelf, search)
    lists = {key: shelf.recommend([key], {key}, WITH_EACH) for key in keys}
    popular = shelf.recommend([], (), POPULAR_SHOWN)
    named = {row["media"] for row in (*popular, *(row for found in lists.values() for row in found))}
    media = media_of(viewer.hub, named | {*keys})
    url = viewer.url(RECOMMENDATIONS.name)
    of_search = {"search": search} if search else {}

    def link(key: str) -> str:
        return viewer.media_url(key) + selection.query(media=None) if key in media and viewer.media_url(key) else ""

    def line(row: dict[str, Any], source: str | None = None) -> Line:
        key = row["media"]
        clicks, readers = followed.pairs.get((source, key), (0, 0))
        return Line(
            label=_title(media, key),
            url=link(key),
            bar=f"{100 * row['score']:.1f}",
            note=_("popular") if source is not None and row["because"] is None else "",
            clicks=count(clicks) if clicks else ABSENT_NUMBER,
            readers=count(readers) if readers else ABSENT_NUMBER,
        )

    return {
        "popular": [line(row) for row in popular],
        "lists": [(_title(media, key), link(key), [line(row, key) for row in found]) for key, found in lists.items()],
        "media_count": count(len(shelf.visitors)),
        "search": search,
        "whole_url": url + selection.query(),
        "next_url": "" if after is None else url + selection.query(after=after, **of_search),
        "is_first": "after" not in request.GET,
        "first_url": url + selection.query(**of_search),
        "csv": url + selection.query(format="csv"),
    }


def _keys(request: Request, viewer: Viewer, shelf: Shelf, search: str) -> tuple[list[str], str | None]:
    """The media of a page, and the `after` of the next; None on the last one."""
    after = request.GET.get("after")
    if search:
        found = find(viewer.hub, search, MEDIA_SHOWN, after)
        return [media.key for media in found.media], found.after
    keys = _most_read_first(shelf)
    start = keys.index(after) + 1 if after in shelf.visitors else 0
    page = keys[start : start + MEDIA_SHOWN]
    return page, page[-1] if len(keys) > start + MEDIA_SHOWN else None


def _most_read_first(shelf: Shelf) -> list[str]:
    return sorted(shelf.visitors, key=lambda key: (-shelf.visitors[key], key))


def _title(media: dict[str, Media], key: str) -> str:
    return str(media.get(key, key))


def _model(known: Known, selection: Selection, now: datetime) -> dict[str, Any]:
    """How the lists are made, in words, with the scores where the hub has days enough to score them."""
    model: Model = known.model
    name = model.lists.removesuffix(FRESH)
    own, popular = model.of(model.lists), model.of(POPULARITY)
    return {
        "text": MODEL_TEXTS[name],
        "name": model.lists,
        "half_life": decimal(model.half_life) if model.half_life is not None else "",
        "trained_until": time_of_day(moment_of(known.until), now, selection.zone()),
        "score": _score(own["ndcg@10"]) if own and popular else "",
        "popular_score": _score(popular["ndcg@10"]) if own and popular else "",
        "questions": count(model.questions),
        "days": count(model.days),
    }


def _score(score: float) -> str:
    return format_decimal(score, "0.000", locale())


def _groups(followed: Followed) -> dict[str, Any]:
    """The two groups side by side, and what can be concluded, in words."""
    pairs = ((_("Recommendations"), followed.group), (_("What is popular instead"), followed.held_out))
    rows = [
        {
            "label": label,
            "shown": count(group.shown) if group.shown else ABSENT_NUMBER,
            "followed": count(group.followed) if group.followed else ABSENT_NUMBER,
            "rate": ABSENT_NUMBER if group.rate is None else percent(group.rate, 1),
        }
        for label, group in pairs
    ]
    is_used = any(group.shown or group.followed for _label, group in pairs)
    return {"rows": rows, "is_used": is_used, "verdict": _verdict(followed)}


def _verdict(followed: Followed) -> str:
    if min(followed.group.shown, followed.held_out.shown) < LISTS_AT_LEAST:
        return _("Too early to compare: each group needs %(count)s lists shown in this period.") % {
            "count": count(LISTS_AT_LEAST)
        }
    found = uplift(followed.group, followed.held_out)
    if found is None:
        return _("Nobody followed what is popular in this period, so there is nothing to compare with.")
    text = {"part": percent(abs(found.part))}
    if found.part >= 0:
        verdict = _("Recommendations were followed %(part)s more often than what is popular.") % text
    else:
        verdict = _("Recommendations were followed %(part)s less often than what is popular.") % text
    return f"{verdict} " + _("With so few clicks this may be chance.") if found.may_be_chance else verdict


def _rows(shelf: Shelf, followed: Followed, viewer: Viewer) -> Iterator[list]:
    """Each media with its list, those most read first; then what was followed of lists that have changed since."""
    yield [
        *(_("Media"), _("Title"), _("Place"), _("Recommended media"), _("Title of the recommended media")),
        *(_("Strength"), _("Clicks"), _("Readers")),
    ]
    left = dict(followed.pairs)
    keys = _most_read_first(shelf)
    for start in range(0, len(keys), KEYS_AT_ONCE):
        lists = {key: shelf.recommend([key], {key}, WITH_EACH) for key in keys[start : start + KEYS_AT_ONCE]}
        media = media_of(viewer.hub, {*lists, *(row["media"] for found in lists.values() for row in found)})
        for key, found in lists.items():
            for place, row in enumerate(found, 1):
                other = row["media"]
                clicks, readers = left.pop((key, other), (0, 0))
                titles = (_title(media, key), _title(media, other))
                yield [key, titles[0], place, other, titles[1], row["score"], clicks, readers]
    for (source, other), (clicks, readers) in sorted(left.items(), key=lambda pair: (-pair[1][0], str(pair[0]))):
        media = media_of(viewer.hub, {other, *([source] if source else [])})
        of_source = _title(media, source) if source else None
        yield [source, of_source, None, other, _title(media, other), None, clicks, readers]
