"""The tracker in a real browser, on a website of another origin, against a running collector."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from events import catalogue
from events.collector import Collector
from events.log import event_log
from events.models import ApiKey, Hub
from speed import consumer
from tests.api.test_stats_oracle import fresh  # noqa: F401 (a fixture)
from tests.browser.hub_pages import STUB, Gate, collector, website
from tests.waiting import until

CHROMIUM = "/usr/bin/chromium"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"there is no {CHROMIUM}"),
]
# Playwright's own event loop makes Django take this thread for an asynchronous one.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"

PATIENCE_S = 10
HIDE = """hidden => {
    Object.defineProperty(document, 'visibilityState', {get: () => hidden ? 'hidden' : 'visible', configurable: true});
    document.dispatchEvent(new Event('visibilitychange', {bubbles: true}));
}"""


@dataclass
class World:
    """A browser, a website with the tracker, and the collector that it reports to."""

    browser: Browser
    gate: Gate
    hub: Hub
    origin: str = ""
    site: str = ""
    attributes: str = ""
    contexts: list[BrowserContext] = field(default_factory=list)

    def script_of(self, path: str) -> str:
        if path == "origin":
            return self.origin
        stub = "" if "csp" in path else f"<script>{STUB}</script>"
        return f'{stub}<script defer src="{self.origin}/tracker.js" data-hub="acme" {self.attributes}></script>'

    def context(self, prepare: str = "") -> BrowserContext:
        """A browser of its own, with a clock that stands until `pass_` moves it, an hour ago."""
        context = self.browser.new_context()
        began = datetime.now(UTC) - timedelta(hours=1)
        context.clock.install(time=began)
        context.clock.pause_at(began + timedelta(seconds=1))
        if prepare:
            context.add_init_script(prepare)
        self.contexts.append(context)
        return context

    def open(self, path: str = "/", context: BrowserContext | None = None, prepare: str = "") -> Page:
        page = (context or self.context(prepare)).new_page()
        page.goto(self.site + path)
        return page

    def sent(self, count: int, *names: str) -> list[Any]:
        """Of the `count` events that reach the log these fields, in the order in which they were made."""
        found = self._wait_for(count)
        return [tuple(getattr(event, name) for name in names) for event in found]

    def _wait_for(self, count: int) -> list[Any]:
        until(lambda: len(logged()) >= count, PATIENCE_S)
        found = logged()
        assert len(found) == count, found
        return sorted(found, key=lambda event: event.id)

    def stats(self, query: str) -> list[dict]:
        """The rows of an answer about today and yesterday."""
        consumer.apply_new()
        client = Client(headers={"Authorization": f"Bearer {ApiKey.issue(self.hub, ApiKey.READ)}"})
        answer = client.get(f"/api/hubs/acme/stats?{query}&period=7d&order=-{query.split('=')[1].split(',')[0].split('&')[0]}")
        assert answer.status_code == 200, answer.content
        return answer.json()["results"]


def logged() -> list[Any]:
    return [event for chunk in event_log().read({}) for event in chunk.events]


def pass_(page: Page, seconds: float) -> None:
    """Let time pass on the page, with its timers."""
    page.clock.run_for(int(seconds * 1000))


def call(page: Page, *calls: str) -> Any:
    """Call functions of the tracker; the answer is that of the last."""
    return page.evaluate("; ".join(f"affluence.{each}" for each in calls))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def world(browser: Browser, fresh) -> Iterator[World]:  # noqa: F811
    hub = Hub.objects.create(slug="acme", timezone="Europe/Paris")
    catalogue.forget()
    with collector(Collector(get_wsgi_application())) as (origin, gate):
        world = World(browser, gate, hub, origin)
        with website(world.script_of) as world.site:
            yield world
            for context in world.contexts:
                context.close()


def test_it_tells_what_a_reader_does(world: World) -> None:
    page = world.open()
    call(
        page,
        "view('cat-1', {title: 'Spring', kind: 'document', pages: 48, properties: {edition: 2}})",
        "download()",
        "print()",
        "click('https://shop.example/a', {product: 'chair'})",
        "search('oak table')",
        "play()",
        "feature('zoom')",
        "event('complete', {target: 'end'})",
    )
    pass_(page, 1)
    assert world.sent(8, "action", "media", "target", "title", "media_kind", "pages", "properties") == [
        ("view", "cat-1", None, "Spring", "document", 48, {"edition": 2}),
        ("download", "cat-1", None, None, None, None, None),
        ("print", "cat-1", None, None, None, None, None),
        ("click", "cat-1", "https://shop.example/a", None, None, None, {"product": "chair"}),
        ("search", "cat-1", "oak table", None, None, None, None),
        ("play", "cat-1", None, None, None, None, None),
        ("feature", "cat-1", "zoom", None, None, None, None),
        ("complete", "cat-1", "end", None, None, None, None),
    ]
    assert len(world.gate.bodies) == 1
