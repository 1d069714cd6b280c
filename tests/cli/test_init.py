"""`smdecl init` starts a project that exports at once, and changes no existing file."""

import os
import re
import subprocess
import sys

import pytest
import smdecl
from smdecl.cli import init
from smdecl.errors import PublishError

from tests.conftest import ROOT, run_cli

FILES = [
    ".gitignore", ".smdecl/schemas", "README.md", "conf/model/net.yaml", "conf/release/net.yaml", "conf/signatures/net.yaml", "conf/weights/net.yaml",
    "net.py", "pyproject.toml",
]  # fmt: skip


def names(directory):
    files = (
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    )
    return sorted({re.sub(r"^(\.smdecl/schemas)/.*", r"\1", name) for name in files})


def test_a_new_project_exports_at_once(tmp_path):
    done = run_cli("init", "a/mine", cwd=tmp_path)
    project = tmp_path / "a" / "mine"

    assert (done.returncode, done.stdout.splitlines()) == (0, [f"a/mine/{name}" for name in FILES])
    assert done.stderr == "next: cd a/mine && smdecl --config-dir conf release=net\n"
    assert names(project) == FILES
    exported = run_cli("--config-dir", "conf", "release=net", cwd=project)
    assert (exported.returncode, exported.stdout, exported.stderr) == (0, "exports/net/1\n", "")


def test_overrides_replace_the_weights_that_a_new_release_selects(tmp_path):
    init.init(tmp_path)
    release = tmp_path / "conf/release/net.yaml"
    release.write_text(release.read_text().replace("  # - override", "  - override"))

    def weights(*overrides):
        found = smdecl.compose(["release=net", *overrides], config_dir=tmp_path / "conf")
        return found.values["weights"]

    assert weights() == {"format": "keras_weights", "path": "net.weights.h5", "expect": "full"}
    chosen = weights("weights=checkpoint", "weights.path=ckpt")
    assert (chosen["format"], chosen["path"]) == ("checkpoint", "ckpt")


def test_a_directory_may_have_other_files(tmp_path):
    (tmp_path / "train.py").write_text("")

    init.init(tmp_path)

    assert names(tmp_path) == sorted([*FILES, "train.py"])


def test_an_existing_file_is_reported_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").symlink_to("nowhere")
    (tmp_path / "README.md").write_text("mine")

    done = run_cli("init", ".", cwd=tmp_path)

    expected = (
        "already exists: net.py; expected a directory without these files; none is ever replaced"
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"smdecl: error: {expected}\n")
    assert sorted(os.listdir(tmp_path)) == ["README.md", "net.py"]


def test_common_files_of_a_repository_are_kept(tmp_path):
    repository = tmp_path / "my proj"
    repository.mkdir()
    kept = [".gitignore", "README.md", "pyproject.toml"]
    for name in kept:
        (repository / name).write_text("mine")

    done = run_cli("init", "my proj", cwd=tmp_path)

    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [f"my proj/{name}" for name in FILES if name not in kept],
    )
    assert done.stderr == (
        "kept: my proj/.gitignore, my proj/README.md, my proj/pyproject.toml\n"
        "next: cd 'my proj' && smdecl --config-dir conf release=net\n"
    )
    assert [(repository / name).read_text() for name in kept] == ["mine"] * 3
    assert names(repository) == FILES


@pytest.mark.parametrize(
    ("place", "expected"),
    [("", ".gitignore"), ("conf", "conf/model"), ("conf/model", "conf/model/net.yaml")],
)
def test_a_failed_write_leaves_nothing(tmp_path, place, expected):
    blocked = tmp_path / "new" / place
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file")

    with pytest.raises(PublishError) as error:
        init.init(tmp_path / "new")

    assert (
        str(error.value)
        == f"cannot write {tmp_path / 'new' / expected}: Not a directory; expected a directory that can be written"
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [blocked]


def test_a_write_that_fails_names_the_directory(tmp_path):
    program = (
        "import pathlib, resource, signal; from smdecl.cli import init;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
        "init.init(pathlib.Path('new'))"
    )

    done = subprocess.run(
        [sys.executable, "-B", "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stderr.splitlines()[-1] == (
        "smdecl.errors.PublishError: cannot write new: File too large; expected a directory that can be written"
    )
    assert os.listdir(tmp_path) == []


def test_a_directory_is_needed(tmp_path):
    done = run_cli("init", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr == (
        "smdecl: error: smdecl init: the following arguments are required: directory; see smdecl init --help\n"
    )
