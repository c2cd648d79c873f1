"""The caches of a process, which a test with a log of its own must not take over from another."""

import pytest

from views_layer import gather, raw
from views_layer.merged import MergedRows


def renew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the process new caches of merged rows and of the log's tail."""
    monkeypatch.setattr(gather, "_merged_rows", MergedRows())
    monkeypatch.setattr(raw, "_tail", raw.Tail())
