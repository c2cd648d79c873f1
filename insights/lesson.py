"""What is learnt from a hub's events, as a pure function that the daily run and a rebuild call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Lesson:
    """`learn` gives the bytes that are kept, from the events of one hub and the instant in milliseconds up to which they
    were accepted. The events come in any order; the same ones give the same bytes.
    """

    name: str
    version: int
    """Raised with every change of the bytes' form or meaning: what is kept of another version is learnt anew."""
    columns: Mapping[str, str]
    """The columns of the events, SQL expressions over the archive's by name."""
    where: str
    """The SQL condition of the events that count."""
    learn: Callable[[pa.Table, int], bytes]
