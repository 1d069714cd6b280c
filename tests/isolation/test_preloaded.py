"""A child looks only at the modules that it has imported itself."""

import sys
from pathlib import Path

import pytest
from smdecl.errors import VerificationError
from smdecl.exporting.building import imports
from smdecl.isolation import preloaded
from smdecl.isolation.preloaded import Snapshot
from smdecl.pipeline.children import children


def run(function, *args):
    return children.run(function, *args, failure=VerificationError, doing="testing")


def looked_at() -> tuple[int, list[str], bool, bool]:
    import tabnanny  # noqa: F401 - a small module that TensorFlow does not import

    later = preloaded.later()
    snapshot = Snapshot.take()
    return len(sys.modules), later, "tensorflow" in snapshot, "tabnanny" in snapshot


def test_a_child_knows_which_modules_the_server_has_not_imported():
    modules, later, has_tensorflow, has_own = run(looked_at)

    assert modules > 1000
    assert "tabnanny" in later
    assert len(later) < modules / 2
    assert has_tensorflow
    assert has_own


def own_modules(root: str) -> list[str]:
    return [*imports.modules(Path(root))]


@pytest.mark.slow  # starts a server
def test_a_module_of_the_project_that_the_server_imported_is_found(project, monkeypatch):
    project.write("sitecustomize.py", "")
    monkeypatch.setenv("PYTHONPATH", str(project.root))
    with children.apart() as processes:
        found = processes.run(
            own_modules, str(project.root), failure=VerificationError, doing="testing"
        )

    assert found == ["sitecustomize.py"]


def test_without_a_server_all_modules_are_looked_at():
    assert {"sys", "pytest"} <= {*preloaded.later()}
