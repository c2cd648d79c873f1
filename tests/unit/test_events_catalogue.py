"""What the catalogue learns."""

from datetime import UTC, datetime

import pytest

from aggregations.event import Event
from events.catalogue import forget, learn
from events.models import Hub, Media

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def acme():
    forget()
    return Hub.objects.create(slug="acme")


def event(at: int, media: str | None = "m", **fields) -> Event:
    return Event("acme", f"e{at}", "view", at * 1000, at * 1000, 1, 1, 1, media=media, **fields)


def known() -> list[tuple]:
    return [
        (media.key, media.kind, media.title, media.pages, int(media.first_at.timestamp()))
        for media in Media.objects.all()
    ]


def test_it_learns_media():
    assert learn([event(5, title="New", pages=8, media_kind="document"), event(3, title="Old"), event(4, None)]) == 1
    assert known() == [("m", "document", "New", 8, 3)]


def test_it_lets_the_newest_title_win_whatever_the_order_of_calls():
    learn([event(5, title="New")])
    learn([event(3, title="Old", pages=8)])
    assert known() == [("m", "", "New", 8, 3)]
    forget()
    learn([event(3, title="Old", pages=8)])
    learn([event(6, title="Newest")])
    assert known() == [("m", "", "Newest", 8, 3)]


def test_it_asks_nothing_for_what_is_not_new(django_assert_num_queries):
    learn([event(5, title="New")])
    with django_assert_num_queries(0):
        assert learn([event(6, title="New"), event(7)]) == 0


def test_it_is_idempotent():
    for _ in range(2):
        learn([event(5, title="New"), event(6, "n")])
        forget()
    assert known() == [("m", "", "New", None, 5), ("n", "", "", None, 6)]


def test_it_ignores_hubs_that_are_gone():
    assert learn([Event("gone", "e", "view", 1, 1, 1, 1, 1, media="m")]) == 0


def test_it_dates_media_by_their_first_event():
    learn([event(9), event(2)])
    assert Media.objects.get().first_at == datetime.fromtimestamp(2, UTC)
