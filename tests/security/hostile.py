"""Text that means something to a browser, a template, a spreadsheet or a terminal, in every field of an event."""

from collections.abc import Iterator
from datetime import datetime, timedelta

RUN = "window.ran=1"
TEXTS = (
    f"<script>{RUN}</script>",
    f'"><img src=x onerror="{RUN}">',
    f"'><svg onload={RUN}>",
    f"</title></script><script>{RUN}</script>",
    f"javascript:{RUN}",
    f"data:text/html,<script>{RUN}</script>",
    f"https://x.example/\"onmouseover='{RUN}'",
    f"'-({RUN})-'",
    f"`${{{RUN}}}`",
    f'" x-data x-init="{RUN}" hx-on::load="{RUN}" ',
    "{{ 7777*7777 }}{% debug %}{{ settings.SECRET_KEY }}",
    "\u202e\u2066gnirts\u200b\u200d\ufeff\u2028",
    "<!--<plaintext>",
)


def events(hub: str, start: datetime) -> Iterator[dict]:
    """For each text two visits whose events carry it wherever a string may stand, and events that are rejected."""
    for number, text in enumerate(TEXTS):
        common = {
            "hub": hub,
            "visitor": f"{text}{number}"[:128],
            "visit": text,
            "media": text,
            "title": text,
            "referrer": text,
            "source": text,
            "intermediary": text,
            "via": text,
            "previous": text,
            "user_agent": text,
            "country": text,
            "language": text,
            "properties": {text: text},
            "occurred_at": (start + timedelta(minutes=number)).isoformat(),
        }
        steps = [
            {"action": "view", "media_kind": "document", "pages": 3},
            {"action": "read", "page": 1, "duration_ms": 1000},
            {"action": "share", "network": text, "share": text},
            {"action": "click", "target": text},
            {"action": "search", "target": text},
            {"action": "feature", "target": text},
            {"action": text},
            {"action": "read", "page": text},
        ]
        for step, fields in enumerate(steps):
            yield common | {"id": f"{number}-{step}"} | fields
