"""Notes on dates: a customer's own, shown with every chart over time."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as lazy

from views_layer.models import Note
from views_layer.pages.frame import frame_of
from views_layer.pages.panels import NOTES
from views_layer.pages.selection import Selection
from views_layer.pages.viewer import Viewer, for_person
from views_layer.pages.wording import instant


class NoteForm(forms.Form):
    """A note to make."""

    day = forms.DateField(label=lazy("Day"))
    text = forms.CharField(max_length=200, label=lazy("What happened"))


@for_person
def notes(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """The notes of a hub, and the form for another."""
    hub = viewer.hub
    now = timezone.now()
    form = NoteForm(request.POST or None, initial={"day": now.astimezone(hub.zone).date().isoformat()})
    if request.POST.get("remove", "").isdecimal():
        Note.objects.filter(hub=hub, pk=int(request.POST["remove"])).delete()
        return redirect("notes", hub.slug)
    if request.method == "POST" and form.is_valid():
        Note.objects.create(hub=hub, created_by_id=request.user.pk, **form.cleaned_data)
        return redirect("notes", hub.slug)
    frame = frame_of(viewer, NOTES, Selection(hub, request.GET, "events"), now)
    rows = Note.objects.filter(hub=hub).select_related("created_by")
    context = {"panel": NOTES, "frame": frame, "form": form, "rows": rows}
    return render(request, "pages/notes.html", context, status=400 if form.errors else 200)


def notes_between(viewer: Viewer, query: dict, zone: ZoneInfo) -> list[Note]:
    """The notes on the local days of an answer's range, oldest first; none for a link that shows a part of the hub."""
    if not viewer.sees_all:
        return []
    first = instant(query["from"]).astimezone(zone).date()
    last = (instant(query["to"]) - timedelta(milliseconds=1)).astimezone(zone).date()
    return list(Note.objects.filter(hub=viewer.hub, day__range=(first, last)).order_by("day", "pk"))
