"""Secrets come from the environment, or are made once, for their owner alone."""

import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from statsproject.checks import check_secrets
from statsproject.environment import secret_of

TAKERS = 16


def take(data_dir: str, start, taken) -> None:
    start.wait()
    taken.put([secret_of(Path(data_dir), f"KEY_{number}") for number in range(50)])


def test_processes_that_start_together_take_the_same_secret(tmp_path: Path) -> None:
    """None may read one that another is still writing: an empty VISITOR_KEY would count every visitor anew."""
    context = multiprocessing.get_context("fork")
    start, taken = context.Barrier(TAKERS), context.Queue()
    processes = [context.Process(target=take, args=(str(tmp_path), start, taken)) for _ in range(TAKERS)]
    for process in processes:
        process.start()
    found = [tuple(taken.get(timeout=30)) for _ in processes]
    for process in processes:
        process.join()
    assert len(set(found)) == 1
    assert {len(secret) for secret in found[0]} == {64}


def test_a_secret_is_its_owners_alone_and_stays(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        first = secret_of(tmp_path, "SECRET_KEY")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets", *tmp_path.glob("*/*"))}
    assert modes == {"secrets": 0o700, "secret_key": 0o600}
    assert secret_of(tmp_path, "SECRET_KEY") == first


def test_the_environment_comes_first_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "from the environment")
    assert secret_of(tmp_path, "SECRET_KEY") == "from the environment"
    assert list(tmp_path.iterdir()) == []


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    secret_of(tmp_path, "VISITOR_KEY")
    (tmp_path / "secrets" / "visitor_key").write_text("")
    with pytest.raises(ImproperlyConfigured, match=r"visitor_key is empty; restore it from a backup"):
        secret_of(tmp_path, "VISITOR_KEY")


def test_a_secret_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    secret_of(tmp_path, "SECRET_KEY")
    with override_settings(DATA_DIR=tmp_path):
        assert check_secrets() == []
        (tmp_path / "secrets" / "secret_key").chmod(0o640)
        assert [(warning.id, warning.hint) for warning in check_secrets()] == [
            ("affluence.W001", f"Run: chmod 600 {tmp_path}/secrets/secret_key")
        ]
