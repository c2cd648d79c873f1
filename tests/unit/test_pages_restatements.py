"""The page of closed numbers that changed."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from batch.models import Restatement
from events.models import Hub
from tests.customer import customer_of

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("redis_url")]


@pytest.fixture
def customer() -> Client:
    hub = Hub.objects.create(slug="acme")
    return customer_of(hub)


def restate(hub: str, days_ago: int, metric: str = "visits", new: float = 13) -> None:
    start = datetime.combine(timezone.now().date(), datetime.min.time(), UTC) - timedelta(days=days_ago)
    Restatement.objects.create(
        hub=hub, metric=metric, day_start=start, day_end=start + timedelta(days=1), old=12, new=new,
        reason=Restatement.LATE, restated_at=timezone.now(), epoch=days_ago,
    )  # fmt: skip


def test_it_lists_what_changed_in_the_period_of_its_own_hub(customer: Client) -> None:
    restate("acme", 3)
    restate("acme", 40, new=14)
    restate("other", 3, new=15)
    page = customer.get("/hubs/acme/restatements?period=7d")
    cells = [(row.title, row.old, row.new, row.reason) for row in page.context["rows"]]
    assert (page.status_code, cells) == (200, [("Visits", "12", "13", "late events")])


def test_it_gives_all_of_them_a_hundred_at_a_time(customer: Client) -> None:
    for days_ago in range(1, 131):
        restate("acme", days_ago)
    first = customer.get("/hubs/acme/restatements?period=all")
    last = customer.get(f"/hubs/acme/restatements{first.context['older']}")
    assert ([len(page.context["rows"]) for page in (first, last)], last.context["older"]) == ([100, 30], False)


def test_it_refuses_a_period_that_it_does_not_know(customer: Client) -> None:
    page = customer.get("/hubs/acme/restatements?period=aeon")
    assert (page.status_code, b"aeon" in page.content) == (400, True)
