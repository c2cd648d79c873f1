"""A second opinion on dissemination: the definition by the line of each node up to the root. Imports nothing of the project."""

from collections import Counter, deque
from typing import Any

Share = dict[str, Any]


def plain(events: list[Share]) -> dict[str, Any]:
    """Numbers of the tree of one media; an event has `at`, `id`, `action`, `share`, `via`, `network`, `visit`, `visitor`."""
    first: dict[str, Share] = {}
    for event in sorted(events, key=lambda event: (event["at"], event["id"])):
        if event["action"] == "share" and event["share"] and event["share"] not in first:
            first[event["share"]] = event
    parent = {token: parent_of(event, first) for token, event in first.items()}
    lines = {token: line(token, parent) for token in parent}
    arrived = [event for event in events if event["via"]]
    levels = Counter(len(one) - 1 for one in lines.values())
    readers: dict[str | None, set] = {token: set() for token in parent}
    for event in arrived:
        for token in lines.get(event["via"], [None])[:-1]:
            readers[token].add(event["visitor"])
    count = len(parent) + 1
    return {
        "shares": len(parent),
        "depth": max(levels, default=0),
        "breadth": max(levels.values(), default=0),
        "structural_virality": sum_of_distances(parent) / (count * (count - 1)) if parent else None,
        "arrivals": len({event["visit"] for event in arrived}),
        "reach": len({event["visitor"] for event in arrived}),
        "reproduction": sum(one is not None for one in parent.values()) / len(parent) if parent else None,
        "top": sorted(((len(found), token) for token, found in readers.items()), key=lambda one: (-one[0], one[1])),
    }


def sum_of_distances(parent: dict[str, str | None]) -> int:
    """Over all ordered pairs of nodes, the root included: what is in the line of the one and not of the other.

    That is both lines without what they share; a node is shared by each pair of those that have it in their line.
    """
    lines = [line(token, parent) for token in [None, *parent]]
    sharing = Counter(node for one in lines for node in one)
    return 2 * len(lines) * sum(map(len, lines)) - 2 * sum(count * count for count in sharing.values())


def sum_of_walks(parent: dict[str, str | None]) -> int:
    """The same by a walk from each node to each, which is beyond doubt and slow."""
    return sum(distance for node in [None, *parent] for distance in distances_from(node, parent).values())


def parent_of(event: Share, first: dict[str, Share]) -> str | None:
    earlier = first.get(event["via"])
    if earlier is None or (earlier["at"], earlier["id"]) >= (event["at"], event["id"]):
        return None
    return event["via"]


def line(token: str | None, parent: dict[str, str | None]) -> list[str | None]:
    """The token and its parents up to the root."""
    found = [token]
    while found[-1] is not None:
        found.append(parent[found[-1]])
    return found


def distances_from(node: str | None, parent: dict[str, str | None]) -> dict[str | None, int]:
    """The distance of every node, by a walk from neighbour to neighbour."""
    neighbours: dict[str | None, set] = {None: set()} | {token: set() for token in parent}
    for token, above in parent.items():
        neighbours[token].add(above)
        neighbours[above].add(token)
    found, waiting = {node: 0}, deque([node])
    while waiting:
        here = waiting.popleft()
        for other in neighbours[here] - found.keys():
            found[other] = found[here] + 1
            waiting.append(other)
    return found
