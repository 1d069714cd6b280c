"""The source commit of a release, and whether it contains the code that ran."""

import itertools
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from smdecl.release import git


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    _git(tmp_path, "init", "--quiet")
    for name, value in (("user.name", "a"), ("user.email", "a@example.com")):
        _git(tmp_path, "config", name, value)
    return tmp_path


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=directory, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _commit(repository: Path) -> str:
    (repository / "model.py").write_text("factor = 1\n")
    _git(repository, "add", "model.py")
    _git(repository, "commit", "--quiet", "--message", "first")
    return _git(repository, "rev-parse", "HEAD")


def test_a_repository_without_a_commit_is_no_source(repository):
    (repository / "model.py").touch()

    assert git.source(repository, ["model.py"]) is None


def test_changes_of_tracked_files_and_untracked_modules_are_not_clean(repository):
    commit = _commit(repository)
    clean, changed = ({"commit": commit, "clean": is_clean} for is_clean in (True, False))

    (repository / "more.py").touch()
    assert git.source(repository, ["model.py"]) == clean
    assert git.source(repository, ["model.py", "more.py"]) == changed
    (repository / "model.py").write_text("factor = 2\n")
    assert git.source(repository, []) == changed


def test_what_git_says_of_branches_and_stashes_is_no_change(repository):
    commit = _commit(repository)
    (repository / "model.py").write_text("factor = 2\n")
    _git(repository, "stash")
    _git(repository, "config", "status.showStash", "true")
    _git(repository, "branch", "base")
    _git(repository, "checkout", "--quiet", "-b", "other", "--track", "base")

    assert git.source(repository, ["model.py"]) == {"commit": commit, "clean": True}


def test_a_repository_whose_index_is_broken_is_not_clean(repository):
    commit = _commit(repository)
    (repository / ".git" / "index").write_text("broken")

    assert git.source(repository, []) == {"commit": commit, "clean": False}


def test_all_calls_of_git_share_one_time_limit(repository, monkeypatch):
    _commit(repository)
    (repository / "model.py").write_text("factor = 2\n")
    seconds = itertools.count(0.0, 0.4 * git.MOST_SECONDS)
    limits = []
    run = subprocess.run
    monkeypatch.setattr(git, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(
        git.subprocess, "run", lambda *a, **k: (limits.append(k["timeout"]), run(*a, **k))[1]
    )

    git.source(repository, ["model.py"])
    assert limits == pytest.approx([0.6 * git.MOST_SECONDS, 0.2 * git.MOST_SECONDS])

    (repository / ".git" / "index").write_text("broken")  # so that git is asked three times
    with pytest.raises(git.TooSlowError):
        git.source(repository, ["model.py"])


def test_a_git_that_lacks_an_option_finds_the_same(repository, tmp_path, monkeypatch):
    commit = _commit(repository)
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text(
        "#!/bin/sh\n"
        'case "$*" in *--no-ahead-behind*) exit 129;; esac\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(old.parent), prepend=os.pathsep)

    assert git.source(repository, ["model.py"]) == {"commit": commit, "clean": True}
