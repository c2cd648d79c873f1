"""The page where mails about a hub are ordered and ended, and those that a mail's own links lead to: to confirm, to end."""

from datetime import datetime
from decimal import Decimal

from django import forms
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from events.models import Hub
from views_layer.mails import confirmation
from views_layer.mails.confirmation import MayNotAsk
from views_layer.mails.message import KINDS, can_send, subscription_of
from views_layer.models import Mail, Subscription
from views_layer.pages.frame import frame_of
from views_layer.pages.panels import REPORTS
from views_layer.pages.selection import Selection
from views_layer.pages.viewer import Viewer, for_person
from views_layer.pages.wording import time_of_day

AT_MOST = 200
"""How many mails a customer may order for a hub: nobody's address book."""
MAILS_SHOWN = 5


class SubscriptionForm(forms.Form):
    """A subscription to make."""

    address = forms.EmailField(label=lazy("E-mail address"))
    kind = forms.ChoiceField(choices=[*KINDS.items()], label=lazy("What is sent"))
    language = forms.ChoiceField(choices=settings.LANGUAGES, label=lazy("Language"))
    factor = forms.DecimalField(
        required=False, min_value=Decimal("1.1"), max_value=100, decimal_places=1, label=lazy("Times more or fewer")
    )
    floor = forms.IntegerField(
        required=False, min_value=1, max_value=1_000_000_000, label=lazy("From how many visits on")
    )

    def __init__(self, *args, hub: Hub, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.hub = hub

    def clean(self) -> dict:
        asked = {name: value for name, value in (super().clean() or {}).items() if value not in (None, "")}
        standing = self.hub.subscriptions.filter(ended_at=None)
        if standing.count() >= AT_MOST:
            raise forms.ValidationError(
                _("There are %(count)s subscriptions of this hub; end one before you add another.") % {"count": AT_MOST}
            )
        if same := standing.filter(address__iexact=asked.get("address", ""), kind=asked.get("kind", "")).first():
            self.add_error("address", _there_already(same))
        return asked


def _there_already(subscription: Subscription) -> str:
    if subscription.confirmed_at:
        return _("%(address)s gets this already.") % {"address": subscription.address}
    return _("%(address)s was asked already, and has not confirmed yet.") % {"address": subscription.address}


def _not_asked(subscription: Subscription, refusal: MayNotAsk, now: datetime) -> str:
    if refusal.again_at is None:
        return _("%(address)s has said that it wants no mails of this hub.") % {"address": subscription.address}
    at = time_of_day(refusal.again_at, now, subscription.hub.zone)
    texts = {"address": subscription.address, "time": at}
    return _("%(address)s was asked a short while ago; ask again from %(time)s on.") % texts


@for_person
def reports(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """The subscriptions of a hub with what was sent, and the form for another."""
    hub = viewer.hub
    now = timezone.now()
    if "end" in request.POST:
        hub.subscriptions.filter(public_id=request.POST["end"], ended_at=None).update(ended_at=now)
        return redirect("reports", hub.slug)
    if "again" in request.POST:
        return _asked_again(viewer, request, now)
    form = _form(hub, request, request.POST or None)
    if request.method == "POST" and form.is_valid() and _made(hub, request, form, now):
        return redirect("reports", hub.slug)
    return _page(viewer, request, form, now, status=400 if form.errors else 200)


def _form(hub: Hub, request: HttpRequest, sent: QueryDict | None = None) -> SubscriptionForm:
    initial = {"language": get_language(), "address": getattr(request.user, "email", ""), "factor": 3, "floor": 20}
    return SubscriptionForm(sent, initial=initial, hub=hub)


def _page(
    viewer: Viewer, request: HttpRequest, form: SubscriptionForm, now: datetime, status: int, refusal: str = ""
) -> HttpResponse:
    hub = viewer.hub
    context = {
        "panel": REPORTS,
        "frame": frame_of(viewer, REPORTS, Selection(hub, request.GET, "events"), now),
        "form": form,
        "refusal": refusal,
        "can_send": can_send(),
        "rows": [_row(subscription, now) for subscription in hub.subscriptions.filter(ended_at=None)],
        "ended": [
            _row(subscription, now)
            for subscription in hub.subscriptions.exclude(ended_at=None).order_by("-ended_at")[:20]
        ],
    }
    return render(request, "pages/reports.html", context, status=status)


def _made(hub: Hub, request: HttpRequest, form: SubscriptionForm, now: datetime) -> bool:
    """Make the subscription that is asked for; False, with an error, where somebody was first or the address may not be asked.

    Who subscribes the own address has confirmed it by that; any other address is asked.
    """
    made = Subscription(hub=hub, created_by_id=request.user.pk, **form.cleaned_data)
    is_own = made.address.casefold() == getattr(request.user, "email", "").casefold()
    made.confirmed_at = now if is_own else None
    try:
        with transaction.atomic():
            made.save()
            if not is_own:
                confirmation.ask(made, now)
    except IntegrityError:
        form.add_error("address", _there_already(made))
        return False
    except MayNotAsk as refusal:
        form.add_error("address", _not_asked(made, refusal, now))
        return False
    return True


def _asked_again(viewer: Viewer, request: HttpRequest, now: datetime) -> HttpResponse:
    """Ask the address of a subscription that waits once more; 429 where it may not be asked."""
    hub = viewer.hub
    waiting = hub.subscriptions.filter(public_id=request.POST["again"], ended_at=None, confirmed_at=None).first()
    if waiting is not None:
        try:
            confirmation.ask(waiting, now)
        except MayNotAsk as refusal:
            told = _not_asked(waiting, refusal, now)
            return _page(viewer, request, _form(hub, request), now, status=429, refusal=told)
    return redirect("reports", hub.slug)


def _row(subscription: Subscription, now: datetime) -> dict:
    """A subscription as its page shows it. `waits_until` is the last day of the link that it was sent."""
    asked_at = subscription.asked_at
    return {
        "waits_until": asked_at and (asked_at + confirmation.LASTS).astimezone(subscription.hub.zone),
        "is_over": asked_at and asked_at + confirmation.LASTS <= now,
        "subscription": subscription,
        "title": KINDS[subscription.kind],
        "language": dict(settings.LANGUAGES).get(subscription.language, subscription.language),
        "factor": f"{subscription.factor.normalize():f}",
        "mails": [
            {"subject": _subject(mail), "is_sent": bool(mail.sent_at), "state": _state(mail, now)}
            for mail in subscription.mails.all()[:MAILS_SHOWN]
        ],
    }


def _subject(mail: Mail) -> str:
    """What a mail is about, also before it has a subject."""
    return mail.subject or (_("Request for confirmation") if mail.asks else mail.period)


def _state(mail: Mail, now: datetime) -> str:
    zone = mail.subscription.hub.zone
    if mail.sent_at:
        return _("sent %(time)s") % {"time": time_of_day(mail.sent_at, now, zone)}
    if mail.until <= now:
        return _("could not be sent")
    if mail.error:
        return _("could not be sent yet; tried again %(time)s") % {"time": time_of_day(mail.free_at, now, zone)}
    return _("is being sent")


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, asked: str) -> HttpResponse:
    """Confirm the subscription of a token, by POST: mail programs follow links before anybody reads them.

    The token alone is the proof, so that it also works for who is logged in as somebody else or takes no cookies.
    """
    now = timezone.now()
    subscription = confirmation.asked_by(asked, now)
    if subscription is None:
        raise Http404(_("This link has ended, or never was one. Who entered your address can send it again."))
    if request.method == "POST":
        confirmation.confirm(subscription, now)
    return _answered(request, subscription, "pages/confirm.html")


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, leaving: str) -> HttpResponse:
    """End the subscription of a token, by POST: mail programs follow links before anybody reads them (RFC 8058)."""
    subscription = subscription_of(leaving)
    if subscription is None:
        raise Http404(_("This link has ended, or never was one."))
    if request.method == "POST":
        # Also of one that its maker has ended: whoever refuses is not asked again.
        Subscription.objects.filter(pk=subscription.pk).update(
            ended_at=Coalesce("ended_at", timezone.now()), is_unsubscribed=True
        )
        subscription.refresh_from_db()
    return _answered(request, subscription, "pages/unsubscribe.html")


def _answered(request: HttpRequest, subscription: Subscription, template: str) -> HttpResponse:
    """A page for whoever gets the mails, in their language."""
    with translation.override(subscription.language):
        context = {"subscription": subscription, "title": KINDS[subscription.kind], "hub": subscription.hub}
        return render(request, template, context)
