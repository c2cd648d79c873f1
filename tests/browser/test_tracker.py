"""The tracker in a real browser, on a website of another origin, against a running collector."""

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page

from events import catalogue
from events.collector import Collector
from events.log import event_log
from events.models import ApiKey, Hub
from speed import consumer
from tests.api.test_stats_oracle import fresh  # noqa: F401 (a fixture)
from tests.browser.chromium import IN_CHROMIUM, chromium
from tests.browser.hub_pages import STUB, Gate, collector, website
from tests.waiting import until

# The headless one says that it is, and counts as a robot.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
pytestmark = IN_CHROMIUM

PATIENCE_S = 10
HIDE = """hidden => {
    Object.defineProperty(document, 'visibilityState', {get: () => hidden ? 'hidden' : 'visible', configurable: true});
    Object.defineProperty(document, 'hidden', {get: () => hidden, configurable: true});
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
        """Answers come in real time while the clocks of pages stand, so these move a little where nothing more comes."""
        began = time.monotonic()

        def is_there() -> bool:
            if time.monotonic() > began + 0.5:
                for context in self.contexts:
                    context.clock.run_for(200)
            return len(logged()) >= count

        until(is_there, PATIENCE_S)
        found = logged()
        assert len(found) == count, found
        return sorted(found, key=lambda event: event.id)

    def stats(self, query: str) -> list[dict]:
        """The rows of an answer about today and yesterday."""
        consumer.apply_new()
        client = Client(headers={"Authorization": f"Bearer {ApiKey.issue(self.hub, ApiKey.READ)}"})
        answer = client.get(
            f"/api/hubs/acme/stats?{query}&period=7d&order=-{query.split('=')[1].split(',')[0].split('&')[0]}"
        )
        assert answer.status_code == 200, answer.content
        return answer.json()["results"]


def logged() -> list[Any]:
    return [event for chunk in event_log().read({}) for event in chunk.events]


def pass_(page: Page, seconds: float) -> None:
    """Let time pass on the page, with its timers."""
    page.clock.run_for(int(seconds * 1000))


def settle(page: Page) -> None:
    """Wait until all is answered: a request in flight would be given up where half a minute passes in no time."""
    page.wait_for_function("!Object.keys(localStorage).some(key => key.includes('queue'))", polling=20)


def call(page: Page, *calls: str) -> Any:
    """Call functions of the tracker; the answer is that of the last."""
    return page.evaluate("; ".join(f"affluence.{each}" for each in calls))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(f"--user-agent={USER_AGENT}") as browser:
        yield browser


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


def test_each_page_turn_is_one_read_with_its_active_time(world: World) -> None:
    page = world.open()
    call(page, "view('cat-1', {pages: 3})", "page(1)")
    pass_(page, 12.345)
    call(page, "page(2)", "page(2)")
    call(page, "page(3)")
    pass_(page, 4)
    call(page, "view('cat-2')")
    pass_(page, 2.5)
    page.goto("about:blank")
    assert world.sent(6, "action", "media", "page", "duration_ms", "previous") == [
        ("view", "cat-1", None, 0, None),
        ("read", "cat-1", 1, 12_345, None),
        ("read", "cat-1", 2, 0, None),
        ("read", "cat-1", 3, 4_000, None),
        ("view", "cat-2", None, 0, "cat-1"),
        ("read", "cat-2", None, 2_500, None),
    ]
    assert world.stats("metrics=page_reads,views,visits,engaged_visits,duration_ms") == [
        {"page_reads": 3, "views": 2, "visits": 1, "engaged_visits": 1, "duration_ms": 18_845}
    ]


def test_idle_time_is_not_counted(world: World) -> None:
    page = world.open()
    call(page, "view('cat-1')", "page(1)")
    pass_(page, 50)
    page.mouse.wheel(0, 100)
    page.wait_for_function("scrollY > 0")
    pass_(page, 5)
    call(page, "page(2)")
    pass_(page, 1)
    assert world.sent(2, "action", "page", "duration_ms") == [("view", None, 0), ("read", 1, 35_000)]


@pytest.mark.parametrize("touch", ["keyboard.press('Shift')", "mouse.move(50, 60)", "mouse.click(5, 5)"])
def test_input_of_each_kind_makes_time_active_again(world: World, touch: str) -> None:
    page = world.open()
    call(page, "view('cat-1')", "page(1)")
    pass_(page, 60)
    eval(f"page.{touch}")
    pass_(page, 10)
    call(page, "page(2)")
    pass_(page, 1)
    assert world.sent(2, "action", "duration_ms") == [("view", 0), ("read", 40_000)]


def test_hidden_time_is_not_counted(world: World) -> None:
    page = world.open()
    call(page, "view('cat-1')", "page(1)")
    pass_(page, 7)
    page.evaluate(HIDE, True)
    world.sent(2, "action")
    pass_(page, 600)
    page.evaluate(HIDE, False)
    pass_(page, 5)
    page.evaluate(HIDE, True)
    page.evaluate(HIDE, False)
    pass_(page, 0.4)
    page.evaluate(HIDE, True)
    page.evaluate(HIDE, False)
    pass_(page, 2)
    call(page, "page(2)")
    pass_(page, 1)
    assert world.sent(5, "action", "page", "duration_ms") == [
        ("view", None, 0),
        ("read", 1, 7_000),
        ("read", None, 0),
        ("read", 1, 5_000),
        ("read", 1, 2_400),
    ]


def test_time_without_focus_is_not_counted(world: World) -> None:
    page = world.open()
    page.context.new_cdp_session(page).send("Emulation.setFocusEmulationEnabled", {"enabled": False})
    page.bring_to_front()
    page.wait_for_function("document.hasFocus()")
    call(page, "view('cat-1')", "page(1)")
    pass_(page, 6)
    other = world.open("/plain", page.context)
    other.bring_to_front()
    page.wait_for_function("!document.hasFocus()", polling=50)
    pass_(page, 20)
    page.bring_to_front()
    page.wait_for_function("document.hasFocus()", polling=50)
    pass_(page, 3)
    call(page, "page(2)")
    pass_(page, 1)
    assert world.sent(2, "action", "duration_ms") == [("view", 0), ("read", 9_000)]


def test_the_sleep_of_a_machine_is_not_counted(world: World) -> None:
    page = world.open()
    call(page, "view('cat-1')", "page(1)")
    pass_(page, 10)
    page.clock.fast_forward("15:00")
    call(page, "page(2)")
    pass_(page, 1)
    assert world.sent(2, "action", "duration_ms") == [("view", 0), ("read", 12_000)]


def test_a_media_without_pages_reports_while_it_is_read(world: World) -> None:
    page = world.open()
    call(page, "view('img-1')")
    for _ in range(10):
        pass_(page, 20)
        page.keyboard.press("Shift")
    assert world.sent(5, "action", "duration_ms") == [("view", 0), ("read", 15_000), *[("read", 60_000)] * 3]


def test_a_long_page_keeps_the_visit_alive(world: World) -> None:
    page = world.open()
    call(page, "view('cat-1')", "page(1)")
    for _ in range(30):
        pass_(page, 20)
        settle(page)
        page.keyboard.press("Shift")
    call(page, "page(2)")
    pass_(page, 1)
    assert world.sent(4, "action", "page", "duration_ms") == [
        ("view", None, 0),
        ("read", None, 0),
        ("read", None, 0),
        ("read", 1, 600_000),
    ]


def test_leaving_at_once_tells_the_page_that_was_reached(world: World) -> None:
    page = world.open()
    call(page, "view('cat-1')", "page(1)", "page(5)")
    page.close(run_before_unload=True)
    assert world.sent(3, "action", "page") == [("view", None), ("read", 1), ("read", 5)]


def test_calls_before_the_script_are_kept(world: World) -> None:
    page = world.context().new_page()
    page.route("**/tracker.js", lambda route: waiting.append(route))
    waiting: list[Any] = []
    page.goto(world.site, wait_until="commit")
    page.wait_for_function("window.affluence")
    call(page, "view('cat-1')", "page(3)")
    until(lambda: bool(waiting) or page.wait_for_timeout(10) is not None, PATIENCE_S)
    waiting[0].continue_()
    page.wait_for_function("!affluence.q")
    page.goto("about:blank")
    assert world.sent(2, "action", "media", "page") == [("view", "cat-1", None), ("read", "cat-1", 3)]


def test_events_wait_for_the_network(world: World) -> None:
    page = world.open()
    page.context.set_offline(True)
    call(page, "view('cat-1')", "download()")
    pass_(page, 300)
    assert world.gate.bodies == []
    page.context.set_offline(False)
    assert world.sent(3, "action") == [("view",), ("download",), ("read",)]


TOLD_FETCH = """
    const own = fetch;
    Object.assign(window, {tries: [], waiting: 0, fetch: async (...request) => {
        tries.push(performance.now());
        waiting += 1;
        try { return await own(...request); } finally { waiting -= 1; }
    }});
"""
"""Tells by the clock of the page when something was asked for, and how much is without an answer."""


def test_a_dead_network_is_tried_again_more_and_more_slowly(world: World) -> None:
    page = world.open(prepare=f"Math.random = () => 0; {TOLD_FETCH}")
    page.route("**/api/events", lambda route: route.abort())
    call(page, "view('cat-1')", "page(1)")
    for _ in range(40):
        pass_(page, 1)
        page.wait_for_function("waiting === 0", polling=20)
    seconds = [round((after - before) / 1000) for before, after in itertools.pairwise(page.evaluate("tries"))]
    assert seconds[1:] == [2, 4, 8, 16]
    page.unroute("**/api/events")
    page.evaluate("dispatchEvent(new Event('online'))")


def test_a_closed_tab_leaves_its_events_to_the_next(world: World) -> None:
    page = world.open()
    page.context.set_offline(True)
    call(page, "view('cat-1')", "page(1)", "download()")
    page.close()
    assert world.gate.bodies == []
    page.context.set_offline(False)
    pass_(world.open(context=page.context), 1)
    assert world.sent(3, "action") == [("view",), ("download",), ("read",)]


def test_an_event_of_a_beacon_counts_once(world: World) -> None:
    page = world.open()
    call(page, "view('cat-1')", "page(1)")
    pass_(page, 3)
    world.sent(1, "action")
    page.goto(world.site + "/next")
    pass_(page, 1)
    world.sent(2, "action")
    until(lambda: len(world.gate.posted) >= 3, PATIENCE_S)
    pass_(page, 5)
    assert world.sent(2, "action", "duration_ms") == [("view", 0), ("read", 3_000)]
    assert page.evaluate("Object.keys(localStorage).filter(key => key.includes('queue'))") == []


@pytest.mark.parametrize("status", ["503 Service Unavailable", "429 Too Many Requests"])
def test_a_busy_collector_is_left_alone_as_long_as_it_says(world: World, status: str) -> None:
    page = world.open()
    world.gate.answers.append((status, {"Retry-After": "60"}))
    call(page, "view('cat-1')")
    pass_(page, 1)
    until(lambda: len(world.gate.bodies) == 1, PATIENCE_S)
    page.wait_for_function("localStorage['affluence-pause']", polling=50)
    pass_(page, 20)
    page.goto(world.site + "/next")
    pass_(page, 38)
    assert (len(world.gate.bodies), logged()) == (1, [])
    pass_(page, 35)
    assert world.sent(3, "action") == [("view",), ("read",), ("read",)]


def test_a_bad_event_never_blocks_the_others(world: World) -> None:
    world.gate.refuses = lambda body: any(event.get("media") == "poison" for event in body["events"])
    page = world.open()
    call(page, "view('cat-1')", "view('poison')", "view('cat-2')", "view('cat-3')", "event('No such action')")
    pass_(page, 1)
    until(lambda: pass_(page, 0.1) or len(logged()) == 3, PATIENCE_S)
    settle(page)
    assert world.sent(3, "media") == [("cat-1",), ("cat-2",), ("cat-3",)]


def test_an_answer_that_is_lost_counts_once(world: World) -> None:
    page = world.open(prepare="Math.random = () => 0")
    page.route("**/api/events", lambda route: (route.fetch(), route.abort()), times=1)
    call(page, "view('cat-1')")
    pass_(page, 1)
    world.sent(1, "action")
    until(lambda: pass_(page, 1) or len(world.gate.bodies) == 2, PATIENCE_S)
    assert world.sent(1, "action") == [("view",)]


@pytest.mark.parametrize(
    "signal",
    ["doNotTrack', {get: () => '1'})", "globalPrivacyControl', {get: () => true})"],
    ids=["Do Not Track", "Global Privacy Control"],
)
def test_a_reader_who_says_no_is_left_alone(world: World, signal: str) -> None:
    page = world.open(prepare=f"Object.defineProperty(Navigator.prototype, '{signal}")
    page.evaluate("localStorage['affluence-visitor'] = 'known'; sessionStorage['affluence-visit'] = '{}'")
    page.reload()
    call(page, "view('cat-1')", "page(2)", "download()", "consent(true)")
    shared = call(page, "share('linkedin')")
    pass_(page, 20)
    page.goto(world.site + "/next")
    pass_(page, 20)
    assert (shared, world.gate.bodies, logged()) == (world.site + "/", [], [])
    assert page.evaluate("[{...localStorage}, {...sessionStorage}, document.cookie, affluence.consent()]") == [
        {},
        {},
        "",
        False,
    ]


def test_it_is_cookieless_until_consent_and_again_after(world: World) -> None:
    page = world.open()
    assert call(page, "consent()") is None
    call(page, "view('cat-1')")
    assert call(page, "consent(true)", "view('cat-2')", "consent()") is True
    pass_(page, 0.1)
    page.goto(world.site + "/next")
    assert call(page, "view('cat-3')", "consent()") is True
    pass_(page, 0.1)
    call(page, "consent(false)", "view('cat-4')")
    pass_(page, 1)
    world.sent(4, "media")
    page.goto(world.site + "/next")
    assert call(page, "consent()") is False
    visitors = {event["media"]: event.get("visitor") for event in world.gate.posted}
    known = visitors["cat-2"]
    assert re.fullmatch("[0-9a-f]{32}", known)
    assert visitors == {"cat-1": None, "cat-2": known, "cat-3": known, "cat-4": None}
    assert world.stats("metrics=visitors,views") == [{"visitors": 2, "views": 4}]
    assert page.evaluate("[localStorage['affluence-visitor'], document.cookie]") == ["", ""]


def test_a_share_brings_readers_by_its_token(world: World) -> None:
    sharer = world.open("/cat-1?lang=fr&utm_source=newsletter&afi=kiosk-7")
    call(sharer, "view('cat-1')")
    address = call(sharer, "share('linkedin')")
    assert re.fullmatch(re.escape(world.site) + "/cat-1\\?lang=fr&afv=([0-9a-f]{12})", address)
    token = address[-12:]
    assert call(sharer, "link('/cat-9')") == f"{world.site}/cat-9?afv={token}"
    pass_(sharer, 1)
    reader = world.open(address.removeprefix(world.site))
    call(reader, "view('cat-1')")
    assert call(reader, "link()") == address
    pass_(reader, 1)
    reader.goto(world.site + "/next")
    pass_(reader, 0.1)
    call(reader, "view('cat-2')")
    onward = call(reader, "share('mail')")
    pass_(reader, 1)
    assert world.sent(6, "action", "media", "share", "via", "network", "intermediary", "source") == [
        ("view", "cat-1", None, None, None, "kiosk-7", "newsletter"),
        ("share", "cat-1", token, None, "linkedin", "kiosk-7", "newsletter"),
        ("view", "cat-1", None, token, None, None, None),
        ("read", "cat-1", None, token, None, None, None),
        ("view", "cat-2", None, token, None, None, None),
        ("share", "cat-2", onward[-12:], token, "mail", None, None),
    ]
    assert world.stats("metrics=events&by=via") == [{"via": token, "events": 4}, {"via": None, "events": 2}]


def test_every_event_says_where_the_reader_came_from(world: World) -> None:
    page = world.context().new_page()
    page.goto(world.site + "/plain")
    page.route("http://www.linkedin.com/**", lambda route: route.fulfill(body="<a>", content_type="text/html"))
    page.goto("http://www.linkedin.com/feed/")
    page.evaluate(f"location = '{world.site}/cat-1'")
    page.wait_for_url("**/cat-1")
    page.wait_for_function("!affluence.q")
    call(page, "view('cat-1')")
    pass_(page, 1)
    page.evaluate("location = '/next'")
    page.wait_for_url("**/next")
    page.wait_for_function("!affluence.q")
    pass_(page, 0.1)
    call(page, "view('cat-2')", "download()")
    pass_(page, 1)
    found = world.sent(4, "action", "referrer", "previous")
    assert found == [
        ("view", "http://www.linkedin.com/", None),
        ("read", "http://www.linkedin.com/", None),
        ("view", "http://www.linkedin.com/", "cat-1"),
        ("download", "http://www.linkedin.com/", None),
    ]
    assert world.stats("metrics=visits&by=source") == [{"source": "LinkedIn", "visits": 1}]


def test_a_new_visit_forgets_the_way_of_the_last(world: World) -> None:
    page = world.open("/?afv=token&ref=blog")
    call(page, "view('cat-1')")
    pass_(page, 1)
    world.sent(1, "via")
    pass_(page, 16)
    settle(page)
    pass_(page, 31 * 60)
    page.goto(world.site + "/next")
    pass_(page, 0.1)
    call(page, "view('cat-2')")
    pass_(page, 1)
    world.sent(4, "via")
    found = {event["media"]: event for event in world.gate.posted if event["action"] == "view"}
    assert [found["cat-1"].get(name) for name in ("via", "source", "previous")] == ["token", "blog", None]
    assert [found["cat-2"].get(name) for name in ("via", "source", "previous")] == [None, None, None]
    assert world.stats("metrics=visits,duration_ms,views") == [{"visits": 2, "duration_ms": 30_000, "views": 2}]


def test_what_an_address_holds_is_made_fit(world: World) -> None:
    page = world.open("/?afv=a%00b%0Ac&afi=" + "x" * 200 + "&utm_source=%F0%9F%98%80" + "y" * 126 + "%F0%9F%98%80")
    call(page, "view('cat-1', {title: 'Two\\nlines'})", "search(42)")
    pass_(page, 1)
    assert world.sent(2, "title", "via", "target", "source") == [
        ("Two lines", "a b c", None, "😀" + "y" * 126),
        (None, "a b c", "42", "😀" + "y" * 126),
    ]


def test_it_works_under_a_strict_content_security_policy(world: World) -> None:
    page = world.context().new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.goto(world.site + "/csp")
    call(page, "view('cat-1')", "share('x')")
    pass_(page, 1)
    page.evaluate(HIDE, True)
    page.goto("about:blank")
    assert (world.sent(3, "action"), faults) == ([("view",), ("share",), ("read",)], [])


def test_two_tabs_share_a_queue_and_send_each_event_once(world: World) -> None:
    first = world.open()
    second = world.open(context=first.context)
    first.context.set_offline(True)
    for number in range(10):
        call(first, f"view('a-{number}')")
        call(second, f"view('b-{number}')")
    first.context.set_offline(False)
    world.sent(20, "media")
    pass_(first, 5)
    pass_(second, 5)
    ids = [event["id"] for event in world.gate.posted]
    assert (len(ids), len(set(ids))) == (20, 20)


def test_it_keeps_nothing_where_it_may_not(world: World) -> None:
    world.attributes = 'data-storage="none"'
    page = world.open("/?afv=token")
    call(page, "consent(true)", "view('cat-1')", "page(1)")
    pass_(page, 2)
    page.goto(world.site + "/next")
    assert world.sent(2, "action", "via", "duration_ms") == [("view", "token", 0), ("read", "token", 2_000)]
    assert page.evaluate("[{...localStorage}, {...sessionStorage}]") == [{}, {}]


@pytest.mark.parametrize(
    "broken",
    [
        "for (const name of ['localStorage', 'sessionStorage'])"
        " Object.defineProperty(window, name, {get() { throw new DOMException('no', 'SecurityError') }})",
        "for (let size = 5e6; size >= 1; size = size / 2 | 0) try { for (let n = 0; ; n++) localStorage[size + '-' + n] ="
        " 'x'.repeat(size) }"
        " catch (error) {}",
        "delete Navigator.prototype.locks; delete AbortSignal.timeout",
        "LockManager.prototype.request = () => Promise.reject(new DOMException('no', 'SecurityError'))",
    ],
    ids=["forbidden storage", "full storage", "an old browser", "a sandboxed frame"],
)
def test_it_works_in_browsers_that_lack_something(world: World, broken: str) -> None:
    page = world.open(prepare=broken)
    call(page, "consent(true)", "view('cat-1')", "page(1)")
    pass_(page, 2)
    world.sent(1, "action")
    page.goto("about:blank")
    assert world.sent(2, "action", "duration_ms") == [("view", 0), ("read", 2_000)]


def test_it_never_throws_into_the_page(world: World) -> None:
    page = world.open()
    faults: list[Any] = []
    page.on("pageerror", lambda error: faults.append(error))
    call(
        page,
        "view('cat-1', {properties: {size: 10n}})",
        "view(Symbol())",
        "page('x')",
        "page(-1)",
        "share()",
        "link('http://[')",
        "view()",
    )
    pass_(page, 1)
    found = world.sent(3, "action", "media")
    assert (found, faults) == ([("view", "Symbol()"), ("share", "Symbol()"), ("view", None)], [])
    assert page.evaluate("Object.keys(window).filter(name => /affluence/i.test(name))") == ["affluence"]


def test_a_video_reads_itself(world: World) -> None:
    page = world.open()
    page.evaluate(
        """() => {
            const video = document.body.appendChild(document.createElement('video'));
            video.dataset.affluenceMedia = 'clip-1';
            Object.defineProperty(video, 'currentTime', {get: () => window.at, configurable: true});
            window.at = 0;
            video.dispatchEvent(new Event('play'));
        }"""
    )
    for second in range(1, 65):
        pass_(page, 1)
        page.evaluate(
            "at => { window.at = at; document.querySelector('video').dispatchEvent(new Event('timeupdate')) }", second
        )
    page.evaluate("document.querySelector('video').dispatchEvent(new Event('play'))")
    pass_(page, 300)
    page.evaluate(HIDE, True)
    assert world.sent(5, "action", "media", "media_kind", "page", "duration_ms") == [
        ("view", "clip-1", "video", None, 0),
        ("play", "clip-1", None, None, 0),
        ("read", "clip-1", None, 1, 30_000),
        ("read", "clip-1", None, 2, 30_000),
        ("read", "clip-1", None, 3, 34_000),
    ]


def test_a_page_that_comes_back_from_the_cache_is_a_view(world: World) -> None:
    page = world.open()
    call(page, "view('cat-1', {title: 'Spring'})", "page(4)")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    world.sent(2, "action")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    pass_(page, 1)
    assert world.sent(3, "action", "page", "title") == [
        ("view", None, "Spring"),
        ("read", 4, None),
        ("view", None, "Spring"),
    ]
