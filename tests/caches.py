"""The caches of a process, which a test with a log of its own must not take over from another."""

import pytest

from batch import lessons
from events.directory import Memory
from views_layer import gather, raw
from views_layer.embed import lists
from views_layer.merged import MergedRows


def renew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the process new caches of merged rows, the log's tail, embedded lists, and what was looked at to be learnt."""
    monkeypatch.setattr(gather, "_merged_rows", MergedRows())
    monkeypatch.setattr(raw, "_tail", raw.Tail())
    monkeypatch.setattr(lists, "_hubs", Memory(lists.embedding))
    monkeypatch.setattr(lists, "_displays", lists.Displays(lists.display_of))
    lessons.learn_missing_of.cache_clear()
