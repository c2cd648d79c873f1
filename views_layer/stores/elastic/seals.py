"""The seals of a generation: which versions are complete, and how many rows the readers of each must find."""

from collections.abc import Callable, Iterable, Sequence

from aggregations.rollups import DECLARATION
from views_layer.stores.elastic.meta import Meta


class Seals:
    def __init__(self, meta: Meta, birth: str) -> None:
        self._meta, self._birth = meta, birth

    def id(self, version: int) -> str:
        """Under which the seal of a version is known."""
        return f"seal:{self._birth}:{version}"

    def all(self) -> list[dict]:
        return self._meta.all("seal", self._birth)

    def newest(self) -> dict | None:
        return max(self.all(), key=lambda seal: seal["version"], default=None)

    def versions(self) -> set[int]:
        return {seal["version"] for seal in self.all()}

    def put(self, version: int, rows: int) -> None:
        """Seal a version under the declaration that is in force."""
        self._keep({"version": version, "declaration": DECLARATION, "rows": rows})

    def forget(self, versions: Iterable[int]) -> None:
        self._meta.forget([self.id(version) for version in versions])

    def ask_for_fewer(self, versions: Sequence[int]) -> None:
        """To be called before rows of `versions`, one for each, are deleted: readers must not miss them."""
        for seal in self.all():
            fewer = sum(version <= seal["version"] for version in versions)
            if fewer:
                self._keep(seal | {"rows": seal["rows"] - fewer})

    def settle(self, before: set[int], count: Callable[[int], int]) -> None:
        """Let seals that were made while rows were deleted, and not there `before`, ask for no row that went."""
        for seal in self.all():
            if seal["version"] not in before:
                self._keep(seal | {"rows": min(seal["rows"], count(seal["version"]))})

    def _keep(self, seal: dict) -> None:
        values = {name: seal[name] for name in ("version", "declaration", "rows")}
        self._meta.keep(self.id(seal["version"]), "seal", self._birth, **values)
