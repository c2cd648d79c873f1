"""The panel in a real browser: what a customer sees and clicks."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core import management
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from events.models import Hub, Media, Membership
from events.user_agents import classify
from speed.consumer import apply_new
from tests.browser.chromium import IN_CHROMIUM, chromium
from views_layer.pages.wording import dated, days_between

pytestmark = IN_CHROMIUM
DAY = "d MMM y"


def events() -> Iterator[dict]:
    """Three visits of yesterday: two French, one Belgian; the media cat-1 twice, cat-2 once; one share, one click."""
    start = timezone.now() - timedelta(hours=25)
    visits = [("v1", "FR", "cat-1"), ("v2", "FR", "cat-2"), ("v3", "BE", "cat-1")]
    for number, (visitor, country, media) in enumerate(visits):
        common = {"hub": "acme", "visitor": visitor, "visit": f"{visitor}-1", "country": country, "media": media}
        steps = [
            {"action": "view", "title": f"Catalogue {media[-1]}", "media_kind": "document", "pages": 12},
            {"action": "read", "page": 1, "duration_ms": 30_000},
            {"action": "read", "page": 2, "duration_ms": 15_000},
        ]
        if visitor == "v1":
            steps += [
                {"action": "share", "network": "linkedin"},
                {"action": "click", "target": "https://shop.example/a"},
            ]
        for step, fields in enumerate(steps):
            occurred_at = start + timedelta(minutes=10 * number, seconds=30 * step)
            yield {"id": f"{visitor}-{step}", "occurred_at": occurred_at.isoformat(), **common, **fields}


@pytest.fixture
def acme(tmp_path: Path) -> Hub:
    hub = Hub.objects.create(slug="acme", title="Acme Furniture", timezone="Europe/Paris")
    user = User.objects.create_user("anna", password="a-good-password")
    Membership.objects.create(user=user, hub=hub)
    for key in ("cat-1", "cat-2"):
        fields = {"title": f"Catalogue {key[-1]}", "kind": "document", "pages": 12, "first_at": timezone.now()}
        Media.objects.get_or_create(hub=hub, key=key, defaults=fields)
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events()))
    management.call_command("import_events", str(file), hub="acme")
    management.call_command("run_batch")
    return hub


class Watched:
    """A page that remembers what a healthy one has none of: console errors and requests to other hosts."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("console", lambda message: self._fault(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._fault(str(error)))
        page.on("request", lambda request: None if request.url.startswith(origin) else self._fault(request.url))

    def _fault(self, fault: str) -> None:
        self.faults.append(fault)


@pytest.fixture(params=[(1440, 900, "light"), (390, 844, "dark")], ids=["desk", "phone"])
def watched(request: pytest.FixtureRequest, live_server, acme: Hub) -> Iterator[Watched]:
    """A page just after login."""
    width, height, theme = request.param
    with chromium() as browser:
        page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme).new_page()
        watched = Watched(page, live_server.url)
        page.goto(f"{live_server.url}/hubs/acme/engagement")
        page.get_by_label("User name").fill("anna")
        page.get_by_label("Password").fill("a-good-password")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/hubs/acme/engagement")
        yield watched


def number(page: Page, metric: str) -> str:
    return page.locator(f"[data-metric={metric}] .figure-value").inner_text()


def table(page: Page, name: str) -> Locator:
    """A table, scrolled to: those below the fold load when they are seen."""
    page.evaluate("id => document.getElementById(id).scrollIntoView()", f"table-{name}")
    return page.locator(f"#table-{name}:not([aria-busy])")


def test_a_customer_reads_filters_and_goes_back(watched: Watched) -> None:
    page = watched.page
    assert [number(page, metric) for metric in ("shares", "clicks", "downloads")] == ["1", "1", "0"]

    page.get_by_role("link", name="Consultation").click()
    page.wait_for_url("**/consultation*")
    expect(page.locator("h1")).to_have_text("Consultation")
    shown = {metric: number(page, metric) for metric in ("visits", "views", "page_reads", "avg_visit_duration_ms")}
    assert shown == {"visits": "3", "views": "3", "page_reads": "6", "avg_visit_duration_ms": "0:45"}
    expect(page.locator(".trust")).to_contain_text("Exact.")

    table(page, "countries").get_by_role("link", name="France").click()
    expect(page.locator(".chip")).to_contain_text("France")
    expect(page.locator("[data-metric=visits] .figure-value")).to_have_text("2")
    assert "country=FR" in page.url

    table(page, "media").get_by_role("link", name="Catalogue 2", exact=True).click()
    expect(page.locator("[data-metric=visits] .figure-value")).to_have_text("1")
    expect(table(page, "pages")).to_contain_text("Page 2")

    page.go_back()
    expect(page.locator("[data-metric=visits] .figure-value")).to_have_text("2")
    page.get_by_role("link", name="Remove the filter Country: France").click()
    expect(page.locator("[data-metric=visits] .figure-value")).to_have_text("3")
    assert watched.faults == []


def test_a_key_number_becomes_the_measure_of_the_chart(watched: Watched) -> None:
    page = watched.page
    page.locator("[data-metric=clicks]").get_by_role("link").click()
    expect(page.locator("#chart-title")).to_have_text("Clicks")
    assert "metric=clicks" in page.url
    page.get_by_text("Table of the chart").click()
    expect(page.locator("[data-series] tbody tr")).to_have_count(7)
    assert page.evaluate("Chart.getChart(document.querySelector('canvas')).data.datasets[0].data.length") == 7
    assert watched.faults == []


def test_the_arrow_beside_a_title_leads_to_the_page_of_the_media(watched: Watched) -> None:
    page = watched.page
    page.get_by_role("link", name="Consultation").click()
    page.wait_for_url("**/consultation*")
    table(page, "media").get_by_role("link", name="Page of Catalogue 1").click()
    expect(page.locator("h1")).to_have_text("Catalogue 1")
    expect(page.locator("#reading")).to_contain_text("Of 2 visitors, 100% saw page 1, 0% page 12, the last one.")
    drawn = "[...document.querySelectorAll('[data-chart] canvas')].map(c => Chart.getChart(c).data.datasets.map(d => d.data.length))"
    assert page.evaluate(drawn) == [[12], [12, 12], [12, 12], [7, 7]]
    for chart, name in (
        ("Active time", "acme-time.png"),
        ("Where visits stop, and what they come back to", "acme-stops.png"),
    ):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"{chart} as PNG").click()
        assert download.value.suggested_filename == name
    page.get_by_text("Every figure, page by page").click()
    expect(page.locator("#reading-table tbody tr").nth(1).locator("td")).to_have_text(
        ["2", "100%", "2", "0:15", "0:15", "0", "2", "0", "0", "0.00"]
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert watched.faults == []


def dragged(page: Page, first: int, last: int) -> None:
    """Drag across the chart from one bucket to another."""
    box = page.locator("#chart canvas").bounding_box()
    assert box is not None
    across = [
        page.evaluate("n => Chart.getChart(document.querySelector('#chart canvas')).scales.x.getPixelForValue(n)", at)
        for at in (first, last)
    ]
    page.mouse.move(box["x"] + across[0], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + across[1], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()


def test_a_drag_across_the_chart_shows_its_buckets_and_back_shows_all(watched: Watched) -> None:
    page = watched.page
    page.locator("#chart").scroll_into_view_if_needed()
    dragged(page, 4, 5)
    today = timezone.now().astimezone(ZoneInfo("Europe/Paris")).date()
    expect(page.locator("#period-menu")).to_contain_text(
        days_between(today - timedelta(days=2), today - timedelta(days=1))
    )
    assert number(page, "shares") == "1"
    page.go_back()
    expect(page.locator("[data-series] tbody tr")).to_have_count(7)

    page.get_by_text("Table of the chart").click()
    began = (timezone.now() - timedelta(hours=25)).astimezone(
        ZoneInfo("Europe/Paris")
    )  # Maybe the day before yesterday.
    page.locator("[data-series] a").nth(6 - (today - began.date()).days).press("Enter")
    expect(page.locator("#period-menu")).to_have_text(f"Period: {dated(began.date(), DAY)}")
    page.locator("#chart").scroll_into_view_if_needed()
    first = min(began.hour, 20)
    dragged(page, first, first + 3)
    expect(page.locator("#period-menu")).to_contain_text(re.compile(r"\d\d:00 – .*\d\d:00"))
    expect(page.locator("[data-series] tbody tr")).to_have_count(4)
    assert watched.faults == []


def test_numbers_are_read_again_by_themselves_where_events_came(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    page.get_by_role("link", name="Consultation").click()
    expect(page.locator("[data-metric=visits] .figure-value")).to_have_text("3")
    page.locator("#figure-visits").focus()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/consultation" in request.url else None)
    beats = page.locator(".live-count")
    beat(page)
    expect(beats).to_contain_text("0")
    assert asked == []

    page.locator("[data-metric=views] summary").click()
    event = {"id": "late", "hub": "acme", "action": "view", "media": "cat-1", "visitor": "v9", "visit": "v9-1"}
    file = tmp_path / "more.jsonl"
    file.write_text(json.dumps(event | {"occurred_at": timezone.now().isoformat()}))
    management.call_command("import_events", str(file), hub="acme")
    apply_new()
    beat(page)
    expect(beats).to_contain_text("1")
    expect(page.locator("#trust")).to_contain_text("Exact.")
    expect(page.locator("[data-metric=visits] .figure-value")).to_have_text("3")
    page.keyboard.press("Escape")
    page.locator("#chart-png").focus()
    page.mouse.move(0, 0)  # away from the chart, which is not taken from under a pointer
    beat(page)
    expect(page.locator("[data-metric=visits] .figure-value")).to_have_text("4")
    expect(page.locator("#chart-png")).to_be_focused()
    page.wait_for_function("Chart.getChart(document.querySelector('#chart canvas'))?.data.datasets[0].data[6] == 1")
    assert watched.faults == []


def beat(page: Page) -> None:
    """What happens every five seconds, at once, to its end."""
    with page.expect_response("**/live"):
        page.evaluate("htmx.trigger(document.body, 'affluence:tick')")


def test_own_dates_are_chosen_and_include_the_last_day(watched: Watched) -> None:
    page = watched.page
    yesterday = (timezone.now() - timedelta(hours=25)).astimezone(ZoneInfo("Europe/Paris")).date()
    page.locator("#period-menu").click()
    page.get_by_label("From", exact=True).fill(yesterday.isoformat())
    page.get_by_label("To", exact=True).fill(yesterday.isoformat())
    page.get_by_role("button", name="Show these dates").click()
    expect(page.locator("#period-menu")).to_contain_text(dated(yesterday, DAY))
    assert number(page, "shares") == "1"
    assert f"from={yesterday}" in page.url
    assert f"to={yesterday + timedelta(days=1)}" in page.url
    assert watched.faults == []


def test_a_theme_is_kept_and_nothing_scrolls_sideways(watched: Watched) -> None:
    page = watched.page
    page.locator("#user-menu").click()
    page.get_by_role("radio", name="Dark").check()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert watched.faults == []


def test_a_media_is_read_by_its_title_and_every_number_below_its_own(watched: Watched) -> None:
    media = table(watched.page, "media")
    places = "cells => cells.filter(cell => cell.checkVisibility()).map(cell => Math.round(cell.getBoundingClientRect().right))"
    assert media.locator("thead .num").evaluate_all(places) == media.locator("tbody tr").first.locator(
        ".num"
    ).evaluate_all(places)
    title = media.get_by_role("link", name="Catalogue 1", exact=True)
    assert title.evaluate("title => title.clientWidth > 0 && title.scrollWidth <= title.clientWidth")


def test_it_is_printed_on_white_without_what_is_to_be_clicked(watched: Watched) -> None:
    page = watched.page
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor") == "rgb(255, 255, 255)"
    for selector in ("#period-menu", ".definition", ".behind", "#chart-notes"):
        expect(page.locator(selector).first).to_be_hidden()


def test_menus_close_on_escape_and_give_the_focus_back(watched: Watched) -> None:
    page = watched.page
    page.locator("#period-menu").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Last 28 days")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Last 28 days")).to_be_hidden()
    assert page.evaluate("document.activeElement.id") == "period-menu"


def test_the_keyboard_stays_where_it_was_or_at_the_beginning_of_what_it_opened(watched: Watched) -> None:
    page = watched.page
    order = table(page, "media").get_by_role("link", name="Clicks")
    order.press("Enter")
    expect(page.locator("#table-media thead [aria-sort=descending]")).to_have_text("Clicks")
    expect(order).to_be_focused()
    table(page, "media").get_by_role("link", name="Catalogue 1", exact=True).press("Enter")
    expect(page.locator(".chip")).to_contain_text("Catalogue 1")
    expect(page.locator("#content")).to_be_focused()
    page.locator(".chip a").press("Enter")
    expect(page.locator(".chip")).to_have_count(0)
    expect(page.locator("#content")).to_be_focused()


def test_no_page_holds_inline_style_or_script(watched: Watched) -> None:
    for selector in ("style", "[style]:not(canvas)", "script:not([src])"):
        assert watched.page.locator(selector).count() == 0


def test_a_hub_without_events_gives_the_tracker_to_copy(watched: Watched) -> None:
    page = watched.page
    new = Hub.objects.create(slug="new", timezone="Europe/Paris")
    Membership.objects.create(user=User.objects.get(username="anna"), hub=new)
    origin = page.evaluate("location.origin")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{origin}/hubs/new/consultation")
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").splitlines() == [
        f'<script defer src="{origin}/tracker.js" data-hub="new"></script>',
        '<script type="module">affluence.view("first-media",'
        ' { title: "My first media", kind: "document", pages: 12 });</script>',
    ]
    command = page.locator(".code").nth(1).inner_text()
    assert command.startswith("curl ")
    agent = re.search(r'-A "(.+?)"', command)
    assert agent
    assert not classify(agent[1]).is_bot, "the page would not turn live"
    assert watched.faults == []
