"""Folds a window's rollups family by family (aggregations.sql), for every engine that answers SQL."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from aggregations.cells import Cells
from aggregations.rollups import Rollup
from aggregations.sql import by_family
from batch.engine import Span, Window


class Answer(Protocol):
    """What an engine has answered for a family."""

    def by_hub(self, rollup: Rollup) -> dict[str, Cells]:
        """The cells of one of its rollups."""


class FamilyWindow(Window):
    """One thread asks for the next family while the caller uses the last."""

    def __init__(self, ahead: ThreadPoolExecutor) -> None:
        self._ahead = ahead

    @abstractmethod
    def ask(self, family: Sequence[str], members: Sequence[Rollup]) -> Answer:
        """The answer to the family's statement."""

    def folds(self, rollups: Sequence[Rollup]) -> Iterator[tuple[Rollup, dict[str, Cells]]]:
        families = by_family(rollups)
        ahead = [self._ahead.submit(self.ask, *family) for family in families[:1]]
        for number, (_, members) in enumerate(families):
            answer = ahead.pop().result()
            for family in families[number + 1 : number + 2]:
                ahead.append(self._ahead.submit(self.ask, *family))
            for rollup in members:
                yield rollup, answer.by_hub(rollup)


def spans_sql(spans: Sequence[Span] | None) -> str:
    """The condition that an event occurred in one of the spans."""
    if spans is None:
        return "true"
    return "(" + " OR ".join(f"(occurred_at >= {start} AND occurred_at < {end})" for start, end in spans) + ")"
