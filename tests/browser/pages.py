"""Every page there is, for what is asked of all of them: the tests of accessibility, and the pictures in docs/."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client
from playwright.sync_api import BrowserContext, Page, expect

from batch.models import Restatement
from events.models import Hub, Membership
from views_layer.links import lock, token_of
from views_layer.mails import confirmation
from views_layer.mails.message import token_of as leaving_token
from views_layer.models import Mail, Note, Rate, ShareLink, Subscription
from views_layer.statements import issue

NOBODY, CUSTOMER, STAFF = "nobody", "demo", "admin"
FIXED = {"503": "/503.html", "500": "/500.html"}
"""The pages of errors that no address gives: their templates, served in its stead."""


def _as_it_is(page: Page) -> None:
    """Nothing to do."""


def _open(selector: str) -> Callable[[Page], None]:
    """Click on a menu."""
    return lambda page: page.locator(selector).click()


def _old_form(page: Page) -> None:
    """Send the login without the cookie that its form needs."""
    page.context.clear_cookies()
    page.locator("input[name=username]").fill("demo")
    page.locator("input[name=password]").fill("wrong")
    page.locator("form button").click()
    page.wait_for_load_state()


def _wrong_password(page: Page) -> None:
    page.locator("input[name=username]").fill("nobody")
    page.locator("input[name=password]").fill("wrong")
    page.locator("form button").click()
    page.locator("[role=alert]").wait_for()


@dataclass(frozen=True, slots=True)
class Shown:
    """A page to look at: its address, with the names of `Furnished` in braces, who opens it, and what is done there."""

    name: str
    path: str
    who: str = CUSTOMER
    then: Callable[[Page], None] = _as_it_is
    is_main: bool = False
    """Whether it is also pictured on a phone."""

    @property
    def is_opened(self) -> bool:
        """Whether something is done on the page once it is there."""
        return self.then is not _as_it_is


HUB = "/hubs/{hub}/"
PAGES = (
    Shown("consultation", HUB + "consultation?period=30d", is_main=True),
    Shown("engagement", HUB + "engagement?period=30d", is_main=True),
    Shown("dissemination", HUB + "dissemination?period=30d&media=catalogue-noel", is_main=True),
    Shown("retribution", HUB + "retribution?period=30d&goal=download", is_main=True),
    Shown("recommendations", HUB + "recommendations?period=30d", is_main=True),
    Shown("media", HUB + "media/catalogue-noel?period=30d", is_main=True),
    Shown("table", HUB + "consultation/media?period=30d"),
    Shown("period", HUB + "retribution?period=30d", then=_open("#period-menu"), is_main=True),
    Shown("inverted-dates", HUB + "consultation?from=2026-11-08&last=2026-11-01"),
    Shown("account", HUB + "retribution?period=30d", then=_open("#user-menu")),
    Shown("keys", HUB + "retribution?period=30d", then=lambda page: page.keyboard.press("?")),
    Shown("restatements", HUB + "restatements?period=30d"),
    Shown("share-links", HUB + "links?country=FR"),
    Shown("reports", HUB + "reports"),
    Shown("notes", HUB + "notes"),
    Shown("nothing-in-period", HUB + "consultation?from=2020-01-01&to=2020-01-08"),
    Shown("unanswerable", HUB + "consultation?period=aeon"),
    Shown("no-events-yet", "/hubs/{new}/consultation"),
    Shown("link", "{link}consultation?period=30d&country=FR&device=mobile", NOBODY),
    Shown("link-password", "{locked}", NOBODY),
    Shown("link-embedded", "{link}dissemination?period=30d&embed=1", NOBODY),
    Shown("intermediary", "{intermediary}retribution?period=30d&goal=download", NOBODY, is_main=True),
    Shown("unsubscribe", "{leaving}", NOBODY),
    Shown("confirm", "{asked}", NOBODY),
    Shown("login", "/login", NOBODY, is_main=True),
    Shown("login-refused", "/login", NOBODY, then=_wrong_password),
    Shown("403", "/login", NOBODY, then=_old_form),
    Shown("404", HUB + "nowhere"),
    Shown("500", FIXED["500"]),
    Shown("503", FIXED["503"]),
    Shown("demo-shelf", "/demo/", NOBODY, is_main=True),
    Shown("demo-search", "/demo/?q=glass", NOBODY),
    Shown("demo-document", "/demo/winter-light#page-2", NOBODY, is_main=True),
    Shown("demo-image", "/demo/orbe-poster", NOBODY),
    Shown("demo-film", "/demo/blue-hour", NOBODY),
    Shown("hubs", "/", STAFF),
    Shown("admin-login", "/admin/login/", NOBODY),
    Shown("admin", "/admin/", STAFF, is_main=True),
    Shown("admin-rebuild", "/admin/errands/rebuild/", STAFF),
    Shown("admin-list", "/admin/events/hub/", STAFF),
    Shown("admin-form", "/admin/views_layer/rate/add/", STAFF),
    Shown("admin-features", "/admin/features/", STAFF),
    Shown("admin-journeys", "/admin/journeys/", STAFF),
    Shown("admin-journey", "/admin/journeys/?after=download", STAFF),
)


def furnish(hub: Hub, now: datetime) -> dict[str, str]:
    """What a hub has after some months: links, notes, subscriptions, rates, statements. Returns the names in paths."""
    user = User.objects.get(username=CUSTOMER)
    today = now.astimezone(hub.zone).date()
    new = Hub.objects.create(slug="atelier", title="L’Atelier du Verre", timezone="Europe/Paris")
    Membership.objects.create(user=user, hub=new)

    def link(name: str, password: str = "", filters: dict | None = None) -> str:
        made = ShareLink(hub=hub, name=name, created_by=user, filters=filters or {})
        lock(made, password)
        made.save()
        return f"/s/{token_of(made)}/"

    for days, text in ((16, "Le Catalogue de Noël goes online"), (5, "Black Friday: newsletter to 12,000 addresses")):
        Note.objects.create(hub=hub, day=today - timedelta(days=days), text=text, created_by=user)
    Rate.objects.create(hub=hub, goal="download", amount="80", first_day=today - timedelta(days=90))
    Rate.objects.create(hub=hub, goal="visits", amount="5", first_day=today - timedelta(days=90))
    issue(hub, (today.replace(day=1) - timedelta(days=1)).replace(day=1), None, now)
    common = {"hub": hub, "created_by": user}
    weekly = Subscription.objects.create(
        address="direction@maison-lumiere.example", kind=Subscription.WEEKLY, confirmed_at=now, **common
    )
    Subscription.objects.create(
        address="web@maison-lumiere.example", kind=Subscription.HOURLY, confirmed_at=now, **common
    )
    waiting = Subscription.objects.create(
        address="presse@maison-lumiere.example", kind=Subscription.MONTHLY, asked_at=now, **common
    )
    Mail.objects.create(
        subscription=weekly, period="2026-11-23", due_at=now, free_at=now, until=now, sent_at=now - timedelta(hours=2),
        subject="Maison Lumière: the week from 23 November",
    )  # fmt: skip
    midnight = now.astimezone(hub.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    for days, metric, old, changed in ((3, "visits", 96, 97), (3, "page_reads", 812, 820), (9, "shares", 6, 7)):
        Restatement.objects.create(
            hub=hub.slug, metric=metric, old=old, new=changed, reason=Restatement.LATE, restated_at=now, epoch=days,
            day_start=midnight - timedelta(days=days), day_end=midnight - timedelta(days=days - 1),
        )  # fmt: skip
    return {
        "hub": hub.slug,
        "new": new.slug,
        "link": link("The board"),
        "locked": link("The agency", password="lumen"),
        "intermediary": link("Kiosk 7", filters={"intermediary": ["kiosk-7"]}),
        "asked": f"/confirm/{confirmation.token_of(waiting, now + confirmation.LASTS)}",
        "leaving": f"/unsubscribe/{leaving_token(weekly)}",
    }


def signed_in(context: BrowserContext, who: str, origin: str) -> BrowserContext:
    """The context as that of whoever it is, by a session of the server at `origin`."""
    if who != NOBODY:
        client = Client()
        client.force_login(User.objects.get(username=who))
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": origin}])
    for name, path in FIXED.items():
        context.route(f"**{path}", _error_page(name))
    return context


def _error_page(name: str) -> Callable:
    content = render_to_string(f"{name}.html", {"request_id": "4f1c2a9b7d3e5f60"})
    return lambda route: route.fulfill(body=content, content_type="text/html; charset=utf-8")


def look_at(page: Page, shown: Shown, origin: str, furnished: dict[str, str]) -> None:
    """Open the page, with every card in it loaded."""
    page.goto(origin + shown.path.format(**furnished))
    page.evaluate(
        "document.querySelectorAll('[data-fragment][aria-busy]').forEach(card => htmx.trigger(card, 'affluence:retry'))"
    )
    expect(page.locator("[data-fragment][aria-busy]")).to_have_count(0)
    shown.then(page)
