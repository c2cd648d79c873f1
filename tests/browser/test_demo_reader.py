"""The demo reader in a real browser: what a newcomer does there is in the log, and its pages are for everybody."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from events import catalogue
from events.collector import Collector
from events.demo.catalogue import PRODUCTS
from events.demo.history import demo_hub
from events.demo.reader.library import HISTORY, LAMPS, SHELF, Find, search
from events.log import event_log
from speed.consumer import apply_new
from tests.api.test_stats_oracle import fresh  # noqa: F401 (a fixture)
from tests.browser.chromium import IN_CHROMIUM, chromium
from tests.browser.hub_pages import Gate, collector
from tests.waiting import until
from views_layer.pages.wording import ABSENT_NUMBER

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
pytestmark = IN_CHROMIUM

PATIENCE_S = 10
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 320, "height": 640}
PAGES = ("", "?q=glass", "?q=nowhere", *SHELF)


@dataclass
class Site:
    """The demo as `make run` serves it, and what a healthy page of it has none of."""

    browser: Browser
    origin: str
    gate: Gate
    faults: list[str] = field(default_factory=list)

    def open(self, path: str = "", viewport: dict = DESK, prepare: str = "", **options: Any) -> Page:
        """A page of the demo in a browser of its own."""
        context = self.browser.new_context(
            viewport=viewport, permissions=["clipboard-read", "clipboard-write"], **options
        )
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => console.error(`violated ${event.violatedDirective}`));"
            + prepare
        )
        page = context.new_page()
        page.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on(
            "request", lambda request: None if request.url.startswith(self.origin) else self.faults.append(request.url)
        )
        page.goto(f"{self.origin}/demo/{path}")
        return page


def logged() -> list[Any]:
    """The events in the log, in the order in which they were made; without the time of what has no pages: it comes as it may."""
    events = [event for chunk in event_log().read({}) for event in chunk.events]
    return sorted((event for event in events if event.action != "read" or event.page), key=lambda event: event.id)


def told(count: int, *names: str) -> list[tuple]:
    """Of the `count` events that reach the log these fields."""
    until(lambda: len(logged()) >= count, PATIENCE_S)
    return [tuple(getattr(event, name) for name in names) for event in logged()]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(f"--user-agent={USER_AGENT}") as browser:
        yield browser


@pytest.fixture
def site(browser: Browser, fresh) -> Iterator[Site]:  # noqa: F811
    demo_hub()
    catalogue.forget()
    with collector(Collector(StaticFilesHandler(get_wsgi_application()))) as (origin, gate):
        site = Site(browser, origin, gate)
        yield site
        for context in browser.contexts:
            context.close()
    assert site.faults == []


def test_every_page_turned_to_is_a_read(site: Site) -> None:
    page = site.open("winter-light", reduced_motion="reduce")
    expect(page.locator("output")).to_have_text("Page 1 of 16")
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Next page").click()
    expect(page.locator("output")).to_have_text("Pages 4–5 of 16")
    page.get_by_role("button", name="Contents").click()
    page.locator("#contents").get_by_role("link", name="All lamps").click()
    page.keyboard.press("Home")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("PageUp")
    page.goto("about:blank")
    assert told(9, "action", "media", "page", "title", "pages", "target") == [
        ("view", "winter-light", None, "Winter Light", 16, None),
        ("read", "winter-light", 1, None, None, None),
        ("read", "winter-light", 2, None, None, None),
        ("feature", "winter-light", 4, None, None, "table-of-contents"),
        ("read", "winter-light", 4, None, None, None),
        ("read", "winter-light", 14, None, None, None),
        ("read", "winter-light", 1, None, None, None),
        ("read", "winter-light", 16, None, None, None),
        ("read", "winter-light", 14, None, None, None),
    ]


def test_a_finger_turns_single_pages_on_a_phone(site: Site) -> None:
    page = site.open("winter-light#page-2", PHONE, has_touch=True, is_mobile=True, reduced_motion="reduce")
    swipe = """across => {
        const at = (type, clientX) => new PointerEvent(type, {pointerType: 'touch', clientX, clientY: 300, bubbles: true});
        const book = document.querySelector('.book');
        book.dispatchEvent(at('pointerdown', 160));
        book.dispatchEvent(at('pointerup', 160 + across));
    }"""
    for across in (-80, -80, 80, -10):
        page.evaluate(swipe, across)
    expect(page.locator("output")).to_have_text("Page 3 of 16")
    assert page.evaluate("[...document.querySelectorAll('.page:not([inert])')].map(page => page.id)") == ["page-3"]
    assert told(4, "action", "page") == [("view", None), ("read", 2), ("read", 3), ("read", 4)]


def test_a_shared_address_brings_the_next_reader_by_its_token(site: Site) -> None:
    sharer = site.open("winter-light#page-6")
    sharer.get_by_role("button", name="Share by LinkedIn").click()
    expect(sharer.locator("#share")).to_contain_text("The address for LinkedIn is copied to your clipboard.")
    address = sharer.evaluate("navigator.clipboard.readText()")
    assert address == sharer.get_by_label("Address to share").input_value()
    told(2, "action")
    reader = site.open(address.removeprefix(f"{site.origin}/demo/"))
    expect(reader.locator("output")).to_have_text("Pages 6–7 of 16")
    token = address.partition("?afv=")[2].partition("#")[0]
    assert told(3, "action", "network", "share", "via") == [
        ("view", None, None, None),
        ("share", "linkedin", token, None),
        ("view", None, None, token),
    ]


def test_what_is_done_with_a_document_is_told(site: Site) -> None:
    page = site.open("winter-light#page-6", prepare="print = () => dispatchEvent(new Event('beforeprint'))")
    page.get_by_role("button", name="Orbe, Pendant, € 420").click()
    page.get_by_role("button", name="Add to wish list").click()
    expect(page.get_by_role("button", name="On your wish list")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Zoom").click()
    page.get_by_role("button", name="Print").click()
    page.get_by_role("button", name="Full screen").click()
    with page.expect_download() as download:
        page.evaluate("document.fullscreenElement && document.exitFullscreen()")
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "winter-light.html"
    assert told(7, "action", "page", "target") == [
        ("view", None, None),
        ("click", 6, "suspension-orbe"),
        ("feature", 6, "wishlist"),
        ("feature", 6, "zoom"),
        ("print", 6, None),
        ("feature", 6, "fullscreen"),
        ("download", 6, None),
    ]


def test_a_film_tells_its_play_and_its_stretches(site: Site) -> None:
    page = site.open("blue-hour")
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("slider", name="Time").fill("31")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("slider", name="Time").fill("45")
    expect(page.locator("[data-clock]")).to_have_text("0:45 / 0:45")
    page.reload()
    assert told(5, "action", "media_kind", "page") == [
        ("view", "video", None),
        ("play", None, None),
        ("read", None, 1),
        ("read", None, 2),
        ("view", "video", None),
    ]


def test_a_search_finds_pages_and_is_told(site: Site) -> None:
    page = site.open()
    page.get_by_role("searchbox").fill("nowhere")
    page.keyboard.press("Enter")
    page.get_by_text("Nothing for “nowhere”").wait_for()
    page.get_by_role("searchbox").fill("Cascade")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="For high ceilings").click()
    expect(page.locator("output")).to_have_text("Pages 14–15 of 16")
    assert told(6, "action", "media", "target") == [
        ("view", None, None),
        ("view", None, None),
        ("search", None, "nowhere"),
        ("view", None, None),
        ("search", None, "Cascade"),
        ("view", "winter-light", None),
    ]


def test_a_recommendation_opens_its_media_and_is_counted(site: Site, tmp_path: Path) -> None:
    common = {"hub": "demo", "action": "view", "media": "film-noel", "title": "Un Noël de lumière"}
    file = tmp_path / "history.jsonl"
    file.write_text("".join(json.dumps(common | {"visitor": name}) + "\n" for name in "abc"))
    call_command("import_events", str(file))
    apply_new()
    page = site.open("winter-light")
    link = page.get_by_role("link", name="Un Noël de lumière")
    link.scroll_into_view_if_needed()
    told(5, "action")
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Un Noël de lumière")
    assert page.get_by_role("img", name="Cover: Un Noël de lumière").is_visible()
    events = told(7, "action", "media", "target")
    feature, click = [event for event in events if event[0] in ("feature", "click")]
    group = "recommendations-holdout" if "holdout" in feature[2] else "recommendations"
    assert (feature, click) == (
        ("feature", "winter-light", group),
        ("click", "winter-light", f"{group.replace('recommendations', 'recommendation')}:film-noel"),
    )
    apply_new()
    staff = Client()
    staff.force_login(User.objects.create_superuser("root"))
    rows = staff.get("/hubs/demo/recommendations?period=today").context["groups"]["rows"]
    shown = [(row["shown"], row["followed"]) for row in rows]
    assert sorted(shown) == [("1", "1"), (ABSENT_NUMBER, ABSENT_NUMBER)]


def test_every_media_of_the_history_has_a_cover() -> None:
    demo_hub()
    answers = {key: Client().get(f"/demo/{key}") for key in HISTORY}
    assert {key for key, answer in answers.items() if answer.status_code != 200} == set()
    assert not {*HISTORY} & {*SHELF}
    assert Client().get("/demo/film-noel/download").status_code == 404


def test_it_leads_to_the_numbers_of_what_is_open(site: Site) -> None:
    links = [site.open(path).get_by_role("link", name="See the numbers move") for path in ("", "orbe-poster")]
    assert [(link.get_attribute("href"), link.get_attribute("target")) for link in links] == [
        ("/hubs/demo/consultation?period=today", "_blank"),
        ("/hubs/demo/consultation?period=today&media=orbe-poster", "_blank"),
    ]


def test_who_says_yes_is_known_again_and_who_says_no_is_left_alone(site: Site) -> None:
    page = site.open()
    page.get_by_label("Know me when I come back").check()
    page.goto(f"{site.origin}/demo/orbe-poster")
    expect(page.get_by_label("Know me when I come back")).to_be_checked()
    told(2, "action")
    visitors = [event.get("visitor", "") for event in site.gate.posted if event["action"] == "view"]
    assert [bool(re.fullmatch("[0-9a-f]{32}", visitor)) for visitor in dict.fromkeys(visitors)] == [False, True]


def test_who_asks_not_to_be_tracked_is_not(site: Site) -> None:
    page = site.open(prepare="Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})")
    expect(page.get_by_text("Your browser asks not to be tracked")).to_be_visible()
    expect(page.get_by_label("Know me when I come back")).to_be_hidden()
    page.goto(f"{site.origin}/demo/winter-light")
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Share by X").click()
    assert page.get_by_label("Address to share").input_value() == f"{site.origin}/demo/winter-light#page-2"
    page.goto(f"{site.origin}/demo/")
    assert logged() == []


def test_it_works_where_the_tracker_is_blocked(site: Site) -> None:
    page = site.open()
    page.route("**/tracker.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.goto(f"{site.origin}/demo/winter-light")
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Share by X").click()
    assert page.get_by_label("Address to share").input_value() == f"{site.origin}/demo/winter-light#page-2"


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_scrolls_sideways(site: Site, viewport: dict) -> None:
    page = site.open(viewport=viewport, reduced_motion="reduce")
    wide = []
    for path in (*PAGES, "winter-light#page-2", "winter-light#page-16"):
        page.goto(f"{site.origin}/demo/{path}")
        page.reload()
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(path)
    assert wide == []


def test_without_scripts_all_pages_are_there(site: Site) -> None:
    page = site.open("winter-light", java_script_enabled=False)
    assert [page.locator(f"#page-{number}").is_visible() for number in range(1, 17)] == [True] * 16


def test_print_shows_every_page_on_a_sheet_of_its_own(site: Site) -> None:
    page = site.open("winter-light#page-8")
    page.emulate_media(media="print")
    shown = "[...document.querySelectorAll('.page')].map(page => page.checkVisibility({visibilityProperty: true}))"
    assert page.evaluate(shown) == [True] * 16
    assert page.pdf(width="600px", height="800px").count(b"/Type /Page\n") in (16, 17)


@pytest.mark.parametrize("path", ["demo/", "demo/winter-light", "demo/winter-light/download"])
@pytest.mark.parametrize(
    ("is_demo", "sentence"),
    [
        (False, "It is switched off by <code>DEMO=0</code>; start with <code>make run</code>"),
        (True, "The hub “demo” is missing"),
    ],
    ids=["DEMO=0", "no hub"],
)
def test_without_a_demo_it_says_how_to_have_it(settings, path: str, is_demo: bool, sentence: str) -> None:
    settings.DEMO = is_demo
    if not is_demo:
        demo_hub()
    answer = Client().get(f"/{path}")
    assert (answer.status_code, sentence in answer.content.decode()) == (404, True)


def test_its_lamps_are_the_products_of_the_demo() -> None:
    assert {lamp.key for lamp in LAMPS} == {*PRODUCTS}


def test_a_search_takes_every_word_whatever_its_case() -> None:
    guide = SHELF["hanging-guide"]
    assert [search("ABOVE table wood"), search("above nowhere"), search("")] == [
        [Find(guide, 3, guide.pages[2])],
        [],
        [],
    ]


DOWNLOADS: dict[str, Callable[[bytes], bool]] = {
    "winter-light": lambda content: content.count(b'class="page ') == 16 and b"<link" not in content,
    "hanging-guide": lambda content: content.count(b'class="page ') == 6 and b"<script" not in content,
    "orbe-poster": lambda content: content.startswith(b"<svg"),
}


@pytest.mark.parametrize("key", DOWNLOADS)
def test_a_download_needs_nothing_else(key: str) -> None:
    demo_hub()
    answer = Client().get(f"/demo/{key}/download")
    assert (answer["Content-Disposition"].split(";")[0], DOWNLOADS[key](answer.content)) == ("attachment", True)
