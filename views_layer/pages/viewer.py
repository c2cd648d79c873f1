"""Who looks at the pages of a hub, and where those pages are for him."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from events.models import Hub
from views_layer.access import hub_for_user
from views_layer.links import link_of, token_of
from views_layer.models import ShareLink
from views_layer.pages.panels import MEDIA, RETRIBUTION, Panel


class Request(HttpRequest):
    """A request as django-htmx's middleware passes it on."""

    htmx: HtmxDetails


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel stands: at `url`; its tables at `tables`, the table's name and `of`."""

    panel: Panel
    url: str
    tables: str
    of: str = ""

    def table_url(self, name: str) -> str:
        return f"{self.tables}{name}{self.of}"


@dataclass(frozen=True, slots=True)
class Viewer:
    """A signed-in person, or whoever holds a share link. The pages of `hub` lie below `home`, which ends with /."""

    hub: Hub
    home: str
    user: User | AnonymousUser | None = None
    link: ShareLink | None = None

    @property
    def forced(self) -> dict[str, list[str]]:
        """The filters that the viewer cannot remove."""
        return self.link.filters if self.link else {}

    @property
    def sees_all(self) -> bool:
        """Whether what is about the whole hub may be shown: live visitors, restatements."""
        return not self.forced

    @property
    def intermediaries(self) -> list[str]:
        """Whom the link of an intermediary shows: its filters are on nobody else, and on nothing else."""
        return [code for code in self.forced["intermediary"] if code] if {*self.forced} == {"intermediary"} else []

    def may_open(self, panel: Panel) -> bool:
        """What is learnt is of the whole hub, apart from what intermediaries see of themselves."""
        return not panel.is_learnt or self.sees_all or (panel is RETRIBUTION and bool(self.intermediaries))

    def url(self, *parts: str) -> str:
        """The address of a page below home: of a panel, or of a table of it."""
        return self.home + "/".join(parts)

    def place(self, panel: Panel) -> Place:
        return Place(panel, self.url(panel.name), self.url(panel.name, ""))

    def place_of_media(self, key: str) -> Place:
        """Where the page of a media stands: its key is one segment of the address, whatever is in it."""
        quoted = quote(key, safe="")
        return Place(MEDIA, self.url(MEDIA.name, quoted), self.url(f"{MEDIA.name}-tables", ""), f"/{quoted}")

    def media_url(self, key: str) -> str:
        """The page of a media; empty for `.` and `..`, which a browser takes for a step in its address."""
        return "" if key in {".", ".."} else self.place_of_media(key).url


def for_viewer(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view of a hub's pages, given the viewer: by its `slug` a person who may see the hub, by its `token` a link.

    Others are sent to the login page, or to the link's password; a fragment's whole page is sent with it.
    """

    @functools.wraps(view)
    def guarded(request: Request, *args, slug: str = "", token: str = "", **kwargs) -> HttpResponseBase:
        if token:
            viewer = viewer_of_link(token)
            if not is_open(request, viewer):
                asking = {"next": _address(request)}
                return _led(request, f"{viewer.url('unlock')}?{urlencode(asking, doseq=True)}")
            return view(request, viewer, *args, **kwargs)
        if not request.user.is_authenticated:
            return _led(request, redirect_to_login(_address(request)).url)
        return view(request, viewer_of_person(request.user, slug), *args, **kwargs)

    return require_safe(never_cache(guarded))


def for_person(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view with a form about a hub, given the viewer: for people who may see the hub; the others log in first."""

    @functools.wraps(view)
    def guarded(request: HttpRequest, slug: str) -> HttpResponse:
        return view(request, viewer_of_person(request.user, slug))

    return never_cache(login_required(require_http_methods(["GET", "HEAD", "POST"])(guarded)))


def viewer_of_person(user: User | AnonymousUser, slug: str) -> Viewer:
    """A person who looks at a hub. Raises Http404 where there is none or `user` may not see it."""
    return Viewer(hub_for_user(user, slug), reverse("hub", args=[slug]), user=user)


def viewer_of_link(token: str) -> Viewer:
    """The holder of a share link. Raises Http404: one that has ended looks like one that never was."""
    link = link_of(token, timezone.now())
    if link is None:
        raise Http404(_("This link has ended, or never was one."))
    return Viewer(link.hub, reverse("share", args=[token_of(link)]), link=link)


def is_open(request: HttpRequest, viewer: Viewer) -> bool:
    """Whether a link has no password, or this browser has given it."""
    link = viewer.link
    return link is None or not link.password or request.session.get(_key(link)) == link.password


def open_to(request: HttpRequest, link: ShareLink) -> None:
    """Remember that this browser has given the password of a link, for as long as it stays that."""
    request.session[_key(link)] = link.password


def _key(link: ShareLink) -> str:
    return f"share-link-{link.pk}"


def _address(request: Request) -> str:
    """The page that was asked for: of a fragment the page around it."""
    return (request.htmx.current_url_abs_path or "/") if request.htmx else request.get_full_path()


def _led(request: Request, url: str) -> HttpResponse:
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)
