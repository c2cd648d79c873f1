"""Ask how the pages of one media are turned: what no sum of events tells, from its raw events in a range."""

from dataclasses import dataclass, replace
from datetime import datetime

from django.http import QueryDict

from events.models import Hub
from views_layer.question import read_question
from views_layer.sifted import sifted
from views_layer.turns import COLUMNS, Turns, turns


@dataclass(frozen=True, slots=True)
class Reading:
    """The turns of each page that was read. `since`: raw events of the range before it were removed; None: none were."""

    pages: dict[int, Turns]
    since: datetime | None


def reading(hub: Hub, media: str, parameters: QueryDict, now: datetime) -> Reading:
    """How the pages of `media` are turned in the range and through the filters of `parameters` (DESIGN, section 7).

    All of it is of one log position. Raises QueryError.
    """
    question = read_question(parameters, hub.timezone, now)
    others = {name: values for name, values in question.filters.items() if name != "media"}
    where = ("media = ? AND action = 'read' AND page IS NOT NULL", [media])
    reads, since = sifted(hub, replace(question, filters=others), COLUMNS, where, now)
    return Reading(turns(reads), since)
