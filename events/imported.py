"""Importing a file of events: JSON lines or CSV, possibly compressed, with the rights of an ingest key.

Two passes. The first copies the lines to a temporary file and finds of each its time and its id. The second reads them
again in order of occurrence, normalises and appends. Memory holds less than 100 bytes a line, not the lines.
"""

import codecs
import csv
import gzip
import hashlib
import json
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from events.directory import Memory, counted_since
from events.intake import Batch, Intake
from events.log import Rejection
from events.normaliser import Caller, Draft, normalise, rejection_of
from events.sent import Reject, Sent, TrustedSent, checked_or_reject, decoded_event, decoded_value, shown

GROUP = 5_000
NUMBERS = ("pages", "page", "duration_ms", "visit_number")
Progress = Callable[[float], None]

REJECTED = -1
"""The time of a rejected line: before all others."""


@dataclass(slots=True)
class Import:
    """What became of the lines of a file."""

    accepted: int = 0
    duplicates: int = 0
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def rejected(self) -> int:
        return self.codes.total()


def import_file(
    path: Path, default_hub: str | None = None, kind: str = "auto", progress: Progress = lambda part: None
) -> Import:
    """Import a file; `kind` is json, csv or auto. `progress` is told which part of each of the two passes is done.

    Repeatable: a line without id gets one from its content, so that a repeat finds only duplicates, and keeps no
    rejection again. Raises LogBusy, UnicodeDecodeError, OSError (EOFError for a cut .gz), csv.Error (for the header of a
    CSV file); what was appended before stays and a repeat completes it.
    """
    with tempfile.TemporaryFile() as spool:
        run = _Run(spool, default_hub)
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw as text:
            is_csv = kind == "csv" or (kind == "auto" and ".csv" in path.suffixes)
            done, size = 0, path.stat().st_size
            for item in _csv_items(_lines(text)) if is_csv else _json_items(_lines(text)):
                run.examine(item)
                if raw.tell() != done:
                    progress((raw.tell() - done) / size)
                    done = raw.tell()
        run.append(progress)
        return run.result


def _lines(file: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file, without a byte order mark."""
    for number, line in enumerate(file):
        yield line if number else line.removeprefix(codecs.BOM_UTF8)


def _json_items(lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line := line.strip():
            yield line


def _csv_items(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The rows of a CSV file as JSON objects; empty cells are absent. `properties.x` is a key of the properties.

    A row that is no CSV is given as its text, which is no event.
    """
    read: list[str] = []
    rows = csv.DictReader(_remembered(lines, read))
    if not rows.fieldnames:
        return
    while True:
        read.clear()
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            yield json.dumps("".join(read)).encode()
        else:
            yield json.dumps(_item(row)).encode()


def _remembered(lines: Iterable[bytes], read: list[str]) -> Iterator[str]:
    for line in lines:
        read.append(str(line, "utf-8"))
        yield read[-1]


def _item(row: dict[str, str]) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for name, cell in row.items():
        if not name or not cell:
            continue
        if name.startswith("properties."):
            item.setdefault("properties", {})[name.removeprefix("properties.")] = cell
        else:
            item[name] = _number(cell) if name in NUMBERS else cell
    return item


def _number(cell: str) -> int | float | str:
    try:
        return float(cell) if "." in cell else int(cell)
    except ValueError:
        return cell


class _Run:
    """The state of one import: of each line, in the order of the file, when it occurred, where it is, and its key.

    The key is of hub and id where the line has an id, else (and where it is rejected) of its content.
    """

    def __init__(self, spool: IO[bytes], default_hub: str | None) -> None:
        self.result = Import()
        self._spool = spool
        self._default_hub = default_hub
        self._caller = Caller(Memory(counted_since), is_trusted=True)
        self._received_at = int(time.time() * 1000)
        self._intake = Intake()
        self._times = array("q")
        self._offsets = array("q")
        self._keys = bytearray()
        self._named = bytearray()
        self._offset = 0

    def examine(self, line: bytes) -> None:
        """Keep a line, and what its turn depends on."""
        at, named = REJECTED, ""
        try:
            sent = self._sent(line)
            draft = normalise(sent, self._caller, self._received_at)
            at = draft.occurred_at
            named = f"{draft.hub}\0{sent.id}" if sent.id else ""
        except Reject:
            pass  # it is told, with the reason, when its turn comes
        self._times.append(at)
        self._offsets.append(self._offset)
        self._keys += hashlib.blake2b(named.encode(), digest_size=16, person=b"id").digest() if named else _digest(line)
        self._named.append(bool(named))
        self._offset += self._spool.write(line + b"\n")

    def _sent(self, line: bytes) -> Sent:
        """What a line says, with the default hub. Raises Reject."""
        sent = decoded_event(line, TrustedSent) or checked_or_reject(_value(line), TrustedSent)
        if isinstance(sent, Reject):
            raise sent
        sent.hub = sent.hub or self._default_hub
        return sent

    def append(self, progress: Progress) -> None:
        """Append the lines in order of occurrence; those of the same time, and the rejected, in the order of the file.

        Of lines with one id the first of the file counts.
        """
        ranks = _ranks(np.frombuffer(self._keys, ">u8").reshape(-1, 2))
        is_again = np.frombuffer(self._named, bool) & (ranks > 0)
        self.result.duplicates = int(is_again.sum())
        turns = np.argsort(np.frombuffer(self._times, np.int64), kind="stable")
        turns = turns[~is_again[turns]]
        for start in range(0, len(turns), GROUP):
            group = turns[start : start + GROUP]
            self._append(group.tolist(), ranks[group].tolist())
            progress(len(group) / len(turns))

    def _append(self, lines: list[int], ranks: list[int]) -> None:
        batch = Batch()
        for number, rank in zip(lines, ranks, strict=True):
            self._spool.seek(self._offsets[number])
            line = self._spool.readline()[:-1]
            name = hashlib.blake2b(_digest(line) + b"%d" % (rank + 1), digest_size=16).hexdigest()
            try:
                batch.drafts.append(self._draft(line, name))
            except Reject as reject:
                batch.rejections.append(self._rejection(line, name, reject))
                self.result.codes[reject.code] += 1
        (outcome,) = self._intake.append([batch])
        self.result.accepted += outcome.accepted
        self.result.duplicates += outcome.duplicates

    def _draft(self, line: bytes, name: str) -> Draft:
        """The draft of a line. One without id has one that follows from its content, and its rank among its likes."""
        sent = self._sent(line)
        sent.id = sent.id or name
        return normalise(sent, self._caller, self._received_at)

    def _rejection(self, line: bytes, name: str, reject: Reject) -> Rejection:
        try:
            item = _value(line)
        except Reject:
            item = line.decode("utf-8", "backslashreplace")
        if isinstance(item, dict):
            item["hub"] = item.get("hub") or self._default_hub
            item["id"] = item.get("id") or name
        key = hashlib.blake2b(f"{name}\0{reject.code}\0{self._default_hub}".encode(), digest_size=16).digest()
        return replace(rejection_of(item, reject, self._caller, self._received_at), key=key)


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()


def _ranks(keys: np.ndarray) -> np.ndarray:
    """For each row how many rows before it are the same."""
    turns = np.lexsort((keys[:, 1], keys[:, 0]))
    is_new = np.ones(len(keys), bool)
    is_new[1:] = (keys[turns[1:]] != keys[turns[:-1]]).any(axis=1)
    places = np.arange(len(keys), dtype=np.uint32)
    ranks = np.empty_like(places)
    ranks[turns] = places - np.maximum.accumulate(np.where(is_new, places, 0))
    return ranks


def _value(line: bytes) -> Any:
    """The plain value of a line. Raises Reject for one that is no JSON."""
    try:
        return decoded_value(line)
    except (ValueError, RecursionError):
        raise Reject("invalid_event", f"A line must be a JSON object, not {shown(line)}.") from None
