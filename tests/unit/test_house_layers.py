"""Import directions: the contracts of pyproject.toml, and the one seam."""

import pytest
from grimp import ImportGraph, build_graph
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

SEAM = "views_layer.seam"


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    return build_graph("speed", "batch", "views_layer", "insights", "statsproject")


def test_it_keeps_the_contracts() -> None:
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS


def test_only_the_seam_knows_both_speed_and_batch(graph: ImportGraph) -> None:
    knows_both = {
        module
        for module in graph.modules
        if {"speed", "batch"}
        <= {imported.partition(".")[0] for imported in graph.find_modules_directly_imported_by(module)}
    }
    assert knows_both <= {SEAM}
