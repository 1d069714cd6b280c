"""A path that does not exist is reported with the directory that it was looked for in."""

from pathlib import Path

import pytest
from smdecl.config import relative_paths
from smdecl.config.project import find_project

from tests.checks import changed_configs


def keras_weights(path):
    return {"format": "keras_weights", "path": path, "expect": "full", "root": None}


def missing(name):
    return relative_paths.missing(name, find_project(Path.cwd()))


@pytest.fixture
def parent(project, monkeypatch):
    """The directory above a project."""
    for name in (
        "own/data/x.npy",
        "own/conf/release/mine.yaml",
        "own/mine.py",
        "own/own.py",
        "one/both",
        "two/both",
    ):
        project.write(name, "")
    project.write(
        "own/conf/verify/mine.yaml",
        "examples:\n  serving_default: [{inputs: {x: {file: data/x.npy}, y: 1}}]\n",
    )
    monkeypatch.chdir(project.root)
    return project


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("data/x.npy", "; own/data/x.npy exists: run smdecl in own"),
        ("data/y.npy", ""),
        ("both", ""),
        ("../mine.py", ""),
        ("a" * 300, ""),
    ],
)
def test_a_relative_path_is_looked_for_in_the_directories_below(parent, name, found):
    here = f"; paths are relative to the current directory {parent.root}"

    assert missing(name) == f"no such file: {name!r}{here}{found}"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("one/both", "; ../../one/both exists: run smdecl in ../.."),
        ("mine.py", "; ../mine.py exists: run smdecl in .."),
        ("b" * 300, ""),
    ],
)
def test_a_relative_path_is_looked_for_in_the_directories_above(parent, monkeypatch, name, found):
    parent.write("mine.py", "")
    monkeypatch.chdir(parent.root / "own/data")

    assert missing(name).endswith(found)


def test_nothing_is_looked_for_in_the_home_directory_or_above(parent, monkeypatch):
    monkeypatch.setenv("HOME", str(parent.root / "own"))
    monkeypatch.chdir(parent.root / "own/data")

    assert relative_paths.hint("mine.py").endswith("/own/data")
    assert relative_paths.hint("one/both").endswith("/own/data")


def test_an_absolute_path_is_just_missing():
    assert missing("/nowhere/x.npy") == "no such file: '/nowhere/x.npy'"


def test_a_similar_file_is_what_was_meant(parent, monkeypatch):
    monkeypatch.chdir(parent.root / "own")

    assert missing("data/xx.npy").endswith("'data/xx.npy' (did you mean 'data/x.npy'?)")


@pytest.mark.parametrize(
    "name", ["secret.weights.h5", "../secret.weights.h5", "link/secret.weights.h5"]
)
def test_a_similar_file_outside_the_project_is_not_named(parent, name):
    outside = parent.root.parent
    (outside / "secrets.weights.h5").write_text("")
    (parent.root / "link").symlink_to(outside)
    if "/" not in name:
        name = str(outside / name)

    for part in ({"sha256": {name: "0" * 64}}, {"weights": keras_weights(name)}):
        (problem,) = changed_configs.problems(parent.root, **part)
        assert problem.message.startswith(f"no such file: {name!r}")
        assert "secrets" not in problem.message


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--config-dir", "own/conf", "verify=mine"], "own/data/x.npy exists: run smdecl in own"),
        (["--config-dir", "conf", "verify=mine"], "own/conf exists: run smdecl in own"),
        (["release=mine"], "own/conf/release/mine.yaml exists: run smdecl in own with --config-dir conf"),
        (["model._target_=mine.Net"], "own/mine.py exists: run smdecl in own"),
        (["model._target_=own.Net"], "own/own.py exists: run smdecl in own"),
        (["weights=keras", "weights.path=data/x.npy"], "own/data/x.npy exists: run smdecl in own"),
        (["+sha256={data/x.npy: " + "0" * 64 + "}"], "own/data/x.npy exists: run smdecl in own"),
    ],
)  # fmt: skip
def test_an_error_above_the_project_names_the_directory_to_run_in(parent, arguments, hint):
    done = parent.run("check", *arguments)

    assert done.returncode == 2
    assert f"; {hint}\n" in done.stderr
