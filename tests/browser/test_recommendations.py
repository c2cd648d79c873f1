"""The page of recommendations in a real browser."""

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
MEDIA = 26


def events() -> Iterator[dict]:
    """Visitors who read neighbouring catalogues of MEDIA, some of whom follow what is recommended."""
    chance = random.Random(3)
    start = timezone.now() - timedelta(days=5)
    for number in range(200):
        first = chance.randrange(MEDIA)
        own = [f"cat-{(first + step) % MEDIA + 1}" for step in range(3)]
        at = start + timedelta(minutes=30 * number)
        common = {"hub": "acme", "visitor": f"v{number}"}
        for step, media in enumerate(own):
            title = f"Catalogue {media.removeprefix('cat-')}: chairs, tables and everything that goes with them"
            occurred_at = (at + timedelta(minutes=step)).isoformat()
            yield common | {"action": "view", "media": media, "title": title, "occurred_at": occurred_at}
        is_held_out = number % 10 == 0
        listed = common | {"media": own[0], "occurred_at": at.isoformat()}
        name = "recommendations-holdout" if is_held_out else "recommendations"
        yield listed | {"action": "feature", "target": name}
        if number % 4 == 0:
            group = "recommendation-holdout" if is_held_out else "recommendation"
            yield listed | {"action": "click", "target": f"{group}:{own[1]}"}


@pytest.fixture
def home(tmp_path: Path, live_server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The pages of a hub below a share link."""
    renew(monkeypatch)
    forget()
    hub = Hub.objects.create(slug="acme", title="Acme Furniture", timezone="Europe/Paris")
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events()))
    management.call_command("import_events", str(file))
    apply_new()
    return f"{live_server.url}/s/{token_of(ShareLink.objects.create(hub=hub, name='all'))}"


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(60_000)
        yield page


def test_its_page_is_for_everybody(page: Page, home: str) -> None:
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width in (1280, 320):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"{home}/recommendations")
            expect(page.locator("#lists tbody")).to_have_count(20)
            expect(page.locator(".tabs [aria-current]")).to_be_in_viewport(ratio=1)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("searchbox").fill("catalogue 7")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("#lists tbody")).to_have_count(1)
    page.get_by_role("link", name="All media").click()
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#lists tbody")).to_have_count(MEDIA - 20)
    assert faults == []
