"""From each part of the real data to events as a REST client would send them.

`python -m tests.real.converters deskdrop` writes JSON lines that `manage.py import_events` takes.
"""

import csv
import gzip
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from tests.real.folder import DATA

Sent = dict[str, Any]

ACTIONS = {"VIEW": "view", "LIKE": "like", "BOOKMARK": "bookmark", "FOLLOW": "follow", "COMMENT CREATED": "comment"}
CODE_LENGTH = 128
COMBINED = re.compile(
    r'(?P<address>\S+) \S+ \S+ \[(?P<at>[^]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<size>\S+)'
    r' "(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<user_agent>(?:[^"\\]|\\.)*)"'
)


def deskdrop() -> Iterator[Sent]:
    """Readers and articles. Equal rows have one id: they are duplicates. The country "ZZ" is an unknown one."""
    with _lines("deskdrop/users_interactions.csv.gz") as lines:
        for row in csv.DictReader(lines):
            yield {
                "hub": "deskdrop",
                "id": _digest(*row.values()),
                "action": ACTIONS[row["eventType"]],
                "media": row["contentId"],
                "visitor": row["personId"],
                "visit": row["sessionId"],
                "occurred_at": _iso(int(row["timestamp"])),
                "user_agent": row["userAgent"],
                "country": "" if row["userCountry"] == "ZZ" else row["userCountry"],
            }


def bitly() -> Iterator[Sent]:
    """Clicks on shared links, without visitors. Equal lines are clicks of their own; heartbeat lines are none."""
    ordinal = _Ordinals()
    with _lines("bitly/clicks.jsonl.gz") as lines:
        for line in lines:
            click = json.loads(line)
            if "_heartbeat_" in click:
                continue
            yield {
                "hub": "bitly",
                "id": _digest(line, ordinal.of(line)),
                "action": "click",
                "media": click["g"],
                "target": click["u"],
                "occurred_at": _iso(click["t"]),
                "referrer": click["r"],
                "user_agent": click["a"],
                "country": click["c"] or "",
                "language": re.split("[,;]", click.get("al", ""))[0].strip(),
            }


def apache() -> Iterator[Sent]:
    """Requests of an access log. Equal lines are requests of their own; a line that does not parse is left out."""
    ordinal = _Ordinals()
    with _lines("apache/apache_logs.gz") as lines:
        for line in lines:
            match = COMBINED.fullmatch(line.rstrip("\n"))
            if match is None:
                continue
            method, _, target = match["request"].partition(" ")
            path = target.rpartition(" ")[0].partition("?")[0]
            yield {
                "hub": "apache",
                "id": _digest(line, ordinal.of(line)),
                "action": "view",
                "media": path if len(path) <= CODE_LENGTH else _digest(path),
                "visitor": _digest(match["address"], match["user_agent"]),
                "occurred_at": datetime.strptime(match["at"], "%d/%b/%Y:%H:%M:%S %z").isoformat(),
                "referrer": "" if match["referrer"] == "-" else match["referrer"],
                "user_agent": "" if match["user_agent"] == "-" else match["user_agent"],
                "properties": {"status": int(match["status"]), "method": method},
            }


def higgs() -> Iterator[Sent]:
    """Shares of one topic in one week, by kind: retweet (rt), mention (mt), reply (re)."""
    with _lines("higgs/higgs-activity_time.txt.gz") as lines:
        for line in lines:
            sharer, shared, at, kind = line.split()
            yield {
                "hub": "higgs",
                "id": _digest(line),
                "action": "share",
                "media": "higgs",
                "visitor": sharer,
                "target": shared,
                "network": kind.lower(),
                "occurred_at": _iso(int(at)),
            }


CONVERTERS: dict[str, Callable[[], Iterator[Sent]]] = {
    "deskdrop": deskdrop,
    "bitly": bitly,
    "apache": apache,
    "higgs": higgs,
}


def write(part: str, file: TextIO) -> None:
    """Write a part as JSON lines."""
    for event in CONVERTERS[part]():
        file.write(json.dumps(event, ensure_ascii=False) + "\n")


class _Ordinals:
    """How often each line has been seen, so that equal lines get ids of their own, whatever lies between them."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def of(self, line: str) -> str:
        self._seen[line] += 1
        return str(self._seen[line])


def _lines(name: str) -> TextIO:
    path: Path = DATA / name
    return gzip.open(path, "rt", encoding="utf-8", newline="")  # type: ignore[return-value]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _iso(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat()


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in CONVERTERS:
        sys.exit(f"Name one of {', '.join(CONVERTERS)}.")
    write(sys.argv[1], sys.stdout)
