"""The pages of dissemination and retribution in a real browser: branches are fetched as they are opened."""

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core import management
from django.utils import timezone
from playwright.sync_api import Page, expect

from events.catalogue import forget
from events.models import Hub
from speed.consumer import apply_new
from tests.browser.chromium import IN_CHROMIUM, chromium
from tests.caches import renew
from views_layer.links import token_of
from views_layer.models import ShareLink

pytestmark = IN_CHROMIUM
SHARES = 300


def events() -> Iterator[dict]:
    """A tree of SHARES, in which a tenth goes on from any share before it, a chain of six, and five readers who download."""
    chance = random.Random(5)
    start = timezone.now() - timedelta(hours=40)
    tokens: list[str] = []
    for number in range(SHARES):
        via = (
            f"share-{number - 1:03}"
            if 0 < number < 6
            else chance.choice(tokens)
            if number % 10 == 0 and tokens
            else None
        )
        tokens.append(f"share-{number:03}")
        network = chance.choice(["linkedin", "x", "link", "email"])
        yield (
            {"action": "share", "share": tokens[-1], "network": network, "visitor": f"v{number}"}
            | ({"via": via} if via else {})
            | {"occurred_at": (start + timedelta(minutes=5 * number)).isoformat()}
        )
    for number, by in enumerate(("kiosk-7", "kiosk-7", "newsletter", "blog", None)):
        yield {"action": "download", "visitor": f"d{number}", "occurred_at": start.isoformat()} | (
            {"intermediary": by} if by else {}
        )


@pytest.fixture
def home(tmp_path: Path, live_server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The pages of a hub below a share link."""
    renew(monkeypatch)
    forget()
    hub = Hub.objects.create(slug="acme", title="Acme Furniture", timezone="Europe/Paris")
    file = tmp_path / "events.jsonl"
    common = {"hub": "acme", "media": "cat-1", "title": "Catalogue 1", "media_kind": "document"}
    file.write_text("".join(json.dumps(common | event) + "\n" for event in events()))
    management.call_command("import_events", str(file))
    apply_new()
    return f"{live_server.url}/s/{token_of(ShareLink.objects.create(hub=hub, name='all'))}"


@pytest.fixture
def page(home: str) -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(60_000)
        yield page


def test_branches_open_by_key_and_nothing_is_out_of_reach(page: Page, home: str) -> None:
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.goto(f"{home}/dissemination?period=7d")
    expect(page.locator("[data-metric=shares] .figure-value")).to_have_text(str(SHARES))
    tree = page.locator("#tree")
    expect(tree.locator(".leaf", has_text="share-002")).to_have_count(0)
    tree.locator("summary.leaf", has_text="share-001").first.press("Enter")
    expect(tree.locator(".leaf", has_text="share-002")).to_be_visible()
    count = tree.locator("> .branch > li").count()
    tree.locator("> .branch > li").last.get_by_role("link").press("Enter")
    expect(tree.locator("> .branch > li")).not_to_have_count(count)
    assert tree.locator("> .branch > li").count() > count
    assert faults == []


@pytest.mark.parametrize("name", ["dissemination", "retribution"])
def test_its_pages_are_for_everybody(page: Page, home: str, name: str) -> None:
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width in (1280, 320):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"{home}/{name}?period=7d&goal=download")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
