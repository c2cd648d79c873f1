"""A page about a whole hub whose numbers are no rollups: who may open it, what it is about, and what goes wrong."""

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.http import Http404, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from views_layer.pages.frame import frame_of
from views_layer.pages.panels import Panel
from views_layer.pages.selection import Selection, with_half_open_dates
from views_layer.pages.viewer import Request, Viewer, for_viewer
from views_layer.question import QueryError

Found = HttpResponseBase | tuple[str, dict[str, Any]]
"""A file or a fragment; or the template of the page, and what it shows."""
Body = Callable[[Request, Viewer, Selection, datetime], Found]


def page_of(panel: Panel) -> Callable[[Body], Callable[..., HttpResponseBase]]:
    """A view from a body that is given the viewer, the state and the time, and may raise QueryError."""

    def view_of(body: Body) -> Callable[..., HttpResponseBase]:
        @for_viewer
        @functools.wraps(body)
        def view(request: Request, viewer: Viewer) -> HttpResponseBase:
            if not viewer.may_open(panel):
                raise Http404(_("This link shows a part of the hub."))
            if (changed := with_half_open_dates(request.GET)) is not None:
                return redirect(f"{viewer.url(panel.name)}?{changed.urlencode()}")
            now, status = timezone.now(), 200
            selection = Selection(viewer.hub, request.GET, panel.figures[0], viewer.forced)
            try:
                found = body(request, viewer, selection, now)
            except QueryError as error:
                found, status = ("query_error", {"error": error}), 400
            if isinstance(found, HttpResponseBase):
                return found
            template, shown = found
            frame = frame_of(viewer, panel, selection, now)
            return render(request, f"pages/{template}.html", {"panel": panel, "frame": frame} | shown, status=status)

        return view

    return view_of
