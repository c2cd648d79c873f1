"""`python -m bench`: the smoke test of its cheap scenarios, as its reader runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTRY = {"value", "unit", "limit", "limit_of", "ratio", "target", "met"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.slow
def test_a_smoke_test_prints_one_json_object_of_figures_and_meets_nothing() -> None:
    done = bench("--quick", "--only", "commits", "--only", "hour", "--only", "distinct")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert list(figures) == [
        "durable_commits", "applied", "hourly_run", "audit", "distinct_365_days_first", "distinct_365_days_again"
    ]  # fmt: skip
    assert all(set(entry) == ENTRY for entry in figures.values())
    assert all(entry["value"] > 0 and entry["limit"] > 0 and entry["met"] is None for entry in figures.values())


def test_an_unknown_scenario_is_refused_with_the_known_ones() -> None:
    done = bench("--only", "speed")
    assert done.returncode == 2
    assert "commits" in done.stderr
