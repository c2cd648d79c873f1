"""Sharing, languages and keys in a real browser, on a phone as on a desk."""

from playwright.sync_api import expect

from tests.browser import test_panel
from tests.browser.test_panel import Watched, number

pytestmark = test_panel.pytestmark
acme, watched = test_panel.acme, test_panel.watched


def origin(watched: Watched) -> str:
    return watched.page.url.split("/hubs/")[0]


def test_a_link_is_made_of_a_filtered_page_and_ended(watched: Watched) -> None:
    page = watched.page
    page.goto(f"{origin(watched)}/hubs/acme/consultation?period=7d&country=BE")
    page.get_by_role("link", name="Share", exact=True).click()
    page.get_by_label("For whom, or what for").fill("Belgium")
    page.get_by_role("button", name="Make the link").click()
    address = page.get_by_label("Address").input_value()
    reader = page.context.browser.new_context().new_page()
    reader.goto(f"{address}?period=7d")
    assert number(reader, "visits") == "1"
    expect(reader.get_by_role("list", name="Filters")).to_contain_text("Belgium")
    expect(reader.get_by_role("list", name="Filters").get_by_role("link")).to_have_count(0)
    page.get_by_role("button", name="Revoke Belgium").click()
    assert reader.reload().status == 404
    assert watched.faults == []


def test_the_panel_speaks_french_from_then_on(watched: Watched) -> None:
    page = watched.page
    page.goto(f"{origin(watched)}/hubs/acme/consultation?lang=fr")
    page.goto(f"{origin(watched)}/hubs/acme/engagement")
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(page.locator("[data-metric=shares] a")).to_have_text("Partages")
    assert watched.faults == []


def test_letters_open_what_they_stand_for(watched: Watched) -> None:
    page = watched.page
    page.wait_for_load_state("load")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.keyboard.press("d")
    page.wait_for_url("**/engagement?*period=today*")
    expect(page.locator("#period-menu")).to_contain_text("Today")
    page.keyboard.press("1")
    page.wait_for_url("**/consultation?*period=today*")
    assert watched.faults == []


def test_the_chart_is_saved_as_a_picture_and_the_tables_as_csv(watched: Watched) -> None:
    page = watched.page
    page.goto(f"{origin(watched)}/hubs/acme/consultation?period=7d")
    with page.expect_download() as picture:
        page.get_by_role("button", name="PNG").click()
    with page.expect_download() as rows:
        page.get_by_role("link", name="Media as CSV").click()
    assert picture.value.path().read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    lines = rows.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert [line.split(",")[:7] for line in lines] == [
        ["Media", "Title", "Kind", "Views", "Visits", "Visitors", "Active time"],
        ["cat-1", "Catalogue 1", "document", "2", "2", "2", "90000"],
        ["cat-2", "Catalogue 2", "document", "1", "1", "1", "45000"],
    ]
    assert (picture.value.suggested_filename, rows.value.suggested_filename) == (
        "acme-visits.png",
        "acme-consultation-media.csv",
    )
