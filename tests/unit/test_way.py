"""The way of visits from opened to read to acted."""

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from events.catalogue import forget
from events.models import Hub
from tests.caches import renew
from tests.customer import customer_of
from tests.unit.test_media_page import imported, lines
from views_layer.way import Way, way

Event = tuple[int, str, str | None, int | None, int]


def found(*events: Event) -> Way:
    visit, action, media, page, spent = zip(*events, strict=True) if events else ((),) * 5
    return way(
        pa.table({
            "visit": pa.array(visit, pa.int64()),
            "action": pa.array(action, pa.string()),
            "media": pa.array(media, pa.string()),
            "page": pa.array(page, pa.int32()),
            "duration_ms": pa.array(spent, pa.int64()),
        })
    )  # fmt: skip


def opened(visit: int) -> Event:
    return (visit, "view", "cat-1", None, 0)


def test_each_step_is_a_part_of_the_one_before() -> None:
    told = found(
        opened(1), (1, "read", "cat-1", 2, 0), (1, "share", "cat-1", None, 0),
        opened(2), (2, "read", "cat-1", 1, 4_000), (2, "read", "cat-1", 1, 6_000),
        opened(3), (3, "read", "cat-1", 1, 9_999),
        opened(4), (4, "download", "cat-1", None, 0),
        (5, "read", "cat-1", 7, 60_000), (5, "click", None, None, 0),
    )  # fmt: skip
    assert told == Way(opened=4, read=2, acted=1, acted_only=1, since=None)


def test_a_view_of_no_media_opens_none_and_a_feature_is_no_act() -> None:
    assert found((1, "view", None, None, 60_000), (1, "share", None, None, 0)) == Way(0, 0, 0, 0, None)
    assert found(opened(1), (1, "feature", "cat-1", None, 60_000)) == Way(1, 1, 0, 0, None)


def test_without_events_nobody_goes() -> None:
    assert found() == Way(0, 0, 0, 0, None)


EVENT = st.tuples(
    st.integers(1, 4),
    st.sampled_from(["view", "read", "feature", "share", "applaud"]),
    st.sampled_from([None, "cat-1"]),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([0, 4_000, 6_000, 10_000]),
)


@given(st.lists(EVENT, max_size=20))
def test_it_is_what_counting_by_hand_gives(events: list[Event]) -> None:
    steps = {"opened": 0, "read": 0, "acted": 0, "acted_only": 0}
    for visit in {event[0] for event in events}:
        own = [event for event in events if event[0] == visit]
        if not any(action == "view" and media for _visit, action, media, _page, _spent in own):
            continue
        has_read = sum(event[4] for event in own) >= 10_000 or any(
            action == "read" and page is not None and page >= 2 for _visit, action, _media, page, _spent in own
        )
        has_acted = any(action in ("share", "applaud") for _visit, action, *_rest in own)
        steps["opened"] += 1
        steps["read"] += has_read
        steps["acted"] += has_read and has_acted
        steps["acted_only"] += has_acted and not has_read
    assert found(*events) == Way(**steps, since=None)


@pytest.fixture
def anna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Client:
    renew(monkeypatch)
    forget()
    hub = Hub.objects.create(slug="acme", title="Acme", timezone="Europe/Paris")
    at = (timezone.now() - timedelta(minutes=30)).replace(second=0).isoformat()
    common = {"hub": "acme", "media": "cat-1", "occurred_at": at}
    steps = [("ann", "view"), ("ann", "read"), ("ann", "share"), ("ben", "view"), ("ben", "read"), ("cas", "view")]
    imported(
        tmp_path,
        [
            common
            | {"visitor": who, "visit": who, "action": action, "country": "DE" if who == "ben" else "FR"}
            | ({"page": 2, "duration_ms": 3_000} if action == "read" else {})
            for who, action in steps
        ],
    )
    return customer_of(hub)


@pytest.mark.django_db(databases="__all__", transaction=True)
class TestPages:
    URL = "/hubs/acme/engagement/way?period=7d"

    def test_the_card_says_how_many_went_on(self, anna: Client) -> None:
        said = anna.get(self.URL, headers={"HX-Request": "true"}).content.decode()
        assert "67% read on (to page 2, or for 10 s), and 50% of these acted" in said

    def test_filters_of_the_page_are_its_own(self, anna: Client) -> None:
        answer = anna.get(self.URL + "&country=DE&format=csv")
        assert lines(answer)[1:] == [["Opened a media", "1"], ["Read on", "1"], ["Acted", "0"]]

    @pytest.mark.parametrize("query", ["action=share", "network=x", "page=2", "target=a", "previous=cat-2"])
    def test_a_filter_on_single_events_is_refused_in_words(self, anna: Client, query: str) -> None:
        said = anna.get(f"{self.URL}&{query}", headers={"HX-Request": "true"}).content.decode()
        assert "not to be told with a filter on what single events say" in said
