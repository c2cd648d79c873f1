"""Backup and restore of what cannot be computed again: the log, the default database, the secrets.

View rows, archive and buffers follow from those. Both databases are copied from snapshots that are taken one right
after the other while everything runs, the default one first: so no cut in the copy is ahead of the log in the copy.
What was accepted between the two is in the log alone, after the last cut, where any reader finds it.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from django.conf import settings
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from aggregations.rollups import DECLARATION
from events.log import Position, at_or_before

DATABASES = {"default": "affluence.sqlite3", "log": "log.sqlite3"}
"""What is copied, in the order of the snapshots."""
ORM_LOG = "events.logs.orm.OrmEventLog"
SECRETS = ("secrets/secret_key", "secrets/visitor_key")
MANIFEST = "manifest.json"
TOLD = {"made_at": str, "log": dict, "cut": dict, "events": int, "visitor_key": str, "files": dict}
"""What a manifest must say to be restored, and of which type."""
GREY = ("views.sqlite3", "archive", "redis")
"""What belongs to the log that is replaced, and is computed again."""
COUNTED = {
    "default": ("auth_user", "events_hub", "events_apikey", "events_media", "events_cut"),
    "log": ("events_chunk", "events_eventid", "events_visitor", "events_visit", "events_rejectedevent"),
}
SUFFIXES = {".tar": "", ".tar.gz": "gzip", ".tgz": "gzip", ".tar.zst": "zstd"}
PAGES_AT_ONCE = 4_096
BLOCK = 1024 * 1024

Progress = Callable[[str, int, int], None]


class Refusal(Exception):
    """Why nothing was backed up or restored, in a sentence with the way out."""


def back_up(target: Path, now: datetime, progress: Progress) -> dict[str, Any]:
    """Write a backup to a new directory, or to a .tar, .tar.gz or .tar.zst, and read it again; returns its manifest.

    It has its name only once it is whole. Raises Refusal.
    """
    if target.exists():
        raise Refusal(f"{target} is there already; name another place.")
    if not target.parent.is_dir():
        raise Refusal(f"{target.parent} is no directory; make it first.")
    _refuse_other_stores()
    with _beside(target) as directory:
        _copy_databases(directory, progress)
        _copy_secrets(directory)
        manifest = _describe(directory, now)
        (directory / MANIFEST).write_text(json.dumps(manifest, indent=1))
        _sync(directory)
        if compression := _compression(target):
            _pack(directory, target, compression, manifest)
        else:
            verify(directory, manifest)
            directory.rename(target)
        _sync_one(target.parent)
    return manifest


def _refuse_other_stores() -> None:
    if settings.EVENT_LOG["BACKEND"] != ORM_LOG or any(connections[alias].vendor != "sqlite" for alias in DATABASES):
        raise Refusal("Only SQLite files are copied here; docs/operations.md says how to back up other stores.")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A private directory on the disk of `target`, which is gone afterwards unless it was renamed."""
    directory = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _copy_databases(directory: Path, progress: Progress) -> None:
    with ExitStack() as stack:
        sources = {}
        for alias in DATABASES:
            path = connections[alias].settings_dict["NAME"]
            sources[alias] = stack.enter_context(closing(sqlite3.connect(path, timeout=30, isolation_level=None)))
            sources[alias].execute("BEGIN")
            sources[alias].execute("SELECT COUNT(*) FROM sqlite_master").fetchone()  # the snapshot begins with a read
        for alias, name in DATABASES.items():

            def copied(status: int, remaining: int, total: int, name: str = name) -> None:
                progress(name, total - remaining, total)

            with closing(sqlite3.connect(directory / name, isolation_level=None)) as copy:
                sources[alias].backup(copy, pages=PAGES_AT_ONCE, progress=copied)
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log of writes beside it
            (directory / name).chmod(0o600)


def _copy_secrets(directory: Path) -> None:
    """Copy those that DATA_DIR holds; what the environment gives is the operator's to keep."""
    (directory / "secrets").mkdir(mode=0o700)
    for name in SECRETS:
        if _is_kept_here(name):
            shutil.copy(settings.DATA_DIR / name, directory / name)


def _is_kept_here(secret: str) -> bool:
    return not os.environ.get(Path(secret).name.upper()) and (settings.DATA_DIR / secret).exists()


def key_digest(key: bytes) -> str:
    """By which a VISITOR_KEY is known without being told."""
    return hashlib.sha256(b"affluence visitor key " + key).hexdigest()[:16]


def _describe(directory: Path, now: datetime) -> dict[str, Any]:
    """The manifest of the copies. Raises Refusal where they are damaged or do not belong together."""
    counts: dict[str, int] = {}
    for alias, name in DATABASES.items():
        with _opened(directory / name) as copy:
            (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise Refusal(f"{name} is damaged ({found}); restore it from an earlier backup.")
            for table in COUNTED[alias]:
                counts[table] = copy.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
    head, cut = _head_and_cut(directory)
    return {
        "made_at": now.isoformat(),
        "version": settings.SPECTACULAR_SETTINGS["VERSION"],
        "declaration": DECLARATION,
        "log": head,
        "cut": cut,
        "events": _events(directory),
        "counts": counts,
        "visitor_key": key_digest(settings.VISITOR_KEY),
        "files": {name: _file(directory / name) for name in _names(directory)},
    }


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as copy:
        yield copy


def _head_and_cut(directory: Path) -> tuple[Position, Position]:
    """Head of the log and last recorded cut. Raises Refusal for a gap in the log, or a cut ahead of it."""
    with _opened(directory / DATABASES["log"]) as log:
        query = "SELECT partition, MAX(sequence), COUNT(*) FROM events_chunk GROUP BY partition"
        found = log.execute(query).fetchall()
    for partition, last, count in found:
        if last != count:
            raise Refusal(
                f"The log lacks {last - count} of {last} chunks of partition {partition}; see the runbook, lag."
            )
    head = {partition: last for partition, last, _ in found}
    with _opened(directory / DATABASES["default"]) as default:
        row = default.execute("SELECT position FROM events_cut ORDER BY epoch DESC LIMIT 1").fetchone()
    cut = json.loads(row[0]) if row else {}
    if not at_or_before(cut, head):
        raise Refusal(
            f"The last cut {cut} is ahead of the log's head {head}: the log lost its end; see the runbook, redis."
        )
    return head, cut


def _events(directory: Path) -> int:
    with _opened(directory / DATABASES["log"]) as log:
        return log.execute("SELECT COALESCE(SUM(event_count), 0) FROM events_chunk").fetchone()[0]


def _names(directory: Path) -> list[str]:
    return [name for name in (*DATABASES.values(), *SECRETS) if (directory / name).exists()]


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return _read(file)


def _read(file: IO[bytes]) -> dict[str, Any]:
    """Bytes and digest of what a file holds."""
    digest, size = hashlib.sha256(), 0
    while block := file.read(BLOCK):
        digest.update(block)
        size += len(block)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _sync(directory: Path) -> None:
    """Bring a directory and all that is in it to disk."""
    for path in (*directory.rglob("*"), directory):
        _sync_one(path)


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def verify(directory: Path, manifest: dict[str, Any]) -> None:
    """Raises Refusal where a file of a backup is not the one that was written."""
    for name, wanted in manifest["files"].items():
        found = _file(directory / name) if (directory / name).is_file() else None
        if found != wanted:
            raise Refusal(f"{name} of the backup is damaged or missing: it should be {wanted}, and is {found}.")


def _compression(path: Path) -> str | None:
    """`tar` or the compression that a file's name asks for; None for a directory. Raises Refusal for other files."""
    for suffix, compression in SUFFIXES.items():
        if path.name.endswith(suffix):
            return compression or "tar"
    if path.suffix in {".zip", ".gz", ".zst", ".bz2", ".xz"}:
        raise Refusal(f"{path.name} is none of {', '.join(SUFFIXES)}, nor a directory.")
    return None


@contextmanager
def _tar(path: Path, compression: str, mode: str) -> Iterator[tarfile.TarFile]:
    """The stream of a tar file; `mode` is r or w."""
    with ExitStack() as stack:
        stream: Any = stack.enter_context(path.open(f"{mode}b"))
        if compression != "tar":
            wrap = pa.CompressedInputStream if mode == "r" else pa.CompressedOutputStream
            stream = stack.enter_context(wrap(stream, compression))
        yield stack.enter_context(tarfile.open(fileobj=stream, mode=f"{mode}|"))  # type: ignore[call-overload]


def _pack(directory: Path, target: Path, compression: str, manifest: dict[str, Any]) -> None:
    beside = directory / "packed"
    beside.touch(mode=0o600)
    with _tar(beside, compression, "w") as tar:
        for name in (MANIFEST, *manifest["files"]):
            tar.add(directory / name, name)
    _sync(directory)
    with _tar(beside, compression, "r") as tar:
        found = {member.name: _read(_content(tar, member)) for member in tar}
    if {name: found.get(name) for name in manifest["files"]} != manifest["files"]:
        raise Refusal(f"{target} was not written as it should be; is the disk sound?")
    beside.rename(target)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    if content is None:
        raise Refusal(f"The backup holds {member.name!r}, which is no file.")
    return content


def restore(source: Path, replace: bool) -> dict[str, Any]:
    """Put a backup into DATA_DIR; returns its manifest. With `replace`, what is there is moved aside first.

    To be called with DATA_DIR's lock held. Nothing is changed before the backup has been read and found whole. Raises
    Refusal.
    """
    _refuse_other_stores()
    with _beside(settings.DATA_DIR / "restore") as directory:
        manifest = _unpack(source, directory)
        verify(directory, manifest)
        _refuse_newer(directory)
        _refuse_other_key(directory, manifest)
        _forget_birth(directory)
        _sync(directory)
        _make_room(replace)
        # The default database comes last: without it the log alone is no system that could be started by mistake.
        for name in sorted(manifest["files"], key=lambda name: name == DATABASES["default"]):
            (settings.DATA_DIR / name).parent.mkdir(mode=0o700, exist_ok=True)
            (directory / name).replace(settings.DATA_DIR / name)
            _sync_one((settings.DATA_DIR / name).parent)
    return manifest


def _unpack(source: Path, directory: Path) -> dict[str, Any]:
    """Copy what a backup consists of, and nothing else that it may hold, to `directory`; returns the manifest."""
    (directory / "secrets").mkdir(mode=0o700)
    try:
        for name, content in _contents(source):
            if name in (MANIFEST, *DATABASES.values(), *SECRETS):
                with open(os.open(directory / name, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                    shutil.copyfileobj(content, file, BLOCK)
        return _manifest((directory / MANIFEST).read_text())
    except (OSError, tarfile.TarError, ValueError) as error:
        raise Refusal(f"{source} is no whole backup ({error}); restore another one.") from error


def _manifest(text: str) -> dict[str, Any]:
    """A manifest that says what restoring needs. Raises ValueError."""
    manifest = json.loads(text)
    if not isinstance(manifest, dict):
        raise ValueError(f"{MANIFEST} is no JSON object")
    for name, kind in TOLD.items():
        if not isinstance(manifest.get(name), kind):
            raise ValueError(f"{MANIFEST} says no {name}")
    files = set(manifest["files"])
    if lacking := set(DATABASES.values()) - files:
        raise ValueError(f"{MANIFEST} does not name {min(lacking)}")
    if unknown := files - {*DATABASES.values(), *SECRETS}:
        raise ValueError(f"{MANIFEST} names {min(unknown)!r}, which is no file of a backup")
    return manifest


def _contents(source: Path) -> Iterable[tuple[str, IO[bytes]]]:
    if source.is_dir():
        for path in source.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    yield path.relative_to(source).as_posix(), file
        return
    with _tar(source, _compression(source) or "tar", "r") as tar:
        for member in tar:
            yield member.name, _content(tar, member)


def _refuse_newer(directory: Path) -> None:
    known = MigrationLoader(None).disk_migrations
    for name in DATABASES.values():
        with _opened(directory / name) as copy:
            applied = set(copy.execute("SELECT app, name FROM django_migrations").fetchall())
        if unknown := sorted(applied - set(known)):
            raise Refusal(
                f"The backup is of a newer version: it has the migration {'.'.join(unknown[0])}, which this one lacks."
                " Install that version, then restore."
            )


def _refuse_other_key(directory: Path, manifest: dict[str, Any]) -> None:
    """The VISITOR_KEY in force afterwards must be that of the backup, or each visitor would get a new number."""
    kept = directory / "secrets/visitor_key"
    text = os.environ.get("VISITOR_KEY") or (kept.read_text().strip() if kept.exists() else "")
    if key_digest(text.encode()) != manifest["visitor_key"]:
        raise Refusal("The backup was made with another VISITOR_KEY; set that one in the environment, then restore.")


def _forget_birth(directory: Path) -> None:
    """Let the log be born anew: after it was restored, its positions will stand for other chunks than before."""
    with closing(sqlite3.connect(directory / DATABASES["log"], isolation_level=None)) as log:
        if log.execute("SELECT 1 FROM sqlite_master WHERE name = 'events_logbirth'").fetchone():
            log.execute("DELETE FROM events_logbirth")


def _make_room(replace: bool) -> None:
    """Move aside what is of another log. Raises Refusal where there is some and it may not be replaced."""
    names = [*DATABASES.values(), *GREY]
    there = [path for name in names for path in sorted(settings.DATA_DIR.glob(f"{name}*"))]
    if not there:
        return
    if not replace:
        raise Refusal(f"{settings.DATA_DIR} holds {there[0].name} already; use another DATA_DIR, or --force.")
    aside = Path(tempfile.mkdtemp(prefix="replaced-", dir=settings.DATA_DIR))
    connections.close_all()
    for path in there:
        path.rename(aside / path.name)
    if (settings.DATA_DIR / "secrets").exists():
        shutil.copytree(settings.DATA_DIR / "secrets", aside / "secrets")
