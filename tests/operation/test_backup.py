"""Backup and restore, with the real commands: what comes back, and what is refused."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connections

from statsproject import backup
from tests.end_to_end.test_line import Line, view
from tests.waiting import HEALED_S, READY_S, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve")]

NOW = datetime(2026, 3, 5, 10, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def manage(data_dir: Path, *arguments: str, **environ: str) -> tuple[int, str, str]:
    """Exit code, last line of the output, and the errors of a command."""
    done = subprocess.run(
        [sys.executable, ROOT / "manage.py", *arguments],
        env={**os.environ, "DATA_DIR": str(data_dir), "DEMO": "0", **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, (done.stdout.splitlines() or [""])[-1], done.stderr


def content(data_dir: Path) -> dict[str, list]:
    """What the log and its numbering hold, and who has keys."""
    queries = {
        "log.sqlite3": ("events_chunk", "events_visitor", "events_visit", "events_eventid"),
        "affluence.sqlite3": ("events_hub", "events_apikey"),
    }
    found = {}
    for name, tables in queries.items():
        with closing(sqlite3.connect(data_dir / name)) as database:
            for table in tables:
                found[table] = sorted(database.execute(f"SELECT * FROM {table}").fetchall())
    return found


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DATA_DIR with a hub and 50 events, that nobody serves."""
    data_dir = tmp_path_factory.mktemp("kept") / "data"
    assert manage(data_dir, "prepare")[0] == 0
    assert manage(data_dir, "create_hub", "acme")[0] == 0
    events = data_dir.parent / "events.jsonl"
    events.write_text("\n".join(json.dumps(view(number)) for number in range(50)))
    assert manage(data_dir, "import_events", str(events))[0] == 0
    return data_dir


@pytest.fixture
def own(data_dir: Path, settings, monkeypatch) -> Path:
    """This process, as one of that DATA_DIR."""
    settings.DATA_DIR = data_dir
    settings.VISITOR_KEY = (data_dir / "secrets" / "visitor_key").read_text().encode()
    for alias, name in backup.DATABASES.items():
        monkeypatch.setitem(connections[alias].settings_dict, "NAME", data_dir / name)
    return data_dir


@pytest.fixture
def kept(own: Path, tmp_path: Path) -> Path:
    """A backup, as a directory that a test may spoil."""
    make(tmp_path / "backup")
    return tmp_path / "backup"


def make(target: Path) -> dict:
    return backup.back_up(target, NOW, lambda *_: None)


def restore(source: Path, data_dir: Path, settings, replace: bool = False) -> None:
    settings.DATA_DIR = data_dir
    data_dir.mkdir(exist_ok=True)
    backup.restore(source, replace)


@pytest.mark.parametrize("name", ["backup", "backup.tar", "backup.tar.gz", "backup.tgz", "backup.tar.zst"])
def test_a_restored_backup_holds_the_same(own: Path, tmp_path: Path, settings, name: str) -> None:
    target, other = tmp_path / name, tmp_path / "data"
    make(target)
    assert target.stat().st_mode & 0o077 == 0
    restore(target, other, settings)
    secrets = [(path / "secrets" / "visitor_key").read_text() for path in (own, other)]
    assert (content(other), secrets[0]) == (content(own), secrets[1])
    assert {path.name for path in tmp_path.iterdir()} == {name, "data"}
    assert {path.name for path in other.iterdir()} == {"affluence.sqlite3", "log.sqlite3", "secrets"}


def birth(data_dir: Path) -> str:
    """The birth of a DATA_DIR's log, as a process of its own asks for it."""
    command = "from events.log import event_log; print(event_log().birth())"
    code, said, errors = manage(data_dir, "shell", "--no-imports", "-c", command)
    assert code == 0, errors
    return said


def test_a_restored_log_is_born_anew_and_keeps_its_birth(own: Path, tmp_path: Path, settings) -> None:
    births = [birth(own)]
    make(tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "data", settings)
    births += [birth(tmp_path / "data") for _ in range(2)]
    assert (births[0] != births[1], births[1] == births[2], birth(own) == births[0]) == (True, True, True)


def test_the_manifest_says_what_is_in_it(own: Path, tmp_path: Path) -> None:
    manifest = make(tmp_path / "backup")
    assert json.loads((tmp_path / "backup" / "manifest.json").read_text()) == manifest
    assert sorted(manifest["files"]) == [
        "affluence.sqlite3",
        "log.sqlite3",
        "secrets/secret_key",
        "secrets/visitor_key",
    ]
    names = ("events_hub", "events_eventid", "events_visitor")
    assert ([manifest["counts"][name] for name in names], manifest["log"], manifest["events"]) == (
        [1, 50, 3],
        {"main": 1},
        50,
    )
    assert settings_key(own) not in json.dumps(manifest)


def settings_key(data_dir: Path) -> str:
    return (data_dir / "secrets" / "visitor_key").read_text()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("there", "is there already; name another place"),
        ("nowhere/backup", "is no directory; make it first"),
        ("backup.zip", "is none of .tar, .tar.gz, .tgz, .tar.zst, nor a directory"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused(own: Path, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(backup.Refusal, match=re.escape(said)):
        make(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_log_that_lost_its_end_is_not_backed_up_as_if_it_were_whole(own: Path, tmp_path: Path, monkeypatch) -> None:
    ahead = tmp_path / "affluence.sqlite3"
    shutil.copy(own / "affluence.sqlite3", ahead)
    execute(ahead, "INSERT INTO events_cut (epoch, position, cut_at) VALUES (1, '{\"main\": 7}', '2026-01-01')")
    monkeypatch.setitem(connections["default"].settings_dict, "NAME", ahead)
    with pytest.raises(backup.Refusal, match=r"The last cut {'main': 7} is ahead of the log's head {'main': 1}"):
        make(tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


def damaged(kept: Path) -> None:
    with (kept / "log.sqlite3").open("r+b") as file:
        file.seek(5_000)
        file.write(b"damage")


def without_log(kept: Path) -> None:
    (kept / "log.sqlite3").unlink()


def without_manifest(kept: Path) -> None:
    (kept / "manifest.json").unlink()


def saying(**fields: object) -> Callable[[Path], None]:
    """Spoils a backup: its manifest says this instead; None: nothing."""

    def spoil(kept: Path) -> None:
        manifest = json.loads((kept / "manifest.json").read_text()) | fields
        manifest = {name: value for name, value in manifest.items() if value is not None}
        (kept / "manifest.json").write_text(json.dumps(manifest))

    return spoil


def written(text: str) -> Callable[[Path], None]:
    """Spoils a backup: its manifest is this text."""
    return lambda kept: (kept / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape")) and None


def newer(kept: Path) -> None:
    values = "('events', '9999_x', '2030-01-01')"
    execute(kept / "affluence.sqlite3", f"INSERT INTO django_migrations (app, name, applied) VALUES {values}")
    manifest = json.loads((kept / "manifest.json").read_text())
    manifest["files"]["affluence.sqlite3"] = backup._file(kept / "affluence.sqlite3")
    (kept / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (damaged, "log.sqlite3 of the backup is damaged or missing"),
        (without_log, "log.sqlite3 of the backup is damaged or missing"),
        (without_manifest, "is no whole backup"),
        (written("no json"), r"is no whole backup \(Expecting value: .*\); restore another one"),
        (written("\udcff"), "is no whole backup"),
        (written("[]"), "is no whole backup .manifest.json is no JSON object"),
        (saying(files=None), "is no whole backup .manifest.json says no files"),
        (saying(visitor_key=None), "is no whole backup .manifest.json says no visitor_key"),
        (saying(made_at=None), "is no whole backup .manifest.json says no made_at"),
        (saying(log=["main"]), "is no whole backup .manifest.json says no log"),
        (saying(files={}), "is no whole backup .manifest.json does not name affluence.sqlite3"),
        (
            saying(files=dict.fromkeys(("affluence.sqlite3", "log.sqlite3", "../x"))),
            "is no whole backup .manifest.json names '../x', which is no file of a backup",
        ),
        (newer, "it has the migration events.9999_x, which this one lacks"),
    ],
)
def test_a_spoilt_backup_is_refused_before_anything_changes(
    kept: Path, tmp_path: Path, settings, spoil, said: str
) -> None:
    spoil(kept)
    with pytest.raises(backup.Refusal, match=said):
        restore(kept, tmp_path / "data", settings)
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("name", ["half.tar", "half.tar.gz", "half.tar.zst"])
def test_a_file_that_ends_early_is_refused(own: Path, tmp_path: Path, settings, name: str) -> None:
    make(tmp_path / name)
    os.truncate(tmp_path / name, (tmp_path / name).stat().st_size // 2)
    with pytest.raises(backup.Refusal, match="is no whole backup"):
        restore(tmp_path / name, tmp_path / "data", settings)
    assert list((tmp_path / "data").iterdir()) == []


def test_another_visitor_key_is_refused(kept: Path, tmp_path: Path, settings, monkeypatch) -> None:
    monkeypatch.setenv("VISITOR_KEY", "another")
    with pytest.raises(backup.Refusal, match="The backup was made with another VISITOR_KEY"):
        restore(kept, tmp_path / "data", settings)


def test_a_key_of_the_environment_is_not_copied(own: Path, tmp_path: Path, settings, monkeypatch) -> None:
    monkeypatch.setenv("VISITOR_KEY", settings_key(own))
    assert "secrets/visitor_key" not in make(tmp_path / "backup")["files"]
    restore(tmp_path / "backup", tmp_path / "data", settings)
    assert content(tmp_path / "data") == content(own)


def test_another_store_is_refused(kept: Path, tmp_path: Path, settings) -> None:
    settings.EVENT_LOG = {"BACKEND": "events.logs.mongo.MongoEventLog"}
    for act in (lambda: make(tmp_path / "other"), lambda: restore(kept, tmp_path / "data", settings)):
        with pytest.raises(backup.Refusal, match="Only SQLite files are copied here"):
            act()


def test_what_is_there_is_replaced_only_by_force_and_kept_aside(
    kept: Path, own: Path, tmp_path: Path, settings
) -> None:
    other = tmp_path / "data"
    shutil.copytree(own, other)
    (other / "archive").mkdir()
    with pytest.raises(backup.Refusal, match=r"holds affluence.sqlite3 already; use another DATA_DIR, or --force"):
        restore(kept, other, settings)
    restore(kept, other, settings, replace=True)
    (aside,) = other.glob("replaced-*")
    names = {path.name for path in aside.iterdir() if not re.search("-(wal|shm)$", path.name)}
    assert names == {"affluence.sqlite3", "log.sqlite3", "views.sqlite3", "archive", "secrets"}
    assert content(other) == content(own)


@pytest.mark.e2e
def test_a_backup_during_traffic_comes_back_with_the_same_numbers(tmp_path: Path) -> None:
    """Restored, served, and sent everything again: what the backup holds is known, the rest new, the numbers the same."""
    line, sent, is_over = Line(tmp_path / "data"), [], threading.Event()

    def traffic() -> None:
        while not is_over.is_set():
            some = [view(len(sent) + n, media=f"cat-{n}", visitor=f"v{(len(sent) + n) % 17}") for n in range(5)]
            line.post(*some)
            sent.extend(some)

    try:
        until(line.is_healthy, READY_S)
        line.keys = line.manage("create_hub", "acme")["keys"]
        thread = threading.Thread(target=traffic)
        thread.start()
        until(lambda: len(sent) > 100, READY_S)
        line.manage("run_batch")
        made = line.manage("backup", str(tmp_path / "backup.tar.zst"))
        refused = manage(line.data_dir, "restore", str(tmp_path / "backup.tar.zst"), "--force", PORT=str(line.port))
        is_over.set()
        thread.join()
        until(lambda: (line.totals() or {}).get("events") == len(sent), READY_S)
        expected = (line.totals(), line.by_media())
    finally:
        is_over.set()
        line.stop(signal.SIGTERM)
    assert 100 < made["events"] < len(sent)
    assert (refused[0], f"Affluence runs already on {line.data_dir}" in refused[2]) == (1, True)

    other = tmp_path / "other"
    assert manage(other, "restore", str(tmp_path / "backup.tar.zst"))[0] == 0
    restored, keys = Line(other), line.keys
    restored.keys = keys
    try:
        until(restored.is_healthy, READY_S)
        until(lambda: (restored.totals() or {}).get("events") == made["events"], HEALED_S)
        outcomes = [restored.post(*sent[first : first + 500]) for first in range(0, len(sent), 500)]
        assert sum(outcome["duplicates"] for outcome in outcomes) == made["events"]
        until(lambda: restored.totals() == expected[0], HEALED_S)
        assert restored.by_media() == expected[1]
        until(lambda: restored.pipeline()["published_epoch"] >= 2, HEALED_S)  # rebuilt by itself
        until(lambda: restored.pipeline()["lag_events"] == 0, HEALED_S)
        assert (restored.totals(), restored.by_media()) == expected
        pipeline = restored.pipeline()
        assert (pipeline["healthy"], pipeline["mismatches"], pipeline["exit"]) == (True, 0, 0)
        path = "/api/hubs/acme/stats?metrics=visitors&period=7d"
        assert restored.request(path, key=keys["read"])[1]["meta"]["source"] == "views+buffers"
    finally:
        restored.stop(signal.SIGTERM)
