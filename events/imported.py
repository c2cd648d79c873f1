"""Importing a file of events: JSON lines or CSV, possibly compressed, with the rights of an ingest key.

Two passes. The first checks every line and finds its time and id; the good ones go to a temporary file. The second
reads them again in order of occurrence, normalises and appends. Memory holds a few numbers a line, not the lines.
"""

import csv
import gzip
import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from events.directory import Memory, is_hub
from events.intake import Batch, Intake
from events.log import Rejection
from events.normaliser import Caller, Draft, normalise, rejection_of
from events.sent import Reject, Sent, TrustedSent, checked_or_reject, decoded_event, decoded_value, shown

GROUP = 5_000
NUMBERS = ("pages", "page", "duration_ms", "visit_number")
Progress = Callable[[float], None]

_decoder = msgspec.json.Decoder(TrustedSent)


@dataclass(slots=True)
class Import:
    """What became of the lines of a file."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0


def import_file(
    path: Path, default_hub: str | None = None, kind: str = "auto", progress: Progress = lambda part: None
) -> Import:
    """Import a file; `kind` is json, csv or auto. `progress` is told which part of each of the two passes is done.

    Repeatable: a line without id gets one from its content, so that a repeat finds only duplicates. Raises LogBusy,
    UnicodeDecodeError, OSError (EOFError for a cut .gz); what was appended before stays and a repeat completes it.
    """
    with tempfile.TemporaryFile() as spool:
        run = _Run(spool, default_hub)
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw as text:
            is_csv = kind == "csv" or (kind == "auto" and ".csv" in path.suffixes)
            done, size = 0, path.stat().st_size
            for item in _csv_items(text) if is_csv else _json_items(text):
                run.examine(item)
                if raw.tell() != done:
                    progress((raw.tell() - done) / size)
                    done = raw.tell()
        run.append(progress)
        return run.result


def _json_items(lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line := line.strip():
            yield line


def _csv_items(file: Iterable[bytes]) -> Iterator[bytes]:
    """The rows of a CSV file as JSON objects; empty cells are absent. `properties.x` is a key of the properties."""
    rows = csv.DictReader(str(line, "utf-8-sig" if number == 0 else "utf-8") for number, line in enumerate(file))
    for row in rows:
        item: dict[str, Any] = {}
        for name, cell in row.items():
            if not name or not cell:
                continue
            if name.startswith("properties."):
                item.setdefault("properties", {})[name.removeprefix("properties.")] = cell
            else:
                item[name] = _number(cell) if name in NUMBERS else cell
        yield json.dumps(item).encode()


def _number(cell: str) -> int | float | str:
    try:
        return float(cell) if "." in cell else int(cell)
    except ValueError:
        return cell


class _Run:
    """The state of one import."""

    def __init__(self, spool: IO[bytes], default_hub: str | None) -> None:
        self.result = Import()
        self._spool = spool
        self._default_hub = default_hub
        self._caller = Caller(Memory(is_hub), is_trusted=True)
        self._received_at = int(time.time() * 1000)
        self._intake = Intake()
        self._order: list[tuple[int, int, int]] = []
        self._ids: set[bytes] = set()
        self._same: Counter[bytes] = Counter()
        self._rejections: list[Rejection] = []
        self._offset = 0

    def examine(self, line: bytes) -> None:
        """Check a line; keep it for the append, or its rejection for the inbox."""
        name = self._name(line)
        try:
            sent = self._sent(line, name)
            draft = normalise(sent, self._caller, self._received_at)
        except Reject as reject:
            self._reject(line, name, reject)
            return
        key = hashlib.blake2b(f"{draft.hub}\0{draft.id}".encode(), digest_size=16).digest()
        if key in self._ids:
            self.result.duplicates += 1
            return
        self._ids.add(key)
        kept = msgspec.json.encode(sent)
        self._order.append((draft.occurred_at, self._offset, len(kept)))
        self._offset += self._spool.write(kept)

    def _name(self, line: bytes) -> str:
        """The id of a line that has none: it follows from the content, and its ordinal among the same lines."""
        content = hashlib.blake2b(line, digest_size=16).digest()
        self._same[content] += 1
        return hashlib.blake2b(content + b"%d" % self._same[content], digest_size=16).hexdigest()

    def _sent(self, line: bytes, name: str) -> Sent:
        """What a line says, with the default hub and an id where it has none. Raises Reject."""
        sent = decoded_event(line, TrustedSent) or checked_or_reject(_value(line), TrustedSent)
        if isinstance(sent, Reject):
            raise sent
        sent.hub = sent.hub or self._default_hub
        sent.id = sent.id or name
        return sent

    def _reject(self, line: bytes, name: str, reject: Reject) -> None:
        try:
            item = _value(line)
        except Reject:
            item = line.decode("utf-8", "backslashreplace")
        if isinstance(item, dict):
            item["hub"] = item.get("hub") or self._default_hub
            item["id"] = item.get("id") or name
        self._rejections.append(rejection_of(item, reject, self._caller, self._received_at))
        self.result.rejected += 1
        if len(self._rejections) == GROUP:
            self._flush([])

    def _flush(self, drafts: list[Draft]) -> None:
        (outcome,) = self._intake.append([Batch(drafts, self._rejections)])
        self._rejections = []
        self.result.accepted += outcome.accepted
        self.result.duplicates += outcome.duplicates

    def append(self, progress: Progress) -> None:
        """Append the good lines in order of occurrence; lines of the same time stay in the order of the file."""
        self._order.sort()
        for start in range(0, max(len(self._order), 1), GROUP):
            group = self._order[start : start + GROUP]
            self._flush([self._again(offset, size) for _, offset, size in group])
            progress(len(group) / len(self._order) if group else 0)

    def _again(self, offset: int, size: int) -> Draft:
        self._spool.seek(offset)
        return normalise(_decoder.decode(self._spool.read(size)), self._caller, self._received_at)


def _value(line: bytes) -> Any:
    """The plain value of a line. Raises Reject for one that is no JSON."""
    try:
        return decoded_value(line)
    except (ValueError, RecursionError):
        raise Reject("invalid_event", f"A line must be a JSON object, not {shown(line)}.") from None
