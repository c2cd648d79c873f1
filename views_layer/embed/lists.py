"""What an embedded list says, and who is held out of recommendations.

Lists stand on public pages, and are asked for as often as these are opened: what a hub recommends is kept for some
seconds. Who asks is no part of an answer but by the group.
"""

import copy
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.http import Http404
from django.utils import timezone
from rest_framework.exceptions import APIException

from aggregations.buckets import instant_ms
from events.directory import Memory
from events.models import Hub, Media
from events.normaliser import DAY_MS, cookieless_key, lot
from insights.recommendations.model import Shelf
from views_layer.recommendations import shelf_at

RECOMMENDED, HELD_OUT = "recommended", "held_out"
ONE_OF = 10
"""Of so many browsers one is held out."""
PURPOSE = b"recommendations"
KEPT_S = 5.0
DISPLAYS = 16
"""Hubs whose shelves are kept, those asked last."""
WAIT_S = 0.2


class NotReady(APIException):
    """A hub's first display is being made; `wait` becomes the header Retry-After, in seconds."""

    status_code = 503
    default_code = "not_ready"
    default_detail = "What this hub recommends is being computed; ask again soon."
    wait = 5


class Display:
    """The shelf of a hub, with the media that lists have named so far."""

    def __init__(self, hub: Hub, shelf: Shelf) -> None:
        self._hub, self._shelf = hub, shelf
        self._media: dict[str, Media] = {}

    def show(self, media: str, is_held_out: bool, limit: int) -> list[dict[str, Any]]:
        """What goes with a media; what is popular instead for who is held out, and where `media` has no audience.

        What goes with a media that one or two have opened would tell what else these have.
        """
        sources = [media] if media in self._shelf.visitors and not is_held_out else []
        keys = [row["media"] for row in self._shelf.recommend(sources, {media}, limit)]
        self._learn(keys)
        return [self._row(key) for key in keys]

    def _learn(self, keys: Iterable[str]) -> None:
        if missing := [key for key in keys if key not in self._media]:
            self._media |= {found.key: found for found in self._hub.media.filter(key__in=missing)}

    def _row(self, key: str) -> dict[str, Any]:
        media = self._media.get(key)
        if media is None:
            return {"media": key, "title": None, "kind": None}
        return {"media": key, "title": media.title or None, "kind": media.kind or None}


class Displays:
    """The displays of the hubs asked last, each kept for KEPT_S.

    One request renews a display, and those that come meanwhile get the one before. Where there is none, it may take as
    long as a model takes to be learnt, and threads that wait for it would be missing everywhere else: after WAIT_S they
    raise NotReady.
    """

    def __init__(self, make: Callable[[Hub], Display], clock: Callable[[], float] = time.monotonic) -> None:
        self._make, self._clock = make, clock
        self._places: OrderedDict[int, _Place] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, hub: Hub) -> Display:
        place = self._place(hub)
        if place.until <= self._clock() and place.turn.acquire(timeout=0 if place.display else WAIT_S):
            try:
                if place.until <= self._clock():
                    place.display = self._make(hub)
                    place.until = self._clock() + KEPT_S
            finally:
                place.turn.release()
        if place.display is None:
            raise NotReady
        return place.display

    def _place(self, hub: Hub) -> "_Place":
        with self._lock:
            place = self._places.setdefault(hub.pk, _Place())
            self._places.move_to_end(hub.pk)
            if len(self._places) > DISPLAYS:
                self._places.popitem(last=False)
            return place


class _Place:
    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.display: Display | None = None
        self.until = 0.0


def embedding(slug: str) -> Hub | None:
    """The hub of a slug, if its recommendations may be embedded."""
    return Hub.objects.filter(slug=slug, embeds_recommendations=True).first()


def display_of(hub: Hub) -> Display:
    own = copy.copy(hub)  # it is read anew, and `hub` is shared by all requests
    return Display(own, shelf_at(own, timezone.now())[0])


_hubs = Memory(embedding)
_displays = Displays(display_of)


def recommended(slug: str, media: str, limit: int, now: datetime, browser: tuple[str, str]) -> dict[str, Any]:
    """The list for a browser (address and user agent), and its group: None where no media is named. Raises Http404."""
    hub = _hubs(slug)
    if hub is None:
        raise Http404(f"There is no hub {slug!r} whose recommendations may be embedded.")
    group = group_of(slug, now, *browser) if media else None
    return {"group": group, "results": _displays.of(hub).show(media, group == HELD_OUT, limit)}


def group_of(slug: str, now: datetime, address: str, user_agent: str) -> str:
    """The group of a browser: the same all the UTC day, drawn from the visitor that it is without a name."""
    visitor = cookieless_key(slug, instant_ms(now) // DAY_MS, address, user_agent)
    return HELD_OUT if lot(visitor, PURPOSE) % ONE_OF == 0 else RECOMMENDED
