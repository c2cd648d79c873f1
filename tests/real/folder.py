"""Where the real data lies."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("AFFLUENCE_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


def needs(name: str) -> pytest.MarkDecorator:
    """Skips, by name, where the part `name` of the data is absent."""
    return pytest.mark.skipif(not (DATA / name).is_dir(), reason=f"real data: {name} is not in {DATA.name}")
