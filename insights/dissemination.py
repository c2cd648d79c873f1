"""How a media spread: the tree of its shares, from event rows alone.

Source of structural virality: Goel, Anderson, Hofman, Watts, "The Structural Virality of Online Diffusion",
Management Science 62(1), 2016: the mean distance between all pairs of nodes of the tree.
"""

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any, NamedTuple

from pyroaring import BitMap

SHARE = "share"
COLUMNS = ("occurred_at", "id", "action", "media", "share", "via", "network", "visit", "visitor")
"""The fields of an event that the tree is made of."""
LEVELS_AT_MOST = 400
"""Levels of a tree in JSON. Readers and writers of JSON, Python's too, stop at a depth, which is twice the levels."""


class Row(NamedTuple):
    """What of an event the tree needs; `occurred_at` in milliseconds, `visit` and `visitor` numbered within the hub."""

    occurred_at: int
    id: str
    action: str
    media: str | None
    share: str | None
    via: str | None
    network: str | None
    visit: int
    visitor: int


@dataclass(slots=True)
class Node:
    """A share token, or the media itself (the root, whose token is None).

    `at` is when it was shared first, `media` what was shared then. `visits` and `visitors` came by the token itself,
    `readers` by any token of its subtree, which has `size` nodes. `level` counts from the root.
    """

    share: str | None
    media: str | None = None
    network: str | None = None
    parent: "Node | None" = None
    at: int = 0
    children: "list[Node]" = field(default_factory=list)
    level: int = 0
    size: int = 1
    visits: BitMap = field(default_factory=BitMap)
    visitors: BitMap = field(default_factory=BitMap)
    readers: BitMap = field(default_factory=BitMap)


class Tree:
    """The tree of the shares in `rows`, which are in any order, and what can be told of it (DESIGN, section 8)."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._arrived = [row for row in rows if row.action == SHARE or row.via is not None]
        self.nodes = _nodes(
            sorted((row for row in self._arrived if row.action == SHARE and row.share is not None), key=_order)
        )
        """The root, and the nodes in the order of their first share, so that a parent stands before its children."""
        self.root, self.tokens = self.nodes[0], {node.share: node for node in self.nodes[1:]}
        self.visits, self.visitors = BitMap(), BitMap()
        for row in self._arrived:
            if row.via is None:
                continue
            self.visits.add(row.visit)
            self.visitors.add(row.visitor)
            if (node := self.tokens.get(row.via)) is not None:
                node.visits.add(row.visit)
                node.visitors.add(row.visitor)
        _sum_up(self.nodes)

    def numbers(self) -> dict[str, Any]:
        """Its key numbers; without shares they are 0, and those that divide by shares None."""
        shares, levels = len(self.tokens), self._levels()
        return {
            "shares": shares,
            "depth": len(levels),
            "breadth": max(map(len, levels), default=0),
            "structural_virality": _virality(self.nodes) if shares else None,
            "arrivals": len(self.visits),
            "reach": len(self.visitors),
            "reproduction": (shares - len(levels[0])) / shares if shares else None,
        }

    def networks(self) -> list[dict[str, Any]]:
        """What the nodes shared on each network brought, most shares first; shares that name none last of as many."""
        shared: dict[str | None, list[Node]] = defaultdict(list)
        for node in self.tokens.values():
            shared[node.network].append(node)
        found = [{"network": network} | _brought(of_network) for network, of_network in shared.items()]
        return sorted(found, key=lambda row: (-row["shares"], row["network"] is None, row["network"] or ""))

    def generations(self) -> list[dict[str, Any]]:
        """What the nodes of each level brought, from those that were shared from the media itself on: generation 1."""
        return [{"generation": level} | _brought(nodes) for level, nodes in enumerate(self._levels(), 1)]

    def growth(self, bounds: Sequence[int]) -> list[dict[str, int]]:
        """The nodes that were shared first, and the distinct visits that arrived, in each [bounds[n], bounds[n + 1])."""
        shares = [0] * (len(bounds) - 1)
        arrived = [BitMap() for _ in shares]
        for node in self.tokens.values():
            if bounds[0] <= node.at < bounds[-1]:
                shares[bisect_right(bounds, node.at) - 1] += 1
        for row in self._arrived:
            if row.via is not None and bounds[0] <= row.occurred_at < bounds[-1]:
                arrived[bisect_right(bounds, row.occurred_at) - 1].add(row.visit)
        return [{"shares": count, "arrivals": len(visits)} for count, visits in zip(shares, arrived, strict=True)]

    def time_to_reshare(self) -> float | None:
        """The median, over the nodes that were shared on, of the milliseconds from a share to the first of it."""
        delays = [min(child.at for child in node.children) - node.at for node in self.nodes[1:] if node.children]
        return median(delays) if delays else None

    def top(self) -> list[Node]:
        """The nodes by their readers, most first, ties by token."""
        return sorted(self.tokens.values(), key=lambda node: (-len(node.readers), node.share))

    @cached_property
    def first_at(self) -> int | None:
        """When its first event was."""
        return min((row.occurred_at for row in self._arrived), default=None)

    def answer(self, limit: int) -> dict[str, Any]:
        """All of it as JSON values; `top` and `tree` hold at most `limit` nodes besides the root, in LEVELS_AT_MOST."""
        return self.numbers() | {
            "networks": self.networks(),
            "top": [_shown(node) for node in self.top()[:limit]],
            "tree": _drawn(self.root, limit),
        }

    def _levels(self) -> list[list[Node]]:
        levels: list[list[Node]] = []
        for node in self.nodes[1:]:
            if node.level > len(levels):
                levels.append([])
            levels[node.level - 1].append(node)
        return levels


def _order(row: Row) -> tuple[int, str]:
    return row.occurred_at, row.id


def _nodes(shares: Sequence[Row]) -> list[Node]:
    """The root and the nodes in the order of their first share, so that a parent stands before its children."""
    root = Node(None)
    nodes = [root]
    known: dict[str | None, tuple[Node, str | None]] = {}
    for row in shares:
        if row.share in known:
            continue
        parent, media = known.get(row.via, (root, row.media)) if row.via is not None else (root, row.media)
        if media != row.media:
            parent = root
        node = Node(row.share, row.media, row.network, parent, row.occurred_at, level=parent.level + 1)
        parent.children.append(node)
        known[row.share] = (node, row.media)
        nodes.append(node)
    return nodes


def _sum_up(nodes: Sequence[Node]) -> None:
    """Sizes and readers of all subtrees, from the leaves up."""
    for node in reversed(nodes):
        node.readers |= node.visitors
        if node.parent is not None:
            node.parent.size += node.size
            node.parent.readers |= node.readers


def _virality(nodes: Sequence[Node]) -> float:
    """The mean distance over all pairs of nodes: each edge lies between the pairs that it parts."""
    count = len(nodes)
    apart = sum(node.size * (count - node.size) for node in nodes[1:])
    return apart / (count * (count - 1) / 2)


def _brought(nodes: Sequence[Node]) -> dict[str, int]:
    """How many nodes they are, and the distinct visits and visitors that came by one of them."""
    return {
        "shares": len(nodes),
        "arrivals": len(BitMap.union(*(node.visits for node in nodes))),
        "reach": len(BitMap.union(*(node.visitors for node in nodes))),
    }


def _shown(node: Node) -> dict[str, Any]:
    return {"share": node.share, "network": node.network, "readers": len(node.readers)}


def _drawn(root: Node, limit: int) -> dict[str, Any]:
    """The tree from the root, breadth first up to `limit` nodes and LEVELS_AT_MOST."""
    drawn = _shown(root) | {"children": []}
    waiting = deque([(root, drawn)])
    while waiting and limit:
        node, place = waiting.popleft()
        for child in node.children[:limit]:
            shown = _shown(child) | {"children": []}
            place["children"].append(shown)
            if child.level < LEVELS_AT_MOST:
                waiting.append((child, shown))
        limit -= len(place["children"])
    return drawn
