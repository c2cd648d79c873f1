"""The tree of shares: by hand, and against a second opinion."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from insights.dissemination import Row, Tree
from tests.plain_tree import parent_of, plain, sum_of_distances, sum_of_walks


def share(at: int, token: str | None, via: str | None = None, network: str | None = None, **fields: Any) -> Row:
    return row(at, "share", token, via, network, **fields)


def view(at: int, via: str | None, visitor: int, **fields: Any) -> Row:
    return row(at, "view", None, via, visitor=visitor, **fields)


def row(at, action, token, via, network=None, media="cat-1", visitor=0, visit=None, name=None) -> Row:
    return Row(at, name or f"e{at}", action, media, token, via, network, visit or visitor, visitor)


BY_HAND = [
    share(1, "a", network="linkedin", visitor=1),
    view(2, "a", 2),
    share(3, "b", via="a", network="mail", visitor=2),
    view(4, "b", 3),
    share(5, "c", via="b", network="linkedin", visitor=3),
    share(6, "d", visitor=4),
    view(7, "unknown", 5),
    view(8, None, 6),
]
"""The media → a → b → c, and the media → d. Readers 2 and 3 came by a and b, 5 by a token that nobody shared."""


def test_it_tells_a_tree_made_by_hand() -> None:
    assert Tree(BY_HAND).answer(limit=10) == {
        "shares": 4,
        "depth": 3,
        "breadth": 2,
        # Pairs: media-a 1, media-b 2, media-c 3, media-d 1, a-b 1, a-c 2, a-d 2, b-c 1, b-d 3, c-d 4.
        "structural_virality": 2.0,
        "arrivals": 3,
        "reach": 3,
        "reproduction": 0.5,
        "networks": [
            {"network": "linkedin", "shares": 2, "arrivals": 1, "reach": 1},
            {"network": "mail", "shares": 1, "arrivals": 1, "reach": 1},
            {"network": None, "shares": 1, "arrivals": 0, "reach": 0},
        ],
        "top": [
            {"share": "a", "network": "linkedin", "readers": 2},
            {"share": "b", "network": "mail", "readers": 1},
            {"share": "c", "network": "linkedin", "readers": 0},
            {"share": "d", "network": None, "readers": 0},
        ],
        "tree": {
            "share": None,
            "network": None,
            "readers": 2,
            "children": [
                {
                    "share": "a",
                    "network": "linkedin",
                    "readers": 2,
                    "children": [
                        {
                            "share": "b",
                            "network": "mail",
                            "readers": 1,
                            "children": [{"share": "c", "network": "linkedin", "readers": 0, "children": []}],
                        }
                    ],
                },
                {"share": "d", "network": None, "readers": 0, "children": []},
            ],
        },
    }


def test_it_has_numbers_without_shares() -> None:
    assert Tree([view(1, "unknown", 1), view(2, None, 2)]).answer(limit=10) == {
        "shares": 0,
        "depth": 0,
        "breadth": 0,
        "structural_virality": None,
        "arrivals": 1,
        "reach": 1,
        "reproduction": None,
        "networks": [],
        "top": [],
        "tree": {"share": None, "network": None, "readers": 0, "children": []},
    }


def parents(rows: list[Row]) -> dict[str, str | None]:
    """The parent of each token in the tree that is drawn."""
    found: dict[str, str | None] = {}
    waiting = [Tree(rows).answer(limit=100)["tree"]]
    for node in waiting:
        found |= {child["share"]: node["share"] for child in node["children"]}
        waiting += node["children"]
    return found


def test_a_token_belongs_to_its_first_share() -> None:
    assert parents([share(1, "a"), share(2, "b"), share(3, "c", via="b"), share(2, "c", via="a", name="e0")]) == {
        "a": None,
        "b": None,
        "c": "a",
    }


def test_a_token_is_no_child_of_itself_nor_of_a_later_one() -> None:
    assert parents([share(1, "a", via="a"), share(2, "b", via="c"), share(3, "c", via="b")]) == {
        "a": None,
        "b": None,
        "c": "b",
    }


def test_a_token_of_another_media_is_no_parent() -> None:
    assert parents([share(1, "a"), share(2, "b", via="a", media="cat-2")]) == {"a": None, "b": None}


def test_the_tree_is_drawn_breadth_first_up_to_the_limit() -> None:
    tree = Tree(BY_HAND).answer(limit=3)["tree"]
    assert [(node["share"], [child["share"] for child in node["children"]]) for node in tree["children"]] == [
        ("a", ["b"]),
        ("d", []),
    ]


def test_it_tells_generations_by_hand() -> None:
    assert Tree(BY_HAND).generations() == [
        {"generation": 1, "shares": 2, "arrivals": 1, "reach": 1},
        {"generation": 2, "shares": 1, "arrivals": 1, "reach": 1},
        {"generation": 3, "shares": 1, "arrivals": 0, "reach": 0},
    ]


def test_it_grows_by_first_shares_and_arrivals_in_half_open_buckets() -> None:
    rows = [*BY_HAND, share(6, "a", visitor=9)]
    assert Tree(rows).growth([1, 3, 5, 7]) == [
        {"shares": 1, "arrivals": 1},
        {"shares": 1, "arrivals": 2},
        {"shares": 2, "arrivals": 1},
    ]
    assert Tree(rows).growth([2, 4]) == [{"shares": 1, "arrivals": 1}]


def test_the_time_to_a_re_share_is_the_median_over_what_was_shared_on() -> None:
    rows = [share(0, "a"), share(10, "b", via="a"), share(14, "c", via="a"), share(40, "d", via="b"), share(99, "e")]
    assert Tree(rows).time_to_reshare() == 20, "a took 10, b 30"
    assert Tree([share(0, "a"), share(99, "e")]).time_to_reshare() is None


def test_generations_add_up_to_the_tree() -> None:
    tree = Tree(BY_HAND)
    assert sum(one["shares"] for one in tree.generations()) == tree.numbers()["shares"]
    assert len(tree.generations()) == tree.numbers()["depth"]


TOKENS = st.sampled_from(["a", "b", "c", "d", "e", None])
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.integers(0, 6),
            "action": st.sampled_from(["share", "share", "view"]),
            "share": TOKENS,
            "via": TOKENS,
            "network": st.sampled_from(["x", None]),
            "visit": st.integers(1, 5),
            "visitor": st.integers(1, 4),
        }
    ),
    max_size=14,
)


@given(EVENTS, st.randoms(use_true_random=False))
def test_it_agrees_with_a_second_opinion_in_any_order(events: list[dict], chance) -> None:
    events = [event | {"id": str(number)} for number, event in enumerate(events)]
    rows = [
        Row(
            event["at"],
            event["id"],
            event["action"],
            "cat-1",
            event["share"] if event["action"] == "share" else None,
            event["via"],
            event["network"],
            event["visit"],
            event["visitor"],
        )
        for event in events
    ]
    chance.shuffle(rows)
    found = Tree(rows).answer(limit=100)
    found["top"] = [(node["readers"], node["share"]) for node in found["top"]]
    expected = plain(events)
    assert {name: found[name] for name in expected} == expected


@given(EVENTS)
def test_the_second_opinion_measures_distances_as_walks_do(events: list[dict]) -> None:
    shared = [event | {"id": str(number)} for number, event in enumerate(events) if event["share"]]
    first = {
        event["share"]: event for event in sorted(shared, key=lambda event: (event["at"], event["id"]), reverse=True)
    }
    parent = {token: parent_of(event, first) for token, event in first.items()}
    assert sum_of_distances(parent) == sum_of_walks(parent)
