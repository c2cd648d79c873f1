"""How long visits last."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from django.test import Client
from django.utils import timezone, translation
from hypothesis import given
from hypothesis import strategies as st

from events.catalogue import forget
from events.models import Hub
from tests.caches import renew
from tests.customer import customer_of
from tests.unit.test_media_page import imported, lines
from views_layer.lengths import BOUNDS_MS, lengths
from views_layer.pages.wording import dated


def found(*events: tuple[int, int]):
    visits, spent = zip(*events, strict=True) if events else ((), ())
    return lengths(pa.table({"visit": pa.array(visits, pa.int64()), "duration_ms": pa.array(spent, pa.int64())}))


def test_a_visit_lasts_as_long_as_its_events_together() -> None:
    told = found((1, 0), (1, 9_999), (2, 4_000), (2, 6_000), (3, 0), (4, 3_600_000))
    assert told.counts == (1, 1, 1, 0, 0, 0, 0, 1)
    assert (told.visits, told.mean_ms, told.median_ms) == (4, (9_999 + 10_000 + 3_600_000) / 4, 9_999.5)


def test_without_a_visit_there_is_neither_mean_nor_median() -> None:
    told = found()
    assert (told.visits, told.mean_ms, told.median_ms) == (0, None, None)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3_600_000)), max_size=30))
def test_it_is_what_counting_by_hand_gives(events: list[tuple[int, int]]) -> None:
    spent: dict[int, int] = {}
    for visit, duration in events:
        spent[visit] = spent.get(visit, 0) + duration
    bounds = (0, *BOUNDS_MS, float("inf"))
    expected = tuple(sum(low <= length < high for length in spent.values()) for low, high in pairwise(bounds))
    assert found(*events).counts == expected


@pytest.fixture
def anna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Client:
    renew(monkeypatch)
    forget()
    hub = Hub.objects.create(slug="acme", title="Acme", timezone="Europe/Paris")
    at = (timezone.now() - timedelta(minutes=30)).replace(second=0)
    read = {"hub": "acme", "action": "read", "page": 1, "media": "cat-1"}
    spent = [
        ("ann", 5_000, "FR"),
        ("ann", 6_000, "FR"),
        ("ben", 45_000, "FR"),
        ("cas", 700_000, "DE"),
        ("dan", 0, "FR"),
    ]
    imported(
        tmp_path,
        [
            read | {"visitor": who, "visit": who, "duration_ms": ms, "country": country, "occurred_at": at.isoformat()}
            for who, ms, country in spent
        ],
    )
    return customer_of(hub)


@pytest.mark.django_db(databases="__all__", transaction=True)
class TestPages:
    URL = "/hubs/acme/consultation/lengths?period=7d"

    def test_the_card_says_mean_and_median(self, anna: Client) -> None:
        said = anna.get(self.URL, headers={"HX-Request": "true"}).content.decode()
        assert "Half of the visits have 0:28 of active time or less; the mean is 3:09." in said
        assert said.count("<tr>") == 1 + len(BOUNDS_MS) + 1
        assert "10 s – 30 s" in said

    def test_filters_of_the_page_are_its_own(self, anna: Client) -> None:
        answer = anna.get(self.URL + "&country=DE&format=csv")
        assert lines(answer)[1:] == [
            ["0", "1", "0"],
            ["1", "10000", "0"],
            ["10000", "30000", "0"],
            ["30000", "60000", "0"],
            ["60000", "180000", "0"],
            ["180000", "600000", "0"],
            ["600000", "1800000", "1"],
            ["1800000", "", "0"],
        ]

    def test_the_page_of_its_own_tells_how_far_it_can_be_relied_upon(self, anna: Client) -> None:
        said = anna.get(self.URL).content.decode()
        assert ("How long visits last" in said, "live until" in said) == (True, True)

    def test_a_period_without_visits_says_so(self, anna: Client) -> None:
        said = anna.get("/hubs/acme/consultation/lengths?from=2020-01-01&to=2020-02-01").content.decode()
        assert "Nothing in this period." in said

    @pytest.mark.parametrize(("language", "pattern"), [("en", "was on %s."), ("fr", "de ce hub date du %s.")])
    def test_a_period_before_the_first_event_names_its_day(self, anna: Client, language: str, pattern: str) -> None:
        first = (timezone.now() - timedelta(minutes=30)).astimezone(ZoneInfo("Europe/Paris")).date()
        said = anna.get(f"/hubs/acme/consultation?from=2020-01-01&to=2020-02-01&lang={language}").content.decode()
        with translation.override(language):
            assert pattern % dated(first, "d MMM y") in said

    def test_a_period_of_robots_alone_says_so_and_shows_them(self, anna: Client, tmp_path: Path) -> None:
        robot = {
            "occurred_at": "2020-01-05T12:00:00Z",
            "hub": "acme",
            "action": "view",
            "media": "cat-1",
            "user_agent": "curl/8.5.0",
        }
        imported(tmp_path, [robot])
        said = anna.get("/hubs/acme/consultation?from=2020-01-01&to=2020-02-01")
        assert "Only robots were counted here" in said.content.decode()
        shown = anna.get(f"/hubs/acme/consultation{said.context['robots']}")
        assert [figure.text for figure in shown.context["figures"] if figure.metric == "visits"] == ["1"]
