"""The repository of a project names programs that git would run as the user who exports."""

import os
import subprocess

import pytest
from smdecl.release import git, manifest

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root gives a checkout to another user"
)
OTHER = 4242
PLAIN = [
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "filter.own.process=",
]


def run(root, *commands):
    author = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.com",
        "-c",
        "protocol.file.allow=always",
    ]
    for command in commands:
        subprocess.run(["git", *author, *command], cwd=root, check=True, capture_output=True)


@pytest.fixture
def repository(project):
    """A repository in which every setting that names a program names one which leaves a file."""
    root = project.root
    project.write(".gitattributes", "data.* filter=own diff=own\n")
    project.write("data.txt", "data\n")
    project.write("net.py", "")
    (root / "below").mkdir()
    (root / "link").symlink_to("data.txt")
    hook = project.write("hooks/program", "#!/bin/sh\ntouch started\ncat\n")
    hook.chmod(0o755)
    for name in ("post-index-change", "post-checkout", "pre-commit"):
        (hook.parent / name).symlink_to("program")
    (root / "hooks" / ".gitignore").write_text("*\n")
    run(root, ["init", "-q"], ["add", "."], ["commit", "-q", "-m", "All"])
    named = (
        "core.fsmonitor", "filter.own.clean", "filter.own.process", "diff.own.command", "diff.own.textconv",
        "diff.external", "core.sshCommand", "core.pager", "core.editor", "gpg.program", "credential.helper",
        "alias.status", "alias.rev-parse",
    )  # fmt: skip
    for key in named:
        run(root, ["config", key, f"!{hook}" if key.startswith("alias") else str(hook)])
    run(root, ["config", "core.hooksPath", str(hook.parent)])
    os.utime(root / "data.txt", (0, 0))  # so that git compares its content, by the filter
    return root


def give(root, *others):
    for path in (root, *root.rglob("*"), *others):
        os.chown(path, OTHER, OTHER, follow_symlinks=False)


def started(root):
    return list(root.rglob("started"))


@needs_root
def test_no_program_named_by_a_different_user_runs(repository):
    give(repository)

    found = git.source(repository, ["net.py"])

    assert started(repository) == []
    assert found is not None
    assert found["clean"]


@needs_root
@pytest.mark.parametrize("end", ["\n", "\v", "\x85", "\u2028"])
def test_a_line_break_in_a_setting_does_not_add_a_setting(repository, end):
    program = repository / "hooks" / "program"
    run(repository, ["config", "core.eol", f"lf{end}core.fsmonitor {program}"])
    give(repository)

    git.source(repository, ["net.py"])

    assert started(repository) == []


@needs_root
def test_the_commit_is_the_same_for_who_does_not_own_the_checkout(repository):
    run(repository, ["config", "--remove-section", "filter.own"])
    before = git.source(repository, ())
    assert before is not None
    assert before["clean"]

    give(repository)

    assert git.source(repository, ()) == before
    assert git.source(repository / "below", ()) == before
    assert started(repository) == []


@needs_root
@pytest.mark.parametrize(
    "change", ["a file", "a mode", "a module that git does not track", "a staged file"]
)
def test_changes_in_the_checkout_of_a_different_user_are_found(repository, change):
    if change == "a file":
        (repository / "data.txt").write_text("DATA\n")
    elif change == "a mode":
        (repository / "data.txt").chmod(0o755)
    elif change == "a staged file":
        (repository / "new.txt").write_text("")
        run(repository, ["-c", "core.fsmonitor=false", "add", "new.txt"])
    else:
        (repository / "new.py").write_text("")
    for path in started(repository):
        path.unlink()
    give(repository)

    found = git.source(repository, ["net.py", "new.py"])

    assert found is not None
    assert not found["clean"]
    assert started(repository) == []


@needs_root
@pytest.mark.parametrize("content", ["data\n", "DATA\n"])
def test_a_submodule_of_a_different_user_runs_nothing(repository, tmp_path, content):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "data.txt").write_text("data\n")
    (inner / ".gitattributes").write_text("data.* filter=own\n")
    run(inner, ["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Inner"])
    run(
        repository,
        [*PLAIN, "submodule", "add", "-q", str(inner), "sub"],
        [*PLAIN, "commit", "-q", "-m", "Sub"],
    )
    below = repository / "sub"
    run(below, ["config", "filter.own.clean", str(repository / "hooks" / "program")])
    (below / "data.txt").write_text(content)
    os.utime(below / "data.txt", (0, 0))
    for path in started(repository):
        path.unlink()
    give(repository)

    found = git.source(repository, ())

    assert started(repository) == []
    assert found is not None
    assert found["clean"] == (content == "data\n")


@needs_root
def test_a_submodule_that_leads_to_its_own_repository_ends(repository):
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True
    )
    entry = f"160000,{commit.stdout.strip()},sub"
    run(
        repository,
        [*PLAIN, "update-index", "--add", "--cacheinfo", entry],
        [*PLAIN, "commit", "-q", "-m", "Sub"],
    )
    (repository / "sub").symlink_to(".")
    give(repository)

    found = git.source(repository, ())

    assert found is not None
    assert not found["clean"]


@needs_root
def test_a_linked_worktree_of_a_different_user_has_its_own_commit(repository, tmp_path):
    linked = tmp_path / "linked"
    run(repository, [*PLAIN, "worktree", "add", "-q", "--detach", str(linked)])
    run(linked, [*PLAIN, "commit", "-q", "--allow-empty", "-m", "Linked"])
    give(repository)
    give(linked)

    first, second = git.source(repository, ()), git.source(linked, ())

    assert first is not None
    assert second is not None
    assert first["commit"] != second["commit"]


@needs_root
def test_a_repository_of_sha256_is_read(project):
    run(
        project.root,
        ["init", "-q", "--object-format=sha256"],
        ["add", "."],
        ["commit", "-q", "-m", "All"],
    )
    before = git.source(project.root, ())
    give(project.root)

    assert before is not None
    assert len(before["commit"]) == 64
    assert git.source(project.root, ()) == before


@needs_root
def test_a_repository_of_a_different_user_above_a_project_is_ignored(repository):
    for path in (repository, repository / ".git"):
        os.chown(path, OTHER, OTHER)

    assert git.source(repository / "below", ()) is None


def test_filters_of_an_own_repository_decide_whether_a_file_is_changed(project):
    project.write(".gitattributes", "*.data filter=upper\n")
    project.write("x.data", "data\n")
    run(project.root, ["init", "-q"], ["config", "filter.upper.clean", "tr a-z A-Z"])
    run(project.root, ["add", "."], ["commit", "-q", "-m", "All"])
    os.utime(project.root / "x.data", (0, 0))

    found = git.source(project.root, ())

    assert found is not None
    assert found["clean"]
    project.write("x.data", "other\n")
    assert git.source(project.root, ()) == {**found, "clean": False}


def test_hooks_and_monitors_of_an_own_repository_do_not_run(repository):
    run(repository, ["config", "--remove-section", "filter.own"])

    assert git.source(repository, ["net.py"]) is not None
    assert started(repository) == []


def test_a_project_outside_of_git_has_no_source(project):
    assert git.source(project.root, ()) is None
    run(project.root, ["init", "-q"])
    assert git.source(project.root, ()) is None


@pytest.mark.parametrize("owner", [pytest.param("a different user", marks=needs_root), "this user"])
def test_a_repository_that_blocks_git_is_given_up(repository, monkeypatch, owner):
    pipe = repository / "pipe"
    os.mkfifo(pipe)
    run(repository, ["config", "include.path", str(pipe)])
    if owner == "a different user":
        give(repository)
    monkeypatch.setattr(git, "MOST_SECONDS", 0.5)

    with pytest.raises(git.TooSlowError):
        git.source(repository, ["net.py"])


@pytest.mark.slow
def test_an_export_warns_that_git_did_not_tell_the_commit(project, monkeypatch):
    run(project.root, ["init", "-q"])
    os.mkfifo(project.root / "pipe")
    run(project.root, ["config", "include.path", str(project.root / "pipe")])
    monkeypatch.setattr(git, "MOST_SECONDS", 0.5)

    release = project.export("model=adder")

    (warning,) = release.warnings
    assert warning.message.startswith("git did not answer within 0.5 seconds")
    assert manifest.read(release.path)["source"] is None
