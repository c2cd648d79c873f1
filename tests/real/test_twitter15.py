"""Every one of 1,490 real trees of shares, with their dirt, against a second opinion."""

import csv
import gzip
import zlib
from itertools import groupby

import pytest

from insights.dissemination import Row, Tree
from tests.plain_tree import plain
from tests.real.folder import DATA

EDGES = DATA / "twitter15/edges.tsv.gz"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not EDGES.exists(), reason=f"there is no {EDGES}")]


def trees() -> dict[str, list[dict]]:
    """By root: a share of each line's child, at its delay, by the parent; a line is an event of its own."""
    with gzip.open(EDGES, "rt") as file:
        lines = csv.DictReader(file, delimiter="\t")
        return {root: [_event(line) for line in part] for root, part in groupby(lines, lambda line: line["root_tweet"])}


def _event(line: dict[str, str]) -> dict:
    return {
        "at": round(float(line["child_delay_min"]) * 60_000),
        "id": line["line"].zfill(6),
        "action": "share",
        "share": line["child_tweet"],
        "via": None if line["parent_tweet"] == "ROOT" else line["parent_tweet"],
        "network": "twitter",
        "visit": zlib.crc32(line["child_tweet"].encode()),
        "visitor": zlib.crc32(line["child_user"].encode()),
    }


def _row(event: dict) -> Row:
    names = ("share", "via", "network", "visit", "visitor")
    return Row(event["at"], event["id"], "share", "root", *(event[name] for name in names))


def test_every_tree_is_that_of_the_second_opinion() -> None:
    found = trees()
    assert len(found) == 1490
    wrong = {}
    for root, events in found.items():
        tree, expected = Tree(map(_row, events)).answer(limit=10_000), plain(events)
        tree["top"] = [(node["readers"], node["share"]) for node in tree["top"]]
        tree["structural_virality"] = pytest.approx(tree["structural_virality"])
        if any(tree[name] != expected[name] for name in expected):
            wrong[root] = expected
    assert wrong == {}
    assert max(map(len, found.values())) > 2_900
