"""A wrong declaration fails when it is made, with a sentence that names it."""

import pytest

from aggregations.fields import Field
from aggregations.measures import Count, Distinct, Histogram, Measure, Min, Sum
from aggregations.rollups import Rollup, refuse_duplicates


class Mean(Measure):
    """A measure whose state is a float: not allowed."""

    def zero(self) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("declare", "error", "sentence"),
    [
        (lambda: Rollup("r", measures=(Mean("mean"),)), ValueError, "no exact state"),
        (lambda: Rollup("r", measures=(len,)), ValueError, "no exact state"),  # type: ignore[arg-type]
        (lambda: Rollup("r", by=("colour",)), ValueError, "'colour' is no field of an event"),
        (lambda: Rollup("r", by=("properties",)), ValueError, "'properties' is no field of an event"),
        (lambda: Rollup("r", by=("hub",)), ValueError, "'hub' is no dimension"),
        (lambda: Rollup("r", by=("media", "media")), ValueError, "names a dimension twice: media, media"),
        (lambda: Rollup("r", measures=(Count("a"), Count("a"))), ValueError, "'a' twice"),
        (lambda: refuse_duplicates(["a", "b", "a"], "ROLLUPS names"), ValueError, "ROLLUPS names 'a' twice"),
        (lambda: Sum("colours", "colour"), ValueError, "'colour' is no integer field"),
        (lambda: Min("first", "media"), ValueError, "'media' is no integer field"),
        (lambda: Histogram("h", "properties"), ValueError, "'properties' is no integer field"),
        (lambda: Distinct("moments", "occurred_at"), ValueError, "'occurred_at' does not fit in 32 bits"),
        (lambda: Distinct("moments", "received_at"), ValueError, "'received_at' does not fit in 32 bits"),
        (lambda: Count("two words"), ValueError, "'two words' is no name"),
        (lambda: Field("colour"), ValueError, "'colour' is no field"),
        (lambda: Field("page") == "2", TypeError, "page is compared with '2'"),
        (lambda: Field("page") >= 2.5, TypeError, "page is compared with 2.5"),
        (lambda: Field("media") == None, TypeError, "media is compared with None"),  # noqa: E711
        (lambda: Field("page") == True, TypeError, "page is compared with True"),  # noqa: E712
    ],
)
def test_it_refuses(declare, error, sentence):
    with pytest.raises(error, match=sentence):
        declare()
