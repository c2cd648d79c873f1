"""The caches of a process, which a test with a log of its own must not take over from another."""

import pytest

from batch import lessons
from views_layer import gather, raw
from views_layer.merged import MergedRows


def renew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the process new caches of merged rows, of the log's tail, and of what was looked at to be learnt."""
    monkeypatch.setattr(gather, "_merged_rows", MergedRows())
    monkeypatch.setattr(raw, "_tail", raw.Tail())
    lessons.learn_missing_of.cache_clear()
