"""What the catalogue learns."""

from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def test_it_dates_each_field_of_its_own():
    learn([event(9, title="New"), event(5, pages=8)])
    forget()
    learn([event(7, pages=9, title="Old")])
    assert known() == [("m", "", "New", 9, 5)]


HOUR = 3_600
slugs = (f"hub{number}" for number in count())
said = st.tuples(
    st.integers(1, 30),
    st.sampled_from([None, "image", "video"]),
    st.sampled_from([None, "A", "B"]),
    st.sampled_from([None, 1, 2]),
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(said=st.lists(said, min_size=1, max_size=12), sizes=st.lists(st.integers(1, 4), min_size=12, max_size=12))
def test_it_learns_the_same_in_any_order_and_any_process(said, sizes):
    hub, rest = Hub.objects.create(slug=next(slugs)), list(said)
    for size in sizes:
        learn(
            Event(hub.slug, "e", "view", at * HOUR * 1000, 0, 1, 1, 1, media="m", media_kind=kind, title=title, pages=n)
            for at, kind, title, n in rest[:size]
        )
        rest = rest[size:]
        forget()
    newest = [max(((s[0], s[i]) for s in said if s[i]), default=(0, ""))[1] for i in (1, 2, 3)]
    row = Media.objects.get(hub=hub)
    assert [row.kind, row.title, row.pages or "", row.first_at.timestamp()] == [
        *newest,
        min(at for at, *_ in said) * HOUR,
    ]


def test_it_lets_no_late_event_win_over_what_it_remembers():
    learn([event(5, title="New")])
    learn([event(9, title="New")])
    learn([event(7, title="Old")])
    assert known() == [("m", "", "New", None, 5)]


def test_it_writes_only_media_that_are_news():
    learn([event(5, title="A"), event(5, "n", title="B")])
    forget()
    assert learn([event(6, title="A"), event(6, "n", title="C"), event(7, "n", title="D")]) == 1
