"""Imports a part of the real data through the command, and reads it back from the log."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from aggregations.event import Event
from tests.real.converters import write

Imported = tuple[dict[str, int], list[Event]]


@pytest.fixture
def import_part(transactional_db: None, tmp_path: Path) -> Callable[[str], Imported]:
    """Import a part into a hub of its name; what the command printed, and the hub's events in the log."""
    from events.log import event_log
    from events.models import Hub

    def imported(part: str) -> Imported:
        Hub.objects.get_or_create(slug=part)
        file = tmp_path / f"{part}.jsonl"
        with file.open("w", encoding="utf-8") as lines:
            write(part, lines)
        printed = io.StringIO()
        before = event_log().head()
        call_command("import_events", str(file), hub=part, stdout=printed)
        return _last_json(printed.getvalue()), [
            event for chunk in event_log().read(before) for event in chunk.events if event.hub == part
        ]

    return imported


def _last_json(printed: str) -> Any:
    return json.loads(printed.strip().splitlines()[-1])
