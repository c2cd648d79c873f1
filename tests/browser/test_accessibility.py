"""Every page, in both themes and both languages: axe-core finds nothing, nothing scrolls sideways, keys reach everything."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core import management
from django.core.wsgi import get_wsgi_application
from django.utils import timezone, translation
from playwright.sync_api import Page, TimeoutError, expect

from events import catalogue
from events.collector import Collector
from events.demo.history import append, demo_hub, milliseconds
from events.demo.people import demo_people
from events.demo.visits import Arrival, Audience, in_order
from speed.consumer import apply_new
from statsproject.celery import store_schedule
from tests.api.test_stats_oracle import fresh  # noqa: F401 (a fixture)
from tests.browser.chromium import IN_CHROMIUM, chromium
from tests.browser.hub_pages import collector
from tests.browser.pages import CUSTOMER, NOBODY, PAGES, STAFF, furnish, look_at, signed_in
from views_layer.pages.wording import dated, days_between

pytestmark = IN_CHROMIUM
DAY = "d MMM y"

OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
    "preload": False,
}
WIDTHS = (320, 390, 768, 1280, 2560)
DAYS, VISITS_A_DAY = 40, 12


@pytest.fixture
def furnished(fresh) -> dict[str, str]:  # noqa: F811
    """The demo hub with some weeks of few visits, and all that `furnish` gives it."""
    catalogue.forget()
    store_schedule()
    hub = demo_hub()
    demo_people(hub)
    now = timezone.now()
    chance = random.Random(6)
    audience = Audience(hub.slug, milliseconds(now - timedelta(days=90)), prefix="a", seed="all pages")
    arrivals = [Arrival(milliseconds(now) - chance.randrange(DAYS * 86_400_000)) for _ in range(DAYS * VISITS_A_DAY)]
    append(in_order(audience, arrivals, milliseconds(now)), hub)
    management.call_command("run_batch")
    apply_new()
    return furnish(hub, now)


@contextmanager
def served() -> Iterator[str]:
    """The collector and all pages, as `make run` has them; gives their origin."""
    with collector(Collector(StaticFilesHandler(get_wsgi_application()))) as (origin, _gate):
        yield origin


@pytest.mark.parametrize(
    ("theme", "language", "width"), [("light", "en-GB", 1280), ("dark", "fr-FR", 390)], ids=["light-en", "dark-fr"]
)
def test_every_page_is_for_everybody(furnished, theme: str, language: str, width: int) -> None:
    found: list[str] = []
    options = {"color_scheme": theme, "locale": language, "reduced_motion": "reduce"}
    with served() as origin, chromium() as browser, translation.override(language[:2]):
        for who in (CUSTOMER, STAFF, NOBODY):
            page = signed_in(browser.new_context(**options), who, origin).new_page()
            for shown in (shown for shown in PAGES if shown.who == who):
                page.set_viewport_size({"width": width, "height": 900})
                look_at(page, shown, origin, furnished)
                found += [f"{shown.name}: {violation}" for violation in violations(page)]
                found += [f"{shown.name} scrolls sideways at {wide} px." for wide in too_wide(page)]
    assert not found, "\n".join(found)


def violations(page: Page) -> Iterator[str]:
    """What axe-core finds on a page: the rule, the element, and what would help."""
    page.evaluate(AXE_SCRIPT)
    results = page.evaluate("options => axe.run(document, options)", OPTIONS)
    for rule in results["violations"]:
        for node in rule["nodes"]:
            yield f"{rule['id']} at {node['target']}: {node['failureSummary']}\n  {rule['help']}: {node['html'][:300]}"


def too_wide(page: Page) -> Iterator[int]:
    """The widths at which a page, already loaded, scrolls sideways."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        try:
            # A chart takes its new width a moment after its card.
            page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width, timeout=2_000)
        except TimeoutError:
            yield width


REACHED = """() => {
    const reached = document.activeElement;
    if (reached === document.body || "reached" in reached.dataset) return null;
    reached.dataset.reached = "";
    const outlines = [getComputedStyle(reached), getComputedStyle(reached, "::after"), getComputedStyle(reached.parentElement)];
    const isSeen = outlines.some((style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0);
    return isSeen ? "" : reached.outerHTML.slice(0, 200);
}"""
"""The focus is noted, and told where it cannot be seen: null where it has come round."""

UNREACHED = """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0'], [role=button]")]
    .filter((one) => one.checkVisibility({visibilityProperty: true}) && !("reached" in one.dataset) && one.type !== "hidden")
    .map((one) => one.outerHTML.slice(0, 200))"""


def test_the_tab_key_reaches_everything_and_shows_where_it_is(furnished) -> None:
    unseen, unreached = [], []
    with served() as origin, chromium() as browser:
        for shown in (shown for shown in PAGES if shown.name in ("consultation", "admin")):
            page = signed_in(browser.new_context(), shown.who, origin).new_page()
            look_at(page, shown, origin, furnished)
            page.keyboard.press("Tab")
            while (hidden := page.evaluate(REACHED)) is not None:
                unseen += [hidden] if hidden else []
                page.keyboard.press("Tab")
            unreached += page.evaluate(UNREACHED)
    assert (unseen, unreached) == ([], [])


def test_the_first_key_skips_to_the_content_and_a_dialog_keeps_the_focus(furnished) -> None:
    with served() as origin, chromium() as browser:
        shown = next(shown for shown in PAGES if shown.name == "retribution")
        page = signed_in(browser.new_context(), shown.who, origin).new_page()
        look_at(page, shown, origin, furnished)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"

        page.locator("#period-menu").focus()
        page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keys")
        expect(dialog).to_be_visible()
        for _ in range(4):
            page.keyboard.press("Tab")
            # From its last element the focus goes to the browser's own parts, and then comes back.
            assert page.evaluate(
                "document.activeElement.closest('dialog, body').matches('dialog') || document.activeElement === document.body"
            )
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        assert page.evaluate("document.activeElement.id") == "period-menu"


def test_own_dates_are_chosen_by_key_and_their_order_is_told(furnished) -> None:
    with served() as origin, chromium() as browser:
        shown = next(shown for shown in PAGES if shown.name == "retribution")
        page = signed_in(browser.new_context(), shown.who, origin).new_page()
        look_at(page, shown, origin, furnished)
        first, last = page.get_by_label("From"), page.get_by_label("To", exact=True)
        page.locator("#period-menu").press("Enter")
        today = timezone.now().astimezone(demo_hub().zone).date()
        assert first.get_attribute("max") == last.get_attribute("max") == today.isoformat()
        assert today - timedelta(days=DAYS + 1) <= date.fromisoformat(first.get_attribute("min") or "") < today
        earlier, later = today - timedelta(days=9), today - timedelta(days=2)
        for field, day in ((first, later), (last, earlier)):
            field.focus()
            page.keyboard.type(f"{day:%m%d%Y}")
        page.keyboard.press("Enter")
        told = [dated(day, DAY) for day in (later, earlier)]
        problem = f"The first day, {told[0]}, is after the last, {told[1]}: choose another of the two."
        expect(page.locator("#dates-problem")).to_have_text(problem)
        expect(last).to_have_attribute("aria-invalid", "true")
        last.focus()
        page.keyboard.type(f"{today:%m%d%Y}")
        page.keyboard.press("Enter")
        expect(page.locator("#period-menu")).to_contain_text(days_between(later, today))
        assert parse_qs(urlsplit(page.url).query) == {
            "goal": ["download"],
            "from": [later.isoformat()],
            "to": [(today + timedelta(days=1)).isoformat()],
        }
