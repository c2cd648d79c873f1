"""The way of visits from opened to read to acted: of the visits at each step, how many took the next."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from django.http import QueryDict

from events.models import Hub
from views_layer.question import read_question
from views_layer.sifted import sifted

READ_ON_MS = 10_000
"""Active time from which a visit has read, as for engaged visits."""
NO_ACTS = ("view", "read", "feature")
"""Actions that are no act: of opening, of reading, and of the reader program itself."""
COLUMNS = ("visit", "action", "media", "page", "duration_ms")


@dataclass(frozen=True, slots=True)
class Way:
    """Distinct visits at each step, each a part of the step before.

    `opened` a media; `read` page 2 or later of one, or READ_ON_MS or more in all; `acted`: with an action not in NO_ACTS.
    `acted_only` opened and acted, but did not read. `since` as in views_layer.reading.
    """

    opened: int
    read: int
    acted: int
    acted_only: int
    since: datetime | None


def way_of_visits(hub: Hub, parameters: QueryDict, now: datetime) -> Way:
    """The way of the visits in the range, over their events in it that pass the filters. Raises QueryError."""
    question = read_question(parameters, hub.timezone, now)
    events, since = sifted(hub, question, COLUMNS, ("true", []), now)
    return way(events, since)


def way(events: pa.Table, since: datetime | None = None) -> Way:
    """The way of the visits of `events`, which has COLUMNS, in any order."""
    visits, place = np.unique(events["visit"].to_numpy(), return_inverse=True)
    actions = events["action"].to_numpy(zero_copy_only=False)
    spent = np.bincount(place, weights=events["duration_ms"].to_numpy(), minlength=len(visits))
    is_view = (actions == "view") & events["media"].is_valid().to_numpy()
    is_read_on = (actions == "read") & (events["page"].fill_null(0).to_numpy() >= 2)

    def with_one(is_event: np.ndarray) -> np.ndarray:
        """Which visits have such an event."""
        return np.bincount(place[is_event], minlength=len(visits)) > 0

    opened = with_one(is_view)
    read = opened & (with_one(is_read_on) | (spent >= READ_ON_MS))
    acted = opened & with_one(~np.isin(actions, NO_ACTS))
    return Way(int(opened.sum()), int(read.sum()), int((read & acted).sum()), int((acted & ~read).sum()), since)
