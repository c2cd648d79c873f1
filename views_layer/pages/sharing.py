"""The page where share links are made and ended, and the one that asks for a link's password."""

from datetime import date, datetime, timedelta

from django import forms
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from aggregations.buckets import midnight
from events.collector import address_of
from events.models import Hub
from events.throttle import Throttle, network_of
from views_layer.links import lock, opens, token_of
from views_layer.models import ShareLink
from views_layer.pages.frame import frame_of
from views_layer.pages.panels import LINKS
from views_layer.pages.rows import media_of
from views_layer.pages.selection import Selection
from views_layer.pages.viewer import Viewer, for_person, is_open, open_to, viewer_of_link

_attempts = Throttle(rate=1 / 60, burst=10)
"""How often a network may try the password of a link: ten times, then once a minute."""


class LinkForm(forms.Form):
    """A share link to make: what it is for, and what limits it."""

    name = forms.CharField(max_length=100, label=lazy("For whom, or what for"))
    last_day = forms.DateField(required=False, label=lazy("Last day"))
    password = forms.CharField(required=False, max_length=128, label=lazy("Password"))

    def __init__(self, *args, first: date, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.first = first

    def clean_last_day(self) -> date | None:
        last = self.cleaned_data["last_day"]
        if last is not None and last < self.first:
            raise forms.ValidationError(_("%(day)s is over; choose a later day, or none.") % {"day": last})
        return last


@for_person
def links(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """The share links of a hub, and the form for one that shows what the page shows that led here."""
    hub = viewer.hub
    now = timezone.now()
    form = LinkForm(request.POST or None, first=now.astimezone(hub.zone).date())
    selection = Selection(hub, request.GET, "events")
    if "revoke" in request.POST:
        ShareLink.objects.filter(hub=hub, public_id=request.POST["revoke"], revoked_at=None).update(revoked_at=now)
        return redirect(request.get_full_path())
    if request.method == "POST" and form.is_valid():
        made = _made(hub, request, selection, form.cleaned_data)
        return redirect(f"{reverse('links', args=[hub.slug])}#link-{made.public_id}")
    frame = frame_of(viewer, LINKS, selection, now)
    rows = [_row(link, request, now) for link in ShareLink.objects.filter(hub=hub).select_related("hub", "created_by")]
    context = {"panel": LINKS, "frame": frame, "form": form, "rows": rows}
    return render(request, "pages/links.html", context, status=400 if form.errors else 200)


def _made(hub: Hub, request: HttpRequest, selection: Selection, asked: dict) -> ShareLink:
    last = asked["last_day"]
    link = ShareLink(
        hub=hub,
        name=asked["name"],
        filters=selection.filters,
        expires_at=midnight(last + timedelta(days=1), hub.zone) if last else None,
        created_by_id=request.user.pk,
    )
    lock(link, asked["password"])
    link.save()
    return link


def _row(link: ShareLink, request: HttpRequest, now: datetime) -> dict:
    """A link as its page shows it."""
    has_expired = link.expires_at is not None and link.expires_at <= now
    titles = {key: str(media) for key, media in media_of(link.hub, link.filters.get("media", [])).items()}
    return {
        "link": link,
        "url": request.build_absolute_uri(reverse("share", args=[token_of(link)])),
        "is_standing": link.revoked_at is None and not has_expired,
        "has_expired": has_expired,
        "last_day": link.expires_at and (link.expires_at - timedelta(seconds=1)).astimezone(link.hub.zone).date(),
        "chips": Selection(link.hub, QueryDict(), "events", link.filters).chips(titles),
    }


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unlock(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for the password of a link, and go on to its pages."""
    viewer = viewer_of_link(token)
    target = request.POST.get("next") or request.GET.get("next") or ""
    if not (target.startswith(viewer.home) and url_has_allowed_host_and_scheme(target, None)):
        target = viewer.home
    if is_open(request, viewer):
        return redirect(target)
    context = {"next": target, "hub": viewer.hub}
    if request.method != "POST":
        return render(request, "pages/unlock.html", context)
    assert viewer.link is not None
    if wait := _attempts.wait(f"{viewer.link.public_id} {network_of(address_of(request.META))}"):
        context["error"] = _("Too many attempts; try again in %(seconds)s s.") % {"seconds": round(wait) + 1}
        return render(request, "pages/unlock.html", context, status=429)
    if not opens(viewer.link, request.POST.get("password", "")):
        context["error"] = _("This is not the password of this link.")
        return render(request, "pages/unlock.html", context, status=400)
    open_to(request, viewer.link)
    return redirect(target)
