"""A version directory is either absent or complete, whatever happens."""

import errno
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from smdecl import errors
from smdecl.config.settings import Publish
from smdecl.errors import ConfigError, PublishError
from smdecl.release.publish_local import LocalPublisher
from smdecl.savedmodel import base_path

from tests.conftest import ROOT, tree
from tests.release.local_releases import NEXT, release


def test_versions_count_up_from_one(tmp_path):
    base = tmp_path / "deep" / "base"

    assert [release(base) for _ in range(3)] == [(base / str(n), n) for n in (1, 2, 3)]
    assert sorted(os.listdir(base)) == ["1", "2", "3"]


def test_the_next_version_follows_the_highest_as_a_server_parses_names(tmp_path):
    for name in ("007", "3", "x9", "1.5", ".smdecl-old", "99_"):
        (tmp_path / name).mkdir()
    (tmp_path / "12").write_text("a file: a server takes it for a version all the same")

    assert release(tmp_path)[1] == 13


@pytest.mark.parametrize("name", ["99999999999999999999", str(2**63), str(-(2**63) - 1)])
def test_a_name_beyond_int64_is_not_a_version(tmp_path, name):
    (tmp_path / name).mkdir()

    assert release(tmp_path, Publish(version="next", replace=False, keep=1)) == (tmp_path / "1", 1)
    assert sorted(os.listdir(tmp_path)) == sorted(["1", name])


def test_no_version_follows_the_highest_that_a_server_parses(tmp_path):
    release(tmp_path, Publish(version=2**63 - 2, replace=False))
    LocalPublisher(tmp_path, NEXT).refuse_early()
    assert release(tmp_path)[1] == 2**63 - 1
    before = tree(tmp_path)

    message = "publish.version: no version follows 9223372036854775807"
    with pytest.raises(PublishError, match=message):
        LocalPublisher(tmp_path, NEXT).refuse_early()
    with pytest.raises(PublishError, match=message):
        release(tmp_path)
    assert tree(tmp_path) == before


def test_an_existing_version_is_not_replaced(tmp_path):
    options = Publish(version=5, replace=False)
    assert release(tmp_path, options) == (tmp_path / "5", 5)
    before = tree(tmp_path)

    for number, name in ((5, "5"), (7, "007")):
        (tmp_path / name).mkdir(exist_ok=True)
        options = Publish(version=number, replace=False)
        with pytest.raises(
            PublishError, match=rf"publish.version: version {number} exists: '{tmp_path / name}'"
        ):
            LocalPublisher(tmp_path, options).refuse_early()
        with pytest.raises(PublishError, match=f"version {number} exists"):
            release(tmp_path, options, "other")
    assert tree(tmp_path) == before


def test_replace_swaps_whole_directories(tmp_path):
    release(tmp_path, Publish(version=5, replace=False), "old")
    (tmp_path / "5" / "stale").write_text("of the old one alone")

    release(tmp_path, Publish(version=5, replace=True), "new")

    assert tree(tmp_path) == {"5/saved_model.pb": b"new", "5/variables/data": b"new"}


def test_without_a_version_the_base_path_is_the_saved_model(tmp_path):
    base = tmp_path / "model"
    options = Publish(version=None, replace=False)
    base.mkdir()  # empty: there is nothing to lose

    assert release(base, options) == (base, None)
    assert set(tree(base)) == {"saved_model.pb", "variables/data"}
    with pytest.raises(PublishError, match="is not empty"):
        LocalPublisher(base, options).refuse_early()
    with pytest.raises(PublishError, match="is not empty"):
        release(base, options)
    release(base, Publish(version=None, replace=True), "newer")
    assert tree(base)["saved_model.pb"] == b"newer"
    assert os.listdir(tmp_path) == ["model"]


def test_a_failed_export_leaves_no_directories(tmp_path):
    base = tmp_path / "a" / "b"
    with pytest.raises(ZeroDivisionError), LocalPublisher(base, NEXT).stage() as directory:
        (directory / "saved_model.pb").write_text("half")
        raise ZeroDivisionError

    assert os.listdir(tmp_path) == []


def test_stages_of_dead_processes_are_removed_and_those_of_live_ones_kept(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from smdecl.release.publish_local import LocalPublisher; from smdecl.config.settings import Publish\n"
        "with LocalPublisher(Path(sys.argv[1]), Publish('next', False)).stage() as d:\n"
        "    (d / 'x').write_text('x'); os.kill(os.getpid(), 9)\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    (dead,) = os.listdir(tmp_path)
    with LocalPublisher(tmp_path, NEXT).stage() as live:
        with LocalPublisher(tmp_path, NEXT).stage() as other:
            assert sorted(os.listdir(tmp_path)) == sorted([live.name, other.name])
            assert dead not in os.listdir(tmp_path)
        assert live.is_dir()


def test_the_stage_is_not_a_version_and_respects_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with LocalPublisher(tmp_path, NEXT).stage() as directory:
            assert base_path.version_of(directory.name) is None
            assert directory.stat().st_mode & 0o777 == 0o750
    finally:
        os.umask(before)


def test_a_rename_never_replaces_an_empty_directory(tmp_path):
    # os.rename would, although a different publisher may have just created it.
    with LocalPublisher(tmp_path, NEXT).stage() as directory:
        (tmp_path / "1").mkdir()
        assert LocalPublisher(tmp_path, NEXT).publish(directory)[1] == 2
        assert os.listdir(tmp_path / "1") == []


def test_without_renameat2_a_lock_prevents_replacing(tmp_path, monkeypatch):
    class Libc:
        """A C library from before renameat2."""

    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: Libc())
    assert [release(tmp_path)[1] for _ in range(2)] == [1, 2]
    with pytest.raises(PublishError, match="version 2 exists"):
        release(tmp_path, Publish(version=2, replace=False))
    release(tmp_path, Publish(version=2, replace=True), "swapped")
    assert tree(tmp_path / "2")["saved_model.pb"] == b"swapped"
    assert sorted(os.listdir(tmp_path)) == ["1", "2"]


def test_a_directory_that_cannot_be_written_is_reported_with_the_reason(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(PublishError) as error, LocalPublisher(file / "base", NEXT).stage():
        raise AssertionError("unreachable")

    assert error.value.exit_code == 5
    assert str(error.value) == f"export_dir: {refused(file / 'base', 'Not a directory')}"


def refused(base, reason):
    return f"cannot write to '{base}': {reason}; set a different export_dir"


@pytest.fixture
def read_only(tmp_path, monkeypatch):
    """Enters a directory that this process may not write to; root becomes a different user for it."""
    user = os.geteuid()
    monkeypatch.chdir(tmp_path)  # that user may not enter the directories above
    tmp_path.chmod(0o555)
    if user == 0:
        os.seteuid(65534)
    yield tmp_path
    os.seteuid(user)
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("version", ["next", None])
@pytest.mark.parametrize("base", ["base", "base/below"])
def test_a_directory_without_permission_is_reported_as_given(read_only, base, version):
    publish = Publish(version=version, replace=False)
    with pytest.raises(PublishError) as error, LocalPublisher(read_only / base, publish).stage():
        raise AssertionError("unreachable")

    assert (error.value.exit_code, f"{error.value}") == (
        5,
        f"export_dir: {refused(read_only / base, 'Permission denied')}",
    )


@pytest.mark.parametrize("version", ["next", 7, None])
@pytest.mark.parametrize("base", ["base", "base/below"])
@pytest.mark.usefixtures("read_only")
def test_a_directory_without_permission_is_refused_early(base, version):
    with pytest.raises(PublishError) as error:
        LocalPublisher(Path(base), Publish(version=version, replace=False)).refuse_early()

    assert str(error.value) == f"export_dir: {refused(base, 'Permission denied')}"


@pytest.mark.parametrize("stage", ["", f"/{errors.STAGE}host-1", f"/{errors.STAGE}host-1/made"])
@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), ValueError("No space left on device")],
)
def test_an_error_in_a_stage_names_the_base_path(stage, error):
    with pytest.raises(PublishError) as caught, errors.disk_errors(Path(f"base{stage}")):
        raise error

    assert str(caught.value) == f"export_dir: {refused('base', 'No space left on device')}"


def test_an_error_of_a_version_names_the_version():
    with pytest.raises(PublishError) as caught, errors.disk_errors(Path("base")):
        raise OSError(
            errno.EACCES, "Permission denied", f"base/{errors.STAGE}host-1/made", None, "base/7"
        )

    reason = "'base/7': Permission denied"
    assert str(caught.value) == f"export_dir: {refused('base', reason)}"


def test_an_unusable_default_is_reported_as_built_in(project):
    (project.root / "exports").write_text("")

    expected = "expected a directory, existing or not, got the file 'exports'"
    stderr = project.run("check").stderr
    assert re.fullmatch(
        rf"smdecl: error: built-in conf/export\.yaml:\d+: export_dir: {re.escape(expected)}\n",
        stderr,
    )


@pytest.mark.skipif(
    not Path("/dev/full").exists() or os.geteuid() != 0, reason="mounts a small file system"
)
def test_a_full_disk_is_a_publish_error_and_leaves_nothing(project):
    disk = project.root / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        project.write(
            "mynet.py",
            textwrap.dedent("""
            import tensorflow as tf
            class Net(tf.Module):
                def __init__(self):
                    self.big = tf.Variable(tf.zeros([100_000]))
                @tf.function
                def add(self, x):
                    return x + self.big[0]
            """),
        )
        with pytest.raises(PublishError) as error:
            project.export("model._target_=mynet.Net", f"export_dir={disk}/base")
        (problem,) = error.value.problems
        assert problem.message == refused(disk / "base", "No space left on device")
        assert os.listdir(disk) == []
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("version", [None, 5])
def test_replace_swaps_only_a_saved_model(tmp_path, version):
    base = tmp_path / "precious"
    target = base if version is None else base / "5"
    target.mkdir(parents=True)
    (target / "thesis.txt").write_text("years of work")
    options = Publish(version=version, replace=True)

    with pytest.raises(
        PublishError, match="is not a SavedModel; publish.replace swaps only SavedModels"
    ):
        LocalPublisher(base, options).refuse_early()
    with pytest.raises(PublishError, match="is not a SavedModel"):
        release(base, options)
    assert set(tree(base)) == {"thesis.txt" if version is None else "5/thesis.txt"}


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("export_dir", [".", "sub/..", "..", "{cwd}", "{cwd}/", "/", "link"])
def test_the_current_directory_cannot_become_the_saved_model(
    tmp_path, monkeypatch, export_dir, replace
):
    cwd = tmp_path / "parent" / "cwd"
    (cwd / "sub").mkdir(parents=True)
    (cwd / "link").symlink_to(".")
    monkeypatch.chdir(cwd)
    if not replace:
        (cwd / "sub").rmdir()

    base = Path(export_dir.format(cwd=cwd))
    with pytest.raises(
        ConfigError, match="export_dir: .* is the current directory, or contains it"
    ):
        LocalPublisher(base, Publish(version=None, replace=replace)).refuse_early()


def test_a_saved_model_in_place_needs_a_named_directory(tmp_path):
    # Its stage would be inside it.
    (tmp_path / "base" / "sub").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"export_dir: .* ends in '\.\.'"):
        base = tmp_path / "base" / "sub" / ".."
        LocalPublisher(base, Publish(version=None, replace=True)).refuse_early()


def test_the_current_directory_can_be_a_base_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for version, export_dir in enumerate([".", "", "sub/.."], start=1):
        base = Path(export_dir)
        LocalPublisher(base, NEXT).refuse_early()
        assert release(base) == (base / str(version), version)


def test_replace_does_not_swap_a_base_path(tmp_path):
    base = tmp_path / "base"
    release(base)
    with pytest.raises(PublishError, match="is not a SavedModel"):
        release(base, Publish(version=None, replace=True))
    assert (base / "1" / "saved_model.pb").is_file()
