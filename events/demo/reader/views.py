"""The pages of the demo reader. They are there for everybody, where there is a demo."""

import functools
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from events.demo.history import SLUG
from events.demo.reader.library import HISTORY, NETWORKS, SHELF, WINTER_LIGHT, Medium, search
from events.models import Hub

DRAWN = Path(__file__).parent / "static" / "reader"
LONGEST_SEARCH = 100


def of_the_demo(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A page of the demo hub; 404, and how to have it, where there is no demo."""

    @functools.wraps(view)
    def guarded(request: HttpRequest, **given: str) -> HttpResponse:
        if settings.DEMO and (hub := Hub.objects.filter(slug=SLUG).first()):
            return view(request, hub, **given)
        return render(request, "reader/off.html", {"is_off": not settings.DEMO, "slug": SLUG}, status=404)

    return require_safe(guarded)


@of_the_demo
def shelf(request: HttpRequest, hub: Hub) -> HttpResponse:
    """All media, or what a search finds."""
    words = " ".join(request.GET.get("q", "").replace("\0", "").split())[:LONGEST_SEARCH]
    shown = {"hub": hub, "media": SHELF.values(), "main": WINTER_LIGHT, "words": words, "found": search(words)}
    return render(request, "reader/shelf.html", shown)


@of_the_demo
def medium(request: HttpRequest, hub: Hub, key: str) -> HttpResponse:
    """A document, an image or a film, to be read; of a media of the history its cover."""
    medium = _medium(key, SHELF | HISTORY)
    template = "history" if medium.cover else medium.kind
    return render(request, f"reader/{template}.html", {"hub": hub, "medium": medium, "networks": NETWORKS.items()})


@of_the_demo
def download(request: HttpRequest, hub: Hub, key: str) -> HttpResponse:
    """A document as one HTML file that needs no other; an image as its drawing. A film is not to be had."""
    medium = _medium(key, SHELF)
    if medium.kind == "document":
        look = {"medium": medium, "styles": (DRAWN / "pages.css").read_text(encoding="utf-8")}
        answer, ending = render(request, "reader/download.html", look), "html"
    elif medium.kind == "image":
        answer, ending = HttpResponse((DRAWN / f"{key}.svg").read_bytes(), content_type="image/svg+xml"), "svg"
    else:
        raise Http404(f"{medium.title} can be seen, and not downloaded.")
    answer["Content-Disposition"] = f'attachment; filename="{key}.{ending}"'
    return answer


def _medium(key: str, media: dict[str, Medium]) -> Medium:
    if key not in media:
        raise Http404(f"The demo has no media {key!r} here; it has {', '.join(media)}.")
    return media[key]
