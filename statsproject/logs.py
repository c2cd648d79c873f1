"""Log lines: for people, or as JSON. Each names the request or the task that it was written for.

No line holds an address, a key, a visitor or an event: what is logged are sentences of the house and the errors of
libraries. Keys, share tokens and passwords are blanked here, since a path or an error may repeat them.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

LONGEST_LINE = 3_800
"""Bytes of a JSON line: the supervisor passes lines on that fit in a pipe's buffer, and adds the part's name."""

_work: ContextVar[tuple[str, str] | None] = ContextVar("work", default=None)
_secret = re.compile(r"(/s/|aff_[a-z]+_)[\w-]+|(://[^/\s:@]*:)[^/\s@]+(?=@)")


def begin(kind: str, work_id: str) -> None:
    """From here on, lines of this thread are of `kind` ("request" or "task") `work_id`."""
    _work.set((kind, work_id))


def end() -> None:
    """From here on, lines of this thread are of nothing in particular."""
    _work.set(None)


@contextmanager
def work(kind: str, work_id: str) -> Iterator[None]:
    """Lines within are of `kind` `work_id`."""
    begin(kind, work_id)
    try:
        yield
    finally:
        end()


def blanked(text: str) -> str:
    """`text` without keys, share tokens and passwords of URLs."""
    return _secret.sub(r"\1\2…", text)


class LineFormatter(logging.Formatter):
    """Lines for people: level, logger, message, and in brackets the request or task."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        found = _work.get()
        return super().formatMessage(record) + (f" [{found[0]} {found[1]}]" if found else "")

    def format(self, record: logging.LogRecord) -> str:
        return blanked(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request or task, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": blanked(record.getMessage()),
        }
        if found := _work.get():
            line[found[0]] = found[1]
        if record.exc_info:
            line["exception"] = blanked(self.formatException(record.exc_info))
        return _shortened(line)


def _shortened(line: dict[str, str]) -> str:
    """The line as JSON of at most LONGEST_LINE bytes: of an exception its end is kept, of a message its beginning."""
    text = json.dumps(line, ensure_ascii=False)
    while (excess := len(text.encode(errors="replace")) - LONGEST_LINE) > 0:
        characters = excess // 4 + 1  # a character takes four bytes at most, so never too many go
        if line.get("exception"):
            line["exception"] = line["exception"][characters:]
        else:
            line["message"] = line["message"][:-characters]
        text = json.dumps(line, ensure_ascii=False)
    return text
