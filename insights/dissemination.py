"""How a media spread: the tree of its shares, from event rows alone.

Source of structural virality: Goel, Anderson, Hofman, Watts, "The Structural Virality of Online Diffusion",
Management Science 62(1), 2016: the mean distance between all pairs of nodes of the tree.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pyroaring import BitMap

SHARE = "share"
COLUMNS = ("occurred_at", "id", "action", "media", "share", "via", "network", "visit", "visitor")
"""The fields of an event that the tree is made of."""


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

    `visits` and `visitors` came by the token itself, `readers` by any token of its subtree. `level` counts from the root.
    """

    share: str | None
    network: str | None = None
    parent: "Node | None" = None
    children: "list[Node]" = field(default_factory=list)
    level: int = 0
    size: int = 1
    visits: BitMap = field(default_factory=BitMap)
    visitors: BitMap = field(default_factory=BitMap)
    readers: BitMap = field(default_factory=BitMap)


def disseminate(rows: Iterable[Row], limit: int) -> dict[str, Any]:
    """The tree of the shares in `rows`, in any order, and its numbers (DESIGN, section 8).

    `top` and `tree` hold at most `limit` nodes besides the root.
    """
    arrived = [row for row in rows if row.action == SHARE or row.via is not None]
    nodes = _tree(sorted((row for row in arrived if row.action == SHARE and row.share is not None), key=_order))
    root, tokens = nodes[0], {node.share: node for node in nodes[1:]}
    visits, visitors = BitMap(), BitMap()
    for row in arrived:
        if row.via is None:
            continue
        visits.add(row.visit)
        visitors.add(row.visitor)
        if (node := tokens.get(row.via)) is not None:
            node.visits.add(row.visit)
            node.visitors.add(row.visitor)
    _sum_up(nodes)
    shares = len(tokens)
    levels: dict[int, int] = defaultdict(int)
    for node in tokens.values():
        levels[node.level] += 1
    return {
        "shares": shares,
        "depth": max(levels, default=0),
        "breadth": max(levels.values(), default=0),
        "structural_virality": _virality(nodes) if shares else None,
        "arrivals": len(visits),
        "reach": len(visitors),
        "reproduction": (shares - levels[1]) / shares if shares else None,
        "networks": _networks(tokens.values()),
        "top": [_shown(node) for node in _top(tokens.values())[:limit]],
        "tree": _drawn(root, limit),
    }


def _order(row: Row) -> tuple[int, str]:
    return row.occurred_at, row.id


def _tree(shares: Sequence[Row]) -> list[Node]:
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
        node = Node(row.share, row.network, parent, level=parent.level + 1)
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


def _networks(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    """What the nodes shared on each network brought, most shares first; shares that name none last of as many."""
    shared: dict[str | None, list[Node]] = defaultdict(list)
    for node in nodes:
        shared[node.network].append(node)
    found = [
        {
            "network": network,
            "shares": len(of_network),
            "arrivals": len(BitMap.union(*(node.visits for node in of_network))),
            "reach": len(BitMap.union(*(node.visitors for node in of_network))),
        }
        for network, of_network in shared.items()
    ]
    return sorted(found, key=lambda row: (-row["shares"], row["network"] is None, row["network"] or ""))


def _top(nodes: Iterable[Node]) -> list[Node]:
    return sorted(nodes, key=lambda node: (-len(node.readers), node.share))


def _shown(node: Node) -> dict[str, Any]:
    return {"share": node.share, "network": node.network, "readers": len(node.readers)}


def _drawn(root: Node, limit: int) -> dict[str, Any]:
    """The tree from the root, breadth first up to `limit` nodes."""
    drawn = _shown(root) | {"children": []}
    waiting = deque([(root, drawn)])
    while waiting and limit:
        node, place = waiting.popleft()
        for child in node.children[:limit]:
            shown = _shown(child) | {"children": []}
            place["children"].append(shown)
            waiting.append((child, shown))
        limit -= len(place["children"])
    return drawn
