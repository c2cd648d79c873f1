"""The home of the admin in a real browser: what refreshes by itself, and what it says where it cannot."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.sync_api import Page, expect

from batch.models import Errand
from statsproject.celery import store_schedule
from tests.browser.chromium import IN_CHROMIUM, chromium
from tests.browser.test_panel import Watched

pytestmark = IN_CHROMIUM
A_BEAT_MS = 5_100


@pytest.fixture(params=[(1280, 900, "light"), (390, 844, "dark")], ids=["desk", "phone"])
def watched(request: pytest.FixtureRequest, live_server) -> Iterator[Watched]:
    """The home just after login. Its clock stands still, but for what a test lets go by."""
    store_schedule()
    User.objects.create_superuser("root", password="a-good-password")
    width, height, theme = request.param
    with chromium() as browser:
        page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme).new_page()
        page.clock.install()
        watched = Watched(page, live_server.url)
        page.goto(f"{live_server.url}/admin/login/?next=/admin/")
        page.locator("input[name=username]").fill("root")
        page.locator("input[name=password]").fill("a-good-password")
        page.locator("input[name=password]").press("Enter")
        page.wait_for_selector("#glance")
        yield watched


def work(page: Page) -> str:
    return page.locator(".glance-work").first.inner_text()


def test_the_home_refreshes_while_it_is_seen_and_draws_what_its_tables_say(watched: Watched) -> None:
    page = watched.page
    assert work(page) == "Batch has nothing to do."
    now = timezone.now()
    Errand.objects.create(kind="daily", asked_at=now, asked_by="ann", begun_at=now, alive_at=now)
    page.locator("#figure-1").focus()
    page.clock.run_for(A_BEAT_MS)
    expect(page.locator(".glance-work").first).to_contain_text("Daily run, asked for by ann")
    assert page.evaluate("document.activeElement.id") == "figure-1"
    assert page.evaluate("[...document.querySelectorAll('canvas')].map(c => Chart.getChart(c).data.labels.length)") == [
        24,
        24,
        24,
    ]
    page.get_by_text("As a table").first.click()
    expect(page.locator("#table-accepted tbody tr")).to_have_count(24)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert watched.faults == []


def test_a_hidden_tab_asks_for_nothing_and_asks_at_once_when_it_is_seen(watched: Watched) -> None:
    page = watched.page
    asked: list[str] = []
    # Browsers ask for the icon when they please.
    page.on("request", lambda request: None if "/static/" in request.url else asked.append(request.url))
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})")
    page.clock.run_for(10 * A_BEAT_MS)
    assert asked == []
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'visible', configurable: true})")
    with page.expect_response("**/admin/pipeline/"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert watched.faults == []


def test_what_is_not_refreshed_says_so(watched: Watched) -> None:
    page = watched.page
    page.route("**/admin/pipeline/", lambda route: route.abort())
    page.clock.run_for(A_BEAT_MS)
    expect(page.locator("#glance-stale")).to_contain_text("not refreshed: the server does not answer.")
    page.unroute("**/admin/pipeline/")
    page.clock.run_for(A_BEAT_MS)
    expect(page.locator("#glance-stale")).to_be_hidden()


def test_whose_session_has_ended_comes_to_the_login(watched: Watched) -> None:
    page = watched.page
    Session.objects.all().delete()
    page.clock.run_for(A_BEAT_MS)
    expect(page.locator("input[name=password]")).to_be_visible()
    assert page.locator("#glance").count() == 0
