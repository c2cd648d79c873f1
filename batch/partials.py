"""What an engine's statement answers, as an Arrow table, folded into cells."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aggregations.cells import Cells, assemble, split_by_hub
from aggregations.columns import Key, value_order
from aggregations.measures import Measure
from aggregations.rollups import Rollup
from aggregations.sql import collected_fields


class Partials:
    """Rows of aggregations.sql.statement: folded under all of its keys, or under some of them, as often as wanted."""

    def __init__(self, table: pa.Table, measures: Sequence[Measure]) -> None:
        self._table = table
        self._keys: dict[str, Key] = {}
        self._collected = {
            field: pc.fill_null(table[f"field_{field}"], 0).to_numpy().astype(np.int64)
            for field in collected_fields(measures)
        }
        self._contributions = {measure.name: self._contribution(measure) for measure in measures}

    def fold(self, keys: Sequence[str], measures: Sequence[Measure]) -> Cells:
        """The cells under `keys`, sorted by them in that order."""
        return assemble({name: self._key(name) for name in keys}, measures, self._contributions, self._collected)

    def by_hub(self, rollup: Rollup) -> dict[str, Cells]:
        """The cells of a rollup by hub, with `rollup.keys` as keys, of the rows of a family that holds it."""
        return split_by_hub(self.fold(["hub", *rollup.keys], rollup.measures), rollup.measures)

    def _contribution(self, measure: Measure) -> np.ndarray:
        values = self._table[f"measure_{measure.name}"].combine_chunks()
        values = values.cast(pa.int64()) if not pa.types.is_boolean(values.type) else values
        found = np.asarray(values.to_numpy(zero_copy_only=False))
        if measure.collects and self._table[f"field_{measure.field}"].null_count:
            return found * pc.is_valid(self._table[f"field_{measure.field}"]).to_numpy()
        return found

    def _key(self, name: str) -> Key:
        """A column as a sorted key, made when it is first asked for."""
        if name not in self._keys:
            encoded = self._table[f"key_{name}"].combine_chunks().dictionary_encode(null_encoding="encode")
            found = encoded.dictionary.to_pylist()
            vocabulary = sorted(found, key=value_order)
            place = {value: code for code, value in enumerate(vocabulary)}
            ranks = np.array([place[value] for value in found], dtype=np.int64)
            codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
            self._keys[name] = Key(vocabulary, ranks[codes] if len(codes) else codes)
        return self._keys[name]


def measures_of(rollups: Sequence[Rollup]) -> list[Measure]:
    """The measures of all rollups, each once."""
    return list({measure.name: measure for rollup in rollups for measure in rollup.measures}.values())
