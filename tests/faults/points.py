"""Points: named steps of production where a fault can strike, wrapped from outside.

A point is armed by a file `armed/<point>:<before or after>:<part>` whose JSON says what happens. The process that comes
there first takes the file away by renaming it, so that a fault strikes once, writes a line to `struck.jsonl`, and acts.
"""

import errno
import functools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from amqp import Channel as AmqpChannel
from django.conf import settings
from django.db import OperationalError
from kombu.transport.redis import Channel as RedisChannel

from statsproject.addresses import ELASTIC_VIEW_STORE, ORM_VIEW_STORE
from statsproject.event_log import MONGO_EVENT_LOG, ORM_EVENT_LOG

POINTS = {
    "append.commit": "events.intake.Intake.commit",
    "append.announce": "events.intake.Intake.announce",
    "nudge": "speed.nudge.send",
    "apply.fold": "speed.folding.entries",
    "apply.learn": "events.catalogue.learn",
    "apply.script": "speed.buffers.apply",
    "apply.compact": "speed.buffers.compact",
    "recover.install": "speed.buffers.install",
    "swap.script": "speed.buffers.swap",
    "swap.record": "events.cuts.record_cut",
    "claim": "batch.ledger.claim",
    "archive.range": "batch.archive.add_range",
    "archive.file": "batch.archive._write_file",
    "archive.record": "batch.archive._record",
    "archive.join": "batch.archive.compact",
    "fold": "batch.run._Work._fold_epoch",
    "audit": "batch.run._Work._record_audit",
    "recompute": "batch.run._Work._recompute",
    "publish": "batch.ledger.publish",
    "publish.mark": "events.cuts.mark_published",
    "retire": "speed.buffers.retire",
    "clean.files": "batch.archive.clean_up",
}
OF_LOG = {
    ORM_EVENT_LOG: {
        "append.ids": "events.logs.orm.OrmLogWriter.claim_ids",
        "append.numbering": "events.logs.orm.OrmLogWriter.save_numbering",
        "append.chunk": "events.logs.orm.OrmLogWriter.append",
    },
    MONGO_EVENT_LOG: {
        "append.ids": "events.logs.mongo.writer.MongoLogWriter.claim_ids",
        "append.numbering": "events.logs.mongo.writer.MongoLogWriter._number",
        "append.chunk": "events.logs.mongo.writer.MongoLogWriter._insert",
        "append.follow": "events.logs.mongo.writer.MongoLogWriter.follow",
    },
}
OF_VIEWS = {
    backend: {
        "rows": f"{backend}.write",
        "seal": f"{backend}.seal",
        "clean.rows": f"{backend}.clean_up",
    }
    for backend in (ORM_VIEW_STORE, ELASTIC_VIEW_STORE)
}
OF_QUEUE = {"queue.write": "events.queued.QueueIntake._write", "queue.append": "events.intake.Intake.append"}
"""Points of the one process that takes events from a queue: it imports what the others do not need."""
ANY = "any"
PACKAGES = ("aggregations", "events", "speed", "batch", "views_layer", "statsproject", "insights")


def replace(original: Callable, new: Callable) -> None:
    """Put `new` in the place of a function of a module, also where other modules have imported it by name."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PACKAGES:
            for key, value in list(vars(module).items()):
                if value is original:
                    setattr(module, key, new)


def install(directory: Path, part: str) -> None:
    """Wrap every point in this process."""
    control = Control(directory, part)
    found = POINTS | OF_LOG[settings.EVENT_LOG["BACKEND"]] | OF_VIEWS[settings.VIEW_STORE["BACKEND"]]
    for point, path in (found | OF_QUEUE if part == "intake" else found).items():
        owner, name = _owner(path)
        original = getattr(owner, name)
        wrapped = _wrapped(original, point, control)
        if isinstance(owner, type):
            setattr(owner, name, wrapped)
        else:
            replace(original, wrapped)
    _wrap_broker(directory)


def _owner(path: str) -> tuple[Any, str]:
    """The module or class that holds the function of a dotted path, and its name there."""
    before, _, name = path.rpartition(".")
    try:
        return import_module(before), name
    except ModuleNotFoundError:
        module, _, kind = before.rpartition(".")
        return getattr(import_module(module), kind), name


def _wrapped(original: Callable, point: str, control: "Control") -> Callable:
    @functools.wraps(original)
    def at_point(*arguments: Any, **named: Any) -> Any:
        control.come_to(point, "before")
        result = original(*arguments, **named)
        control.come_to(point, "after")
        return result

    return at_point


def _wrap_broker(directory: Path) -> None:
    """While the file `broker` says so, messages to the broker are lost or doubled."""
    for channel, name in ((RedisChannel, "_put"), (AmqpChannel, "basic_publish_confirm")):
        setattr(channel, name, _unreliable(getattr(channel, name), directory / "broker"))


def _unreliable(put: Callable, said: Path) -> Callable:
    @functools.wraps(put)
    def unreliable(*arguments: Any, **named: Any) -> None:
        says = ""
        with suppress(FileNotFoundError):
            says = said.read_text()
        for _ in range({"lose": 0, "double": 2}.get(says, 1)):
            put(*arguments, **named)

    return unreliable


class Control:
    """What is armed, as a process sees it."""

    def __init__(self, directory: Path, part: str) -> None:
        self._directory, self._part = directory, part

    def come_to(self, point: str, when: str) -> None:
        for part in (self._part, ANY):
            armed = self._directory / "armed" / f"{point}:{when}:{part}"
            taken = armed.with_name(f".{armed.name}.{os.getpid()}.{threading.get_ident()}")
            try:
                armed.rename(taken)
            except FileNotFoundError:
                continue
            what = json.loads(taken.read_text())
            if what["skip"]:
                taken.write_text(json.dumps(what | {"skip": what["skip"] - 1}))
                taken.rename(armed)
                continue
            taken.unlink()
            self._say({"point": point, "when": when, "part": self._part, "pid": os.getpid()} | what)
            ACTIONS[what["action"]](what)

    def _say(self, what: dict) -> None:
        with (self._directory / "struck.jsonl").open("a") as file:
            file.write(json.dumps(what) + "\n")


def _kill(what: dict) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop(what: dict) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _delay(what: dict) -> None:
    time.sleep(what["seconds"])


def _fill(what: dict) -> None:
    fill(Path(what["ballast"]))


def _refuse_space(what: dict) -> None:
    """What a full disk raises, where none can be made: of SQLite or of a file."""
    if what["of"] == "sqlite":
        raise OperationalError("database or disk is full")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill(ballast: Path) -> None:
    """Write a file that takes all the space of its file system, while others write to it too."""
    with ballast.open("wb") as file:
        for _ in range(100):
            found = os.statvfs(ballast.parent)
            free = found.f_bavail * found.f_frsize
            if not free:
                return
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)


ACTIONS = {"kill": _kill, "stop": _stop, "delay": _delay, "fill": _fill, "refuse-space": _refuse_space}
