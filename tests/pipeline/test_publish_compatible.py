"""`publish.compatible` refuses changes that break callers of the newest version."""

import shutil

import fsspec
import pytest
from smdecl.errors import ContractError

from tests.conftest import tree

# Two forms of the adder that break one another's callers.
FLOAT, DOUBLE = (
    [
        f"signatures.serving_default.{side}.dtype={dtype}"
        for side in ("inputs.x", "outputs.output_0")
    ]
    for dtype in ("float32", "float64")
)
COMPATIBLE = "publish.compatible=true"


def refused(project, *overrides):
    """Exports what is to be refused and returns the problems, each with its key."""
    with pytest.raises(ContractError) as error:
        project.export(COMPATIBLE, *overrides)
    assert error.value.exit_code == 4
    return [f"{problem.key}: {problem.message}" for problem in error.value.problems]


def breaks(base):
    hint = "expected a change that breaks no caller, or a new name or export_dir"
    return [
        f"publish.compatible: would break callers of {base}: signatures serving_default.{place}: changed from"
        f" float32 [] to float64 []; {hint}"
        for place in ("inputs.x", "outputs.output_0")
    ] + [
        f"publish.compatible: would break callers of {base}: functions add: can no longer be called as (x: float32 [])"
        f" -> float32 []; {hint}"
    ]


@pytest.mark.slow
def test_a_change_that_breaks_callers_of_the_highest_version_is_not_published(project):
    project.export(*FLOAT, "publish.version=5")
    project.export(*DOUBLE, "publish.version=2")  # the last one published, and not the newest
    before = tree(project.root)

    assert refused(project, *DOUBLE) == breaks("exports/adder/5")
    assert refused(project, *DOUBLE, "publish.version=3") == breaks("exports/adder/5")
    assert refused(project, *DOUBLE, "publish.version=2", "publish.replace=true") == breaks(
        "exports/adder/5"
    )
    assert tree(project.root) == before
    assert sorted(path.name for path in (project.root / "exports" / "adder").iterdir()) == [
        "2",
        "5",
    ]

    assert project.export(COMPATIBLE, *FLOAT).version == 6
    assert project.export(COMPATIBLE, "signatures=[scalar_float,vector_float]").version == 7
    assert project.export(*DOUBLE).version == 8


@pytest.mark.slow
def test_the_command_line_reports_the_breaking_changes(project):
    project.export(*FLOAT)

    done = project.run(COMPATIBLE, *DOUBLE)

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.splitlines() == [
        f"smdecl: error: override '{COMPATIBLE}': {line}" for line in breaks("exports/adder/1")
    ]


def test_without_a_version_the_replaced_savedmodel_is_compared(project):
    overrides = ["publish=in_place", "publish.replace=true"]
    (project.root / "exports" / "adder").mkdir(parents=True)
    assert project.export(COMPATIBLE, *overrides, *FLOAT).version is None
    before = tree(project.root)

    assert refused(project, *overrides, *DOUBLE) == breaks("exports/adder")
    assert tree(project.root) == before
    project.export(COMPATIBLE, *overrides, *FLOAT)


def test_without_an_earlier_version_nothing_breaks(project):
    (project.root / "exports" / "adder" / "7" / "variables").mkdir(parents=True)

    assert project.export(COMPATIBLE, *DOUBLE).version == 8
    assert project.export(COMPATIBLE, *DOUBLE, "export_dir=exports/new").version == 1


def test_an_unreadable_newest_version_is_reported(project):
    (release,) = {project.export(*FLOAT).path}
    (release / "saved_model.pb").write_bytes(b"broken")
    before = tree(project.root)

    (problem,) = refused(project, *FLOAT)

    assert problem.startswith(": cannot read 'exports/adder/1/saved_model.pb' as a SavedModel: ")
    assert tree(project.root) == before
    shutil.rmtree(release)
    assert project.export(COMPATIBLE, *FLOAT).version == 1


def test_a_store_is_asked_for_its_newest_version(project):
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    try:
        remote = "export_dir=memory://models"
        assert project.export(COMPATIBLE, remote, *DOUBLE, "publish.version=9").version == 9
        assert project.export(remote, *FLOAT, "publish.version=10").version == 10
        files.pipe("/models/11/variables/variables.index", b"an upload that is under way")
        before = {name: files.cat(name) for name in files.find("/")}

        problems = refused(project, remote, *DOUBLE)

        assert problems == breaks("memory://models/10")
        assert {name: files.cat(name) for name in files.find("/")} == before
        assert project.export(COMPATIBLE, remote, *FLOAT).version == 12
        files.pipe("/models/12/saved_model.pb", b"broken")
        assert "as a SavedModel: " in refused(project, remote, *FLOAT)[0]
        assert not files.exists("/models/13")
    finally:
        files.store.clear()
