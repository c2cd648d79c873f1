"""How often a page asks for what it shows: once for what is of one moment, and not at all for what cannot have changed."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.core import management
from django.test import Client
from django.utils import timezone

from batch.view_store import RowsGone
from events.models import Hub
from speed import consumer
from tests.api.test_stats_oracle import append, fresh  # noqa: F401 (a fixture)
from views_layer import ask
from views_layer.pages import frame
from views_layer.pages.live import live_now

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def acme(fresh) -> Hub:  # noqa: F811
    """A hub with a visit in its rows, and one in its buffers."""
    hub = Hub.objects.create(slug="acme", timezone="Europe/Paris")
    for visitor, at in (("ann", "2024-10-31T23:30:00Z"), ("bob", "2024-11-03T10:00:00Z")):
        append([{"hub": "acme", "action": "view", "media": "cat-1", "visitor": visitor, "occurred_at": at}])
        if visitor == "ann":
            management.call_command("run_batch", verbosity=0)
    consumer.apply_new()
    return hub


def test_a_beat_reads_one_moment(acme: Hub, admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    read, plain = [], ask.moment
    monkeypatch.setattr(ask, "moment", lambda *asked: read.append(asked) or plain(*asked))
    page = admin_client.get("/hubs/acme/live").content.decode()
    version = ask.version(acme, timezone.now())
    assert (len(read) - 1, f'data-version="{version}">0</b>' in page) == (1, True)


def test_the_earliest_day_is_asked_for_once_an_epoch(acme: Hub, admin_client: Client, monkeypatch) -> None:
    store, asked = frame.view_store(), []

    def first_start(*names: object) -> int | None:
        asked.append(names)
        return store.first_start(*names)

    monkeypatch.setattr(frame, "view_store", lambda: SimpleNamespace(first_start=first_start))
    pages = [admin_client.get(f"/hubs/acme/{name}").content.decode() for name in ("restatements", "retribution")]
    before = len(asked)
    management.call_command("run_batch", verbosity=0)
    pages.append(admin_client.get("/hubs/acme/retribution").content.decode())
    assert (before, len(asked)) == (1, 2)
    assert ['name="from" required min="2024-11-01"' in page for page in pages] == [True] * 3


@pytest.mark.parametrize("page", ["consultation", "consultation/media", "live", "engagement", "restatements"])
def test_a_page_whose_rows_are_gone_again_and_again_says_so_and_comes_back(
    acme: Hub, admin_client: Client, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    def gone(_moment: object, **_how: bool) -> None:
        raise RowsGone("Epoch 9 was published while epoch 1 was read; read again.")

    with monkeypatch.context() as publishing:
        publishing.setattr(ask, "verify", gone)
        answer = admin_client.get(f"/hubs/acme/{page}?period=all")
    later = admin_client.get(f"/hubs/acme/{page}?period=all").status_code
    asks_rows = page != "restatements"
    assert (answer.status_code, answer.get("Retry-After"), later) == (
        (503, "15", 200) if asks_rows else (200, None, 200)
    )


def test_numbers_of_the_badge_are_written_as_others_are() -> None:
    minute = {"time": "2026-11-23T09:41:00Z", "events": 2, "visitors": 1}
    live = {"visitors": 1234, "minutes": [minute], "media": [{"media": None, "visitors": 1200}]}
    found = live_now(Hub(slug="acme", timezone="Europe/Paris", created_at=datetime(2026, 1, 1, tzinfo=UTC)), live)
    assert (found.visitors_text, found.media) == ("1,234", [("The hub itself", "1,200")])
