"""The embedded list of recommendations in a real browser, on a website of another origin."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core import management
from django.core.wsgi import get_wsgi_application
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from events import catalogue
from events.collector import Collector
from events.log import event_log
from events.models import Hub
from speed.consumer import apply_new
from tests.api.test_stats_oracle import fresh  # noqa: F401 (a fixture)
from tests.browser.chromium import IN_CHROMIUM, chromium
from tests.browser.hub_pages import STUB, collector, website
from tests.waiting import until
from views_layer.embed import lists

pytestmark = IN_CHROMIUM

PATIENCE_S = 10
HOSTILE, TITLE = "x/../\"'><a href=javascript:1>&{media}?#%", '<img src=x onerror="document.title=1"> & \u202eCatalogue'
OTHER, POPULAR = "javascript:document.title=1//", "popular"
UNESCAPED = "!'()*-._~"
"""What `encodeURIComponent` leaves as it is."""
ATTRIBUTES = {
    "limit": 'data-limit="1"',
    "evil": 'data-href="javascript:{media}"',
    "none": 'data-hub="unknown"',
}


def events() -> Iterator[dict]:
    """Before the page is opened: what goes with `cat-1` and with `cat-2`, and what more have read."""
    at = (timezone.now() - timedelta(hours=3)).isoformat()
    readers = {"cat-1": "uvwx", HOSTILE: "uvwx", "cat-2": "klm", OTHER: "klm", POPULAR: "123456789"}
    for media, visitors in readers.items():
        for visitor in visitors:
            yield {
                **{"hub": "acme", "action": "view", "visitor": visitor, "media": media, "occurred_at": at},
                **({"title": TITLE} if media in (HOSTILE, POPULAR) else {}),
            }


@dataclass
class World:
    """A website whose pages have tracker and list, in either order, or the list alone; and what went wrong in them."""

    browser: Browser
    origin: str
    known: int
    site: str = ""
    faults: list[str] = field(default_factory=list)

    def script_of(self, path: str) -> str:
        """`/csp` and `/first` have the list before the tracker, `/alone` has no tracker; a name chooses ATTRIBUTES."""
        if path == "origin":
            return self.origin
        more = next((text for name, text in ATTRIBUTES.items() if name in path), "")
        given = 'data-hub="acme" data-href="/read/{media}" data-media="cat-1" data-title="Also read" data-into="body"'
        own = f'<script defer src="{self.origin}/embed/recommendations.js" {more} {given}></script>'
        tracker = f'<script defer src="{self.origin}/tracker.js" data-hub="acme"></script>'
        if "csp" in path or "first" in path:
            return own + tracker
        return own if "alone" in path else f"<script>{STUB}</script>{tracker}{own}"

    def open(self, path: str, prepare: str = "") -> Page:
        context = self.browser.new_context(viewport={"width": 800, "height": 600})
        context.add_init_script(
            "addEventListener('securitypolicyviolation', () => console.error('violated'));" + prepare
        )
        page = context.new_page()
        page.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.goto(self.site + path)
        return page

    def told(self, count: int, *names: str) -> list[tuple]:
        """Of the events that the pages sent, in the order in which they were made."""
        until(lambda: len(self.logged()) >= count, PATIENCE_S)
        return [tuple(getattr(event, name) for name in names) for event in self.logged()]

    def logged(self) -> list[Any]:
        sent = [event for chunk in event_log().read({}) for event in chunk.events][self.known :]
        return sorted((event for event in sent if event.action != "read"), key=lambda event: event.id)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def world(browser: Browser, tmp_path: Path, fresh: None) -> Iterator[World]:  # noqa: F811
    Hub.objects.create(slug="acme", embeds_recommendations=True)
    catalogue.forget()
    told = [*events()]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in told))
    management.call_command("import_events", str(tmp_path / "events.jsonl"))
    apply_new()
    with collector(Collector(get_wsgi_application())) as (origin, _gate):
        world = World(browser, origin, len(told))
        with website(world.script_of) as world.site:
            yield world
            for context in browser.contexts:
                context.close()


@pytest.mark.parametrize(
    ("number", "path", "media", "names"),
    [
        (1, "/limit", HOSTILE, ("recommendations", "recommendation:")),
        (0, "/limit-first", POPULAR, ("recommendations-holdout", "recommendation-holdout:")),
    ],
    ids=["recommended", "held out"],
)
def test_a_list_is_drawn_seen_and_followed(
    world: World, monkeypatch, number: int, path: str, media: str, names: tuple[str, str]
) -> None:
    monkeypatch.setattr(lists, "lot", lambda visitor, purpose: number)
    page = world.open(path)
    link = page.get_by_role("navigation", name="Also read").get_by_role("link")
    expect(link).to_have_text(TITLE)
    assert page.locator("nav").evaluate("nav => nav.outerHTML.match(/<(?!\\/)[a-z]+/g)") == [
        "<nav",
        "<p",
        "<ol",
        "<li",
        "<a",
    ]
    page.evaluate("affluence.view('cat-1'); affluence.search('not scrolled yet')")
    link.scroll_into_view_if_needed()
    world.told(3)
    link.click()
    page.wait_for_url(lambda url: url == f"{world.site}/read/{quote(media, safe=UNESCAPED)}")
    assert page.title() == "A hub"
    assert world.told(4, "action", "media", "target") == [
        ("view", "cat-1", None),
        ("search", "cat-1", "not scrolled yet"),
        ("feature", "cat-1", names[0]),
        ("click", "cat-1", names[1] + media),
    ]
    assert world.faults == []


def test_another_media_is_another_list(world: World, monkeypatch) -> None:
    """Under a policy that allows the two scripts and nothing else, with no call of the page's own."""
    monkeypatch.setattr(lists, "lot", lambda visitor, purpose: 1)
    page = world.open("/limit-csp")
    links = page.locator("nav.affluence-recommendations a")
    expect(links).to_have_text(TITLE)
    world.told(1)
    page.evaluate("affluence.recommend('cat-2')")
    expect(links).to_have_text(OTHER)
    world.told(2)
    page.evaluate("affluence.recommend('cat-1'); affluence.recommend()")
    expect(links).to_have_text(TITLE)
    links.click(button="middle")
    assert world.told(4, "action", "media", "target") == [
        ("feature", "cat-1", "recommendations"),
        ("feature", "cat-2", "recommendations"),
        ("feature", None, "popular"),
        ("click", None, f"popular:{POPULAR}"),
    ]
    assert world.faults == []


@pytest.mark.parametrize("path", ["/evil-csp", "/none-csp"])
def test_nothing_is_drawn_where_there_is_nothing_to_link(world: World, path: str) -> None:
    page = world.open("/plain")
    with page.expect_response("**/embed/recommendations?*"):
        page.goto(world.site + path)
    page.evaluate("new Promise((resolve) => setTimeout(resolve, 100))")
    assert page.locator("nav, ol").count() == 0


@pytest.mark.parametrize(
    ("path", "prepare"),
    [
        ("/limit-alone", ""),
        ("/limit-alone", "delete window.IntersectionObserver;"),
        ("/limit", "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true});"),
        ("/limit-first", "Object.defineProperty(Navigator.prototype, 'doNotTrack', {get: () => '1'});"),
    ],
    ids=["no tracker", "old browser", "GPC", "DNT"],
)
def test_it_works_and_tells_nothing_where_nothing_may_be_told(
    world: World, monkeypatch, path: str, prepare: str
) -> None:
    monkeypatch.setattr(lists, "lot", lambda visitor, purpose: 1)
    page = world.open(path, prepare)
    page.locator("nav a").click()
    page.wait_for_url("**/read/*")
    kept = page.evaluate("[document.cookie, Object.keys(localStorage), Object.keys(sessionStorage)]")
    assert (kept, world.logged(), world.faults) == (["", [], []], [], [])
