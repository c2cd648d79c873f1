"""A hub of rates and downloads, for tests of statements."""

import json
from datetime import datetime, timedelta
from pathlib import Path

from django.core import management

from events.catalogue import forget
from events.models import Hub
from tests.caches import renew
from views_layer.models import Rate


def new_hub(monkeypatch, slug: str = "acme", timezone: str = "Europe/Paris") -> Hub:
    renew(monkeypatch)
    forget()
    return Hub.objects.create(slug=slug, timezone=timezone)


def send(folder: Path, *events: tuple[str, str, str | None, str], hub: str = "acme") -> None:
    """Import events: local time in Paris as text, visitor, intermediary, action."""
    file = folder / "events.jsonl"
    lines = [
        {"hub": hub, "occurred_at": at, "visitor": visitor, "action": action, "media": "cat-1"}
        | ({"intermediary": by} if by else {})
        for at, visitor, by, action in events
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    management.call_command("import_events", str(file))


def downloads(day: str, by: str | None, count: int, name: str = "reader") -> list[tuple[str, str, str | None, str]]:
    """As many readers that an intermediary brings on a day, who each download once."""
    start = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    return [
        ((start + timedelta(minutes=number)).isoformat(), f"{name}-{by}-{day}-{number}", by, "download")
        for number in range(count)
    ]


def rate(hub: Hub, amount: str, first_day: str, intermediary: str = "", **fields) -> Rate:
    return Rate.objects.create(
        hub=hub,
        goal=fields.pop("goal", "download"),
        intermediary=intermediary,
        amount=amount,
        first_day=datetime.fromisoformat(first_day).date(),
        **fields,
    )
