"""The published figures, through the whole line: import, buffers, a batch run, the answer."""

import pytest
from django.http import QueryDict
from django.utils import timezone

from batch.models import Run
from events.models import Hub
from speed import consumer
from tests.real.expected import EXPECTED
from tests.real.folder import needs
from views_layer import ask, seam

pytestmark = [
    needs("deskdrop"),
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True, databases="__all__"),
]
WANTED = EXPECTED["deskdrop"]


def totals(metrics: str, **parameters: str) -> dict:
    """The totals of all time, robots included."""
    text = "&".join(["period=all&robots=include", f"metrics={metrics}", *(f"{n}={v}" for n, v in parameters.items())])
    return ask.answer(Hub.objects.get(slug="deskdrop"), QueryDict(text), timezone.now())["totals"]


def test_buffers_rows_and_a_rebuild_give_the_published_figures(import_part, redis_url: str) -> None:
    import_part("deskdrop")
    wanted = {"events": WANTED["events"], "visits": WANTED["visits"], "visitors": WANTED["visitors"]}
    wanted |= {"views": WANTED["actions"]["view"]}
    consumer.apply_new()
    found = [totals(",".join(wanted))]
    for kind in (Run.HOURLY, Run.REBUILD):
        seam.run_now(kind)
        found.append(totals(",".join(wanted)))
    media = ask.answer(
        Hub.objects.get(slug="deskdrop"),
        QueryDict("period=all&robots=include&metrics=events&by=media&limit=1"),
        timezone.now(),
    )
    assert (found, media["meta"]["total_rows"]) == ([wanted] * 3, WANTED["media"])
