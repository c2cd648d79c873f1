"""The states of an epoch, kept while its run goes on: in memory while they are small, else in a file without a name."""

from tempfile import SpooledTemporaryFile

from aggregations.cells import Cells, decode
from aggregations.rollups import Rollup

IN_MEMORY = 32 * 1024 * 1024


class Deltas:
    """States by hub and rollup, each kept once."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 (it lives as long as the run)
        self._places: dict[tuple[str, str], tuple[int, int]] = {}

    def keep(self, hub: str, rollup: Rollup, state: bytes) -> None:
        self._places[hub, rollup.name] = self._file.seek(0, 2), len(state)
        self._file.write(state)

    def of(self, hub: str, rollup: Rollup) -> Cells | None:
        """The cells of a hub and rollup; None where the epoch has none."""
        if (hub, rollup.name) not in self._places:
            return None
        start, length = self._places[hub, rollup.name]
        self._file.seek(start)
        return decode(self._file.read(length), rollup.keys, rollup.measures)
