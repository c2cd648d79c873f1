"""How media spread, as a page: key numbers, growth, generations, networks, spreaders, and the tree drawn."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.utils.translation import ngettext

from aggregations.buckets import moment_of
from insights.dissemination import Node, Tree
from views_layer.ask import answer as ask
from views_layer.ask import utc
from views_layer.insights import Spread, spread
from views_layer.pages.downloads import csv_file
from views_layer.pages.figures import bucket_label, bucket_tick
from views_layer.pages.panels import DISSEMINATION
from views_layer.pages.rows import media_of
from views_layer.pages.selection import INTERVALS, Choice, Selection
from views_layer.pages.trust import reliance
from views_layer.pages.viewer import Request, Viewer
from views_layer.pages.whole import Found, page_of
from views_layer.pages.wording import ABSENT_NUMBER, count, decimal, percent, time_of_day, time_spent, value_of
from views_layer.period import boundaries
from views_layer.question import QueryError

MEDIA_SHOWN = 50
ROWS_SHOWN = 20
CHILDREN_SHOWN = 20
"""Of a node; more are fetched, a part at a time."""
LEVELS_OPEN = 2
"""Levels that are drawn at once; what lies below is fetched when it is opened."""
NODES_LISTED = 500
"""Rows of the table behind the tree; its CSV has all."""
BUCKETS_AT_MOST = 800

NUMBERS = {
    "shares": (lazy("Shares"), lazy("Links that readers shared: each counts once, however often it was passed on.")),
    "arrivals": (lazy("Arrivals"), lazy("Visits that came by a shared link.")),
    "reach": (lazy("Reach"), lazy("Visitors who came by a shared link.")),
    "reproduction": (lazy("Shared on"), lazy("The part of the shares that were made by a reader who came by a share.")),
    "depth": (lazy("Depth"), lazy("The longest chain from reader to reader.")),
    "breadth": (lazy("Breadth"), lazy("The most shares in one generation.")),
    "structural_virality": (
        lazy("Structural virality"),
        lazy("The mean distance between two points of the tree: 2 where one source is shared by many, more where readers pass it on."),
    ),
    "time_to_reshare": (
        lazy("Time to the first re-share"),
        lazy("From a share to the first share by a reader whom it brought: the median over the shares that were shared on."),
    ),
}  # fmt: skip
"""Key numbers, in order: title and definition."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A node as drawn: `children` are None where they are fetched when it is opened, `more_url` leads to further ones.

    `label` says how, when and what was shared. `bar` is the width of the bar of its readers in percent of the root's.
    """

    token: str
    label: str
    readers: str
    size: int
    bar: str
    url: str
    children: "list[Leaf] | None"
    more_url: str
    more: str


@dataclass(frozen=True, slots=True)
class Words:
    """What the label of a node is made of: the titles of the media, which it names unless all nodes are of one."""

    names_media: bool
    titles: dict[str, str]
    now: datetime
    zone: ZoneInfo

    def label(self, node: Node) -> str:
        """The network, the local time and the media of a share; empty for the root."""
        if node.share is None:
            return ""
        told = [value_of("network", node.network), self.time(node)]
        if self.names_media:
            told.append(self.media(node))
        return " · ".join(told)

    def time(self, node: Node) -> str:
        return time_of_day(moment_of(node.at), self.now, self.zone)

    def media(self, node: Node) -> str:
        return self.titles.get(node.media, node.media) if node.media else value_of("media", None)


def _words(nodes: Iterable[Node], selection: Selection, now: datetime) -> Words:
    """The words for some nodes, in one query."""
    names_media = len(selection.filters.get("media", [])) != 1
    keys = {node.media for node in nodes if node.media} if names_media else set()
    titles = {key: str(media) for key, media in media_of(selection.hub, keys).items()}
    return Words(names_media, titles, now, selection.zone())


@page_of(DISSEMINATION)
def dissemination(request: Request, viewer: Viewer, selection: Selection, now: datetime) -> Found:
    """The page, a part of its tree as a fragment, or one of its tables as CSV."""
    found = _spread(selection, now)
    if request.GET.get("format") == "csv":
        return _download(request.GET.get("table", ""), found, selection, now)
    if request.htmx and "branch" in request.GET:
        return _branch(request, found.tree, viewer.url(DISSEMINATION.name), selection, now)
    return "dissemination", _page(request, viewer, found, selection, now)


def _spread(selection: Selection, now: datetime) -> Spread:
    """The tree of the media chosen; of all media where none is, or several. Raises QueryError."""
    media = selection.filters.get("media", [])
    return spread(selection.hub, selection.unfiltered(**({"media": media[0]} if len(media) == 1 else {})), now)


def _page(request: Request, viewer: Viewer, found: Spread, selection: Selection, now: datetime) -> dict[str, Any]:
    tree = found.tree
    url = viewer.url(DISSEMINATION.name)
    interval = _interval(found, selection, now)
    growth = _growth(found, interval, selection, now)
    branch = _node(tree, request.GET.get("branch", ""))
    start = _known_start(found)
    query = {"from": utc(moment_of(start)), "to": utc(moment_of(found.end))}
    top = tree.top()
    listed = tree.nodes[1 : NODES_LISTED + 1]
    words = _words([*top[:ROWS_SHOWN], *listed, *_drawn(branch, LEVELS_OPEN)], selection, now)
    return reliance(query, found.meta, viewer, selection, now) | {
        "url": url,
        "media": _media(selection, now),
        "unused": [name for name in selection.chosen if name != "media"],
        "figures": _figures(tree),
        "growth": growth,
        "growth_summary": _growth_summary(growth),
        "intervals": [
            Choice(str(INTERVALS[name]), selection.query(interval=name), name == interval, name)
            for name in selection.intervals(now)
        ],
        "generations": [_texts(row, "generation") for row in tree.generations()],
        "networks": [
            _texts(row, "network") | {"label": value_of("network", row["network"])} for row in tree.networks()
        ],
        "spreaders": [_leaf(node, tree, url, selection, words, 0) for node in top[:ROWS_SHOWN]],
        "spreader_count": count(len(top)),
        "root": _leaf(branch, tree, url, selection, words, LEVELS_OPEN),
        "is_branch": branch is not tree.root,
        "whole_url": url + selection.query(),
        "names_media": words.names_media,
        "nodes": [_row(node, words) for node in listed],
        "node_count": len(tree.tokens),
        "nodes_listed": NODES_LISTED,
        "csv": {name: url + selection.query(format="csv", table=name) for name in TABLES},
    }


def _known_start(found: Spread) -> int:
    """Where the range begins; of all time, at the first event."""
    first = found.tree.first_at
    return found.start or (found.end - 1 if first is None else first)


def _media(selection: Selection, now: datetime) -> list[Choice]:
    """All media, and those that were shared most in the period."""
    asked = selection.unfiltered(metrics="shares", by="media", order="-shares", limit=MEDIA_SHOWN, action="share")
    shared = [row for row in ask(selection.hub, asked, now)["results"] if row["media"] is not None]
    chosen = selection.filters.get("media", [])
    current = chosen[0] if len(chosen) == 1 else ""
    keys = list(dict.fromkeys([*(row["media"] for row in shared), *([current] if current else [])]))
    counts = {row["media"]: count(row["shares"]) for row in shared}
    titles = {key: str(media) for key, media in media_of(selection.hub, keys).items()}
    return [
        Choice(_("All media"), selection.query(media=None), not current),
        *(
            Choice(titles.get(key, key), selection.query(media=[key]), key == current, counts.get(key, ""))
            for key in keys
        ),
    ]


def _figures(tree: Tree) -> list[dict[str, Any]]:
    values = tree.numbers() | {"time_to_reshare": tree.time_to_reshare()}
    return [
        {"name": name, "title": title, "definition": definition, "text": _text(name, values[name])}
        for name, (title, definition) in NUMBERS.items()
    ]


def _text(name: str, value: float | None) -> str:
    if value is None:
        return ABSENT_NUMBER
    if name == "time_to_reshare":
        return time_spent(value)
    if name == "reproduction":
        return percent(value, 1)
    return decimal(value) if name == "structural_virality" else count(value)


def _interval(found: Spread, selection: Selection, now: datetime) -> str:
    """The interval asked for, or the next longer one of which there are not too many."""
    days = (found.end - _known_start(found)) / 86_400_000
    fitting = {"hour": days * 24, "day": days, "week": days / 7, "month": 0}
    names = [*INTERVALS]
    asked = selection.interval(now)
    if asked not in INTERVALS:
        raise QueryError("invalid_interval", f"interval {asked!r} is unknown; use {', '.join(INTERVALS)}.", "interval")
    return next(name for name in names[names.index(asked) :] if fitting[name] <= BUCKETS_AT_MOST)


def _growth(found: Spread, interval: str, selection: Selection, now: datetime) -> list[dict[str, Any]]:
    """Shares and arrivals of each bucket that has begun."""
    zone = selection.zone()
    bounds = boundaries(_known_start(found), found.end, interval, zone)
    starts = [moment_of(at).astimezone(zone) for at in bounds[:-1]]
    many_days = interval == "hour" and len({start.date() for start in starts}) > 1
    return [
        {
            "time": start,
            "label": bucket_label(start, interval),
            "tick": bucket_tick(start, interval, many_days),
            "cells": [{"name": name, "value": row[name], "text": count(row[name])} for name in ("shares", "arrivals")],
        }
        for start, row in zip(starts, found.tree.growth(bounds), strict=True)
        if start <= now
    ]


def _growth_summary(growth: list[dict[str, Any]]) -> str:
    shares, arrivals = (sum(bucket["cells"][place]["value"] for bucket in growth) for place in (0, 1))
    if not shares + arrivals:
        return _("Nothing was shared in this period.")
    most = max(growth, key=lambda bucket: sum(cell["value"] for cell in bucket["cells"]))
    return _("%(shares)s shares; most happened on %(bucket)s.") % {"shares": count(shares), "bucket": most["label"]}


def _texts(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {name: row[name]} | {key: count(row[key]) for key in ("shares", "arrivals", "reach")}


def _node(tree: Tree, token: str) -> Node:
    """The node of a token; the root for the empty one. Raises Http404."""
    node = tree.tokens.get(token) if token else tree.root
    if node is None:
        raise Http404(_("Nobody shared %(token)s in this period.") % {"token": token})
    return node


def _children(node: Node, after: int = 0) -> list[Node]:
    """The children of a node that are shown from `after` on, those with most shares below them first."""
    children = sorted(node.children, key=lambda child: (-child.size, child.at, child.share))
    return children[after : after + CHILDREN_SHOWN]


def _drawn(node: Node, levels: int, after: int = 0) -> Iterator[Node]:
    """A node and those that are shown below it, for some levels down."""
    yield node
    for child in _children(node, after) if levels > 0 else ():
        yield from _drawn(child, levels - 1)


def _leaf(node: Node, tree: Tree, url: str, selection: Selection, words: Words, levels: int, after: int = 0) -> Leaf:
    """A node with its children for some levels down."""
    whole = len(tree.root.readers)
    shown = _children(node, after)
    left = len(node.children) - after - len(shown)
    return Leaf(
        token=node.share or "",
        label=words.label(node),
        readers=_counted_readers(len(node.readers)),
        size=node.size - 1,
        bar=f"{100 * len(node.readers) / whole:.1f}" if whole else "0",
        url=url + selection.query(branch=node.share) if node.share else url + selection.query(),
        children=[_leaf(child, tree, url, selection, words, levels - 1) for child in shown] if levels > 0 else None,
        more_url=url + selection.query(branch=node.share or "", after=str(after + CHILDREN_SHOWN)) if left > 0 else "",
        more=ngettext("%(count)s more share", "%(count)s more shares", left) % {"count": count(left)},
    )


def _counted_readers(readers: int) -> str:
    return ngettext("%(count)s reader", "%(count)s readers", readers) % {"count": count(readers)}


def _branch(request: Request, tree: Tree, url: str, selection: Selection, now: datetime) -> HttpResponse:
    """The children of a node, from `after` on, as a fragment."""
    after = request.GET.get("after", "0")
    if not (after.isascii() and after.isdecimal() and len(after) < 9):
        raise Http404(f"after {after!r} is not a whole number.")
    node = _node(tree, request.GET["branch"])
    words = _words(_drawn(node, 1, int(after)), selection, now)
    leaf = _leaf(node, tree, url, selection, words, 1, int(after))
    return render(request, "pages/twigs.html" if int(after) else "pages/leaves.html", {"leaf": leaf})


def _row(node: Node, words: Words) -> dict[str, Any]:
    """A row of the table behind the tree."""
    return {
        "time": words.time(node),
        "media": words.media(node),
        "share": node.share,
        "parent": (node.parent.share if node.parent else None) or "",
        "network": value_of("network", node.network),
        "generation": node.level,
        "below": count(node.size - 1),
        "arrivals": count(len(node.visits)),
        "readers": count(len(node.readers)),
    }


def _download(name: str, found: Spread, selection: Selection, now: datetime) -> HttpResponseBase:
    """Every row of a table. Raises Http404 for one that there is not."""
    if name not in TABLES:
        raise Http404(f"There is no table {name!r}; use {', '.join(TABLES)}.")
    return csv_file(TABLES[name](found, selection, now), f"{selection.hub.slug}-dissemination-{name}.csv")


def _growth_rows(found: Spread, selection: Selection, now: datetime) -> Iterator[list]:
    yield [_("Time"), _("Shares"), _("Arrivals")]
    for bucket in _growth(found, _interval(found, selection, now), selection, now):
        yield [bucket["time"].isoformat(), *(cell["value"] for cell in bucket["cells"])]


def _generation_rows(found: Spread, selection: Selection, now: datetime) -> Iterator[list]:
    yield [_("Generation"), _("Shares"), _("Arrivals"), _("Reach")]
    for row in found.tree.generations():
        yield [row["generation"], row["shares"], row["arrivals"], row["reach"]]


def _network_rows(found: Spread, selection: Selection, now: datetime) -> Iterator[list]:
    yield [_("Network"), _("Shares"), _("Arrivals"), _("Reach")]
    for row in found.tree.networks():
        yield [row["network"], row["shares"], row["arrivals"], row["reach"]]


def _tree_rows(found: Spread, selection: Selection, now: datetime) -> Iterator[list]:
    zone = selection.zone()
    yield [
        _("Shared link"),
        _("Shared by way of"),
        _("Time"),
        _("Media"),
        _("Network"),
        _("Generation"),
        _("Shares below"),
        _("Arrivals"),
        _("Readers"),
    ]
    for node in found.tree.nodes[1:]:
        parent = node.parent.share if node.parent else None
        yield [node.share, parent, *_shared(node, zone), node.level, node.size - 1, len(node.visits), len(node.readers)]


def _spreader_rows(found: Spread, selection: Selection, now: datetime) -> Iterator[list]:
    zone = selection.zone()
    yield [_("Shared link"), _("Time"), _("Media"), _("Network"), _("Generation"), _("Shares below"), _("Readers")]
    for node in found.tree.top():
        yield [node.share, *_shared(node, zone), node.level, node.size - 1, len(node.readers)]


def _shared(node: Node, zone: ZoneInfo) -> list[str | None]:
    """When, what and where a node was shared first, as cells of a file."""
    return [moment_of(node.at).astimezone(zone).isoformat(), node.media, node.network]


TABLES = {
    "growth": _growth_rows,
    "generations": _generation_rows,
    "networks": _network_rows,
    "spreaders": _spreader_rows,
    "tree": _tree_rows,
}
"""What can be had as CSV."""
