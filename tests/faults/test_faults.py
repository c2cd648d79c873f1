"""A short schedule, and the broken builds: what is broken on purpose must be caught, or the harness is blind."""

import json
import os
import subprocess
import sys

import pytest

from tests.faults.stack import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("serve")]


def play(*names: str, broken: str = "") -> dict:
    """The summary of a schedule of these faults."""
    only = [word for name in names for word in ("--only", name)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--broken", broken, *only],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in ("FAULTS", "SEED")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr[-3000:]
    return json.loads(done.stdout)


def test_every_event_counts_once() -> None:
    found = play(
        "kill -9 after append.commit",
        "kill -9 after apply.script",
        "kill -9 after swap.script",
        "kill -9 after archive.range",
        "kill -9 before publish",
        "kill -9 after retire",
    )
    assert (found["failures"], found["accepted"] > 0) == ([], True)


@pytest.mark.parametrize(
    ("build", "fault"),
    [("ignore-the-mark", "zombie consumer: wakes after a second"), ("drop-before-publish", "kill -9 before fold")],
)
def test_it_catches(build: str, fault: str) -> None:
    problems = [failure["problem"] for failure in play(fault, broken=build)["failures"]]
    assert any("answered" in problem for problem in problems), problems
