"""Every page in a real browser: its policy is never violated, and text of an event never runs."""

import json
import urllib.parse
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core import management
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from events.catalogue import forget
from events.models import ApiKey, Hub, Media, Membership, RejectedEvent
from speed.consumer import apply_new
from tests.browser.chromium import IN_CHROMIUM, chromium
from tests.security import hostile
from views_layer.pages.panels import TABS

pytestmark = [*IN_CHROMIUM, pytest.mark.slow]
LINKS = "[href], [src], [action], [formaction], [xlink\\:href]"
WRITTEN_LINKS = f"""
    [...document.querySelectorAll({json.dumps(LINKS)})]
        .flatMap((node) => ["href", "src", "action", "formaction"].map((name) => node.getAttribute(name)))
        .filter((link) => link && /^[\\s\\u0000-\\u001f]*(javascript|data|vbscript):/i.test(link))
"""


class Watched:
    """A page that remembers violations of its policy, dialogs, scripts that ran, and links that would run one."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page, self.origin = page, origin
        self.faults: list[str] = []
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => console.error("
            "`violated ${event.violatedDirective} by ${event.blockedURI} ${event.sample}`))"
        )
        page.on("console", lambda message: self._fault(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._fault(f"error: {error}"))
        page.on("dialog", lambda dialog: (self._fault(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request", lambda request: None if request.url.startswith((origin, "data:")) else self._fault(request.url)
        )

    def _fault(self, fault: str) -> None:
        self.faults.append(f"{self.page.url.removeprefix(self.origin)}: {fault}")

    def visit(self, path: str, status: int = 200) -> None:
        """Open a page, load its fragments, open its menus, and look at what became of it."""
        answer = self.page.goto(self.origin + path, wait_until="load")
        assert answer is not None
        if answer.status != status:
            self._fault(f"status {answer.status}")
        self.page.evaluate("scrollTo(0, document.body.scrollHeight)")
        self.page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
        expect(self.page.locator(".htmx-request")).to_have_count(0)
        if self.page.evaluate("window.ran !== undefined"):
            self._fault("a script of an event ran")
        for link in self.page.evaluate(WRITTEN_LINKS):
            self._fault(f"link {link}")
        if self.page.locator("img[src=x], plaintext, svg[onload]").count():
            self._fault("an element of an event stands in the page")

    def healthy(self) -> list[str]:
        """The faults but those that a page of an error's status logs by its nature."""
        return [fault for fault in self.faults if "Failed to load resource" not in fault]


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    """A hub whose events, titles, keys and inbox carry hostile text, told by batch and, for the last, by the buffers."""
    hub = Hub.objects.create(slug="acme", title=hostile.TEXTS[1], timezone="Europe/Paris")
    other = Hub.objects.create(slug="other", title=hostile.TEXTS[0])
    user = User.objects.create_superuser("anna", password="a-good-password", first_name=hostile.TEXTS[1])
    for each in (hub, other):
        Membership.objects.create(user=user, hub=each)
    Group.objects.create(name=hostile.TEXTS[1])
    AccessAttempt.objects.create(
        failures_since_start=1, username=hostile.TEXTS[1], user_agent=hostile.TEXTS[1], path_info=hostile.TEXTS[0]
    )
    for number, text in enumerate(hostile.TEXTS):
        ApiKey.issue(hub, ApiKey.READ, text)
        if number == 5:
            ApiKey.objects.update(revoked_at=timezone.now())
    for name, start in (("old", timezone.now() - timedelta(hours=25)), ("new", timezone.now() - timedelta(minutes=20))):
        file = tmp_path / f"{name}.jsonl"
        lines = [event | {"id": f"{name}-{event['id']}"} for event in hostile.events("acme", start)]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        management.call_command("import_events", str(file), hub="acme")
        if name == "old":
            management.call_command("run_batch")
    forget()
    apply_new()
    return hub


@pytest.fixture(params=["light"])
def watched(request: pytest.FixtureRequest, live_server, hub: Hub) -> Iterator[Watched]:
    """A page of nobody."""
    with chromium() as browser:
        page = browser.new_context(color_scheme=request.param, viewport={"width": 1280, "height": 900}).new_page()
        yield Watched(page, live_server.url)


def log_in(watched: Watched) -> None:
    watched.visit("/hubs/acme/engagement")
    watched.page.get_by_label("User name").fill("anna")
    watched.page.get_by_label("Password").fill("a-good-password")
    watched.page.get_by_role("button", name="Log in").click()
    watched.page.wait_for_url("**/hubs/acme/engagement")


def panel_paths() -> Iterator[str]:
    for panel in TABS:
        yield f"/hubs/acme/{panel.name}?period=7d&compare=previous&robots=include"
        for table in panel.tables:
            yield f"/hubs/acme/{panel.name}/{table.name}?period=7d&robots=include"


def filtered_paths() -> Iterator[str]:
    """A panel filtered by each text: in chips, hidden fields and links."""
    for text in hostile.TEXTS:
        asked = urllib.parse.urlencode({"media": text, "source": text, "properties.x": text, "robots": "include"})
        yield f"/hubs/acme/consultation?period=7d&{asked}"


def refused_paths() -> Iterator[str]:
    for name in ("period", "timezone", "compare", "metric", "interval", "robots", "from", "order", "unknown"):
        yield "/hubs/acme/consultation?" + urllib.parse.urlencode({name: hostile.TEXTS[1]})


def admin_paths() -> Iterator[str]:
    """The index, and every list, form and confirmation that there is a row for."""
    yield "/admin/"
    for model in admin.site._registry:
        kind = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{kind}_changelist")
        yield reverse(f"{kind}_changelist") + "?q=" + urllib.parse.quote(hostile.TEXTS[1])
        for row in model._default_manager.all()[:2]:
            yield reverse(f"{kind}_change", args=[row.pk])


def test_no_page_of_the_panel_violates_its_policy_or_runs_text_of_an_event(watched: Watched) -> None:
    watched.visit("/login?next=javascript:window.ran=1")
    log_in(watched)
    watched.visit("/")
    for path in panel_paths():
        watched.visit(path)
    assert watched.page.evaluate("typeof Chart") == "function"
    watched.visit("/hubs/acme/consultation/media?period=7d&robots=include")
    shown = watched.page.locator("th .label-line > .clip").evaluate_all("nodes => nodes.map(node => node.title)")
    assert set(shown) == {*hostile.TEXTS}
    assert watched.faults == []


@pytest.mark.parametrize("watched", ["dark"], indirect=True)
def test_no_page_violates_its_policy_in_the_dark(watched: Watched) -> None:
    log_in(watched)
    for path in ("/", "/hubs/acme/consultation", "/hubs/acme/engagement?period=7d", "/admin/", "/admin/events/hub/"):
        watched.visit(path)
    assert watched.faults == []


def test_no_filter_and_no_error_runs_what_stands_in_the_address(watched: Watched) -> None:
    log_in(watched)
    for path in filtered_paths():
        watched.visit(path)
    assert watched.healthy() == []
    for path in refused_paths():
        watched.page.goto(watched.origin + path)
        assert watched.page.evaluate("window.ran") is None
    watched.visit("/hubs/none/", status=404)
    assert watched.healthy() == []


def test_no_page_of_the_admin_violates_its_policy_or_runs_text_of_an_event(watched: Watched) -> None:
    assert Media.objects.count() == RejectedEvent.objects.count() / 4 == len(hostile.TEXTS)
    log_in(watched)
    for path in list(admin_paths()):
        watched.visit(path)
    watched.visit("/admin/events/media/")
    assert watched.page.evaluate("typeof Alpine") == "object"
    assert watched.faults == []
