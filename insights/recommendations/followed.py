"""How clients tell that lists were shown and followed, and what of it can be concluded.

A followed recommendation is a `click` whose target is FOLLOWED and the media, sent from the media where the list stood.
A shown list is a `feature` event named SHOWN. A tenth of the browsers sees what is popular instead: its clicks and
lists have names of their own. So has a list that goes with no media: it is the same for everybody, and of neither group.
"""

import math
from typing import NamedTuple

FOLLOWED, FOLLOWED_HELD_OUT = "recommendation:", "recommendation-holdout:"
SHOWN, SHOWN_HELD_OUT = "recommendations", "recommendations-holdout"
FOLLOWED_POPULAR, SHOWN_POPULAR = "popular:", "popular"
LISTS_AT_LEAST = 100
"""Lists shown in each group before the groups are compared."""
Z = 1.96
"""Standard errors beyond which a difference is no chance, 95 times in 100."""


class Group(NamedTuple):
    """Lists that were shown to a group of browsers, and how often one was followed."""

    shown: int
    followed: int

    @property
    def rate(self) -> float | None:
        """How often a list was followed; None where none was shown."""
        return self.followed / self.shown if self.shown else None


class Uplift(NamedTuple):
    """How much more often recommendations were followed than what is popular: 0.5 is half as much again.

    `may_be_chance`: the difference is within Z standard errors of counts.
    """

    part: float
    may_be_chance: bool


def uplift(group: Group, held_out: Group) -> Uplift | None:
    """None where it is too early to tell: too few lists in a group, or none followed among those held out."""
    if min(group.shown, held_out.shown) < LISTS_AT_LEAST or not held_out.followed:
        return None
    rate, other = group.followed / group.shown, held_out.followed / held_out.shown
    error = math.sqrt(rate / group.shown + other / held_out.shown)
    return Uplift(rate / other - 1, abs(rate - other) <= Z * error)
