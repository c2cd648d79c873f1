"""Random events for the laws: few values, so that keys meet often."""

from hypothesis import strategies as st

from aggregations.event import Event
from aggregations.fields import Field
from aggregations.measures import Count, Distinct, Histogram, Max, Measure, Min, Sum
from aggregations.rollups import Rollup

HOUR = 3_600_000
START = 475_000 * HOUR

events = st.builds(
    Event,
    hub=st.sampled_from(["acme", "zoo"]),
    id=st.just("x"),
    action=st.sampled_from(["view", "read", "share", "click"]),
    occurred_at=st.integers(START, START + 3 * HOUR) | st.sampled_from([0, START, START + HOUR - 1, START + HOUR]),
    received_at=st.just(START),
    visitor=st.integers(1, 6) | st.sampled_from([256, 65_536, 2**32 - 1]),
    visit=st.integers(1, 9),
    visit_number=st.integers(1, 3),
    is_bot=st.booleans(),
    duration_ms=st.sampled_from([0, 0, 1, 255, 256, 9_999, 10_000, 65_536, 3_600_000]),
    media=st.sampled_from([None, "a", "b", "Æ", "😀", "'"]),
    page=st.sampled_from([None, 1, 2, 10]),
    network=st.sampled_from([None, "x"]),
    previous=st.sampled_from([None, None, "a"]),
    target=st.sampled_from([None, "", "zoom"]),
)
lists = st.lists(events, max_size=40)

page, action = Field("page"), Field("action")
MEASURES: tuple[Measure, ...] = (
    Count("all"),
    Count("shares", where=action == "share"),
    Sum("duration", "duration_ms"),
    Sum("duration_read", "duration_ms", where=action == "read"),
    Min("first_page", "page"),
    Min("shortest", "duration_ms", where=page >= 2),
    Max("last_page", "page"),
    Max("longest", "duration_ms", where=(action == "read") & page.is_set),
    Distinct("visitors", "visitor"),
    Distinct("pages", "page"),
    Distinct("readers", "visitor", where=(action == "read") | (page >= 10)),
    Histogram("of_pages", "page"),
    Histogram("of_durations", "duration_ms", where=action != "view"),
)
"""Every kind of measure, with and without a condition, of fields with and without values."""

EVERY_KIND = (Rollup("every_kind", measures=MEASURES), Rollup("every_kind_by", by=("media", "page"), measures=MEASURES))
