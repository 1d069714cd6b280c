"""Looks up the source commit of a project in git.

The config of a repository names programs that git runs: filters of files, monitors of
the file system, hooks. In the user's own repositories these are the user's choice, and
filters such as git-lfs decide whether a file has changed.

A repository of a different user is read as data: git gets a repository directory without
that config, which points to the original objects and index. It runs no program that the
repository names, and the commit is the same for every reader. Git still reads that config
to find the objects and the index, and any file in it may be a pipe, so git has a time limit
for all its answers together.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from smdecl import scratch
from smdecl.release.manifest_types import SourceEntry

MOST_SECONDS = 30.0
"""How long all calls of git for one project may take."""

# Settings that say how the work tree stores files.
_SETTINGS = (
    "autocrlf",
    "eol",
    "filemode",
    "ignorecase",
    "precomposeunicode",
    "symlinks",
)
# Prints headers, such as the commit, and a line for each change of a tracked file.
_STATUS = ("status", "--porcelain=v2", "--branch", "--untracked-files=no")
# Skips a header whose computation may take long. Git has the option since version 2.17.
_FASTER = "--no-ahead-behind"
_NO_COMMIT = "(initial)"
_SUBMODULE = "160000 "  # the file mode of a submodule in the index
# Prevents programs that the repository's config would start. Without optional locks, git
# does not rewrite its index, which would run a hook.
_NO_PROGRAMS = (
    "--no-optional-locks",
    "-c",
    "core.fsmonitor=false",
    "-c",
    f"core.hooksPath={os.devnull}",
)
# For a repository that is read as data: no config but the generated one, and no fetching
# of missing objects.
_AS_DATA = {
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
}


class TooSlowError(Exception):
    """Git did not answer in time."""


@dataclass(frozen=True)
class _Git:
    """Runs git in a directory.

    Attributes:
        directory: Working directory.
        deadline: When git must have answered, on the clock of `time.monotonic`.
        settings: Config settings, each as `name=value`.
        environment: Environment variables to set.
    """

    directory: Path
    deadline: float
    settings: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> str | None:
        """Returns what git prints; None if it fails.

        Raises:
            TooSlowError: If git does not answer before the deadline.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TooSlowError
        command = ["git", "-C", str(self.directory), *_NO_PROGRAMS]
        for setting in self.settings:
            command += ["-c", setting]
        command += arguments
        environment = {
            **_inherited_environment(),
            "GIT_TERMINAL_PROMPT": "0",
            **self.environment,
        }
        try:
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
                stdin=subprocess.DEVNULL,
                timeout=left,
            )
        except subprocess.TimeoutExpired as error:
            raise TooSlowError from error
        except (OSError, ValueError, subprocess.CalledProcessError):
            return None  # git, the repository or its first commit is missing
        return done.stdout.strip()


def _inherited_environment() -> dict[str, str]:
    """Returns this process's variables, without those that change which repository git trusts.

    Git sets `GIT_` variables in its hooks, which point to the hook's repository, and trusts
    the user that `SUDO_UID` names.
    """
    inherited = {}
    for name in list(os.environ):  # other threads may change it
        if not name.startswith(("GIT_", "SUDO_")):
            inherited[name] = os.environ.get(name, "")
    return inherited


def source(root: Path, modules: Collection[str]) -> SourceEntry | None:
    """Returns the commit of a project, and whether it contains the code that ran.

    Args:
        root: Directory of the project.
        modules: Paths of the modules that ran, relative to `root`.

    Returns:
        None if the project is in no repository, or if the repository's owner is neither this
        user nor the project's owner.

    Raises:
        TooSlowError: If git takes longer than `MOST_SECONDS`.
    """
    deadline = time.monotonic() + MOST_SECONDS
    top = _top_of_repository(root)
    if top is None:
        return None
    owners = {top.stat().st_uid, (top / ".git").lstat().st_uid}
    if owners == {os.geteuid()}:
        return _state(_Git(root, deadline), modules)
    if owners == {root.stat().st_uid}:
        return _state_of_data(root, top, modules, deadline)
    return None


def _top_of_repository(root: Path) -> Path | None:
    for directory in (root, *root.parents):
        if os.path.lexists(directory / ".git"):
            return directory
    return None


def _state(
    git: _Git, modules: Collection[str], *options: str
) -> SourceEntry | None:
    # Releases are often written into the project, so of the untracked files only modules
    # count.
    tracked = git.run(*_STATUS, _FASTER, *options)
    if tracked is None:
        tracked = git.run(*_STATUS, *options)
    if tracked is None:  # also if only the index cannot be read
        commit = git.run("rev-parse", "HEAD")
        return None if commit is None else {"commit": commit, "clean": False}
    headers = {}
    changes = []
    for line in tracked.splitlines():
        if line.startswith("# "):
            name, _, value = line[2:].partition(" ")
            headers[name] = value
        else:
            changes.append(line)
    commit = headers.get("branch.oid", _NO_COMMIT)
    if commit == _NO_COMMIT:
        return None
    untracked = (
        git.run("ls-files", "--others", "--", *modules) if modules else ""
    )
    return {"commit": commit, "clean": not changes and untracked == ""}


def _state_of_data(
    root: Path, top: Path, modules: Collection[str], deadline: float
) -> SourceEntry | None:
    """Returns the state of a repository that is read as data, submodules included."""
    with scratch.directory() as place:
        git = _as_data(root, top, place, deadline)
        if git is None:
            return None
        # Git would enter submodules to look for changes, and read their config.
        found = _state(git, modules, "--ignore-submodules=dirty")
        if found is None:
            return None
        index = git.run("ls-files", "--stage", "-z", "--full-name", ":/")
    if not found["clean"] or index is None:
        return {"commit": found["commit"], "clean": False}
    are_clean = (
        _is_clean_submodule(top, name, deadline) for name in _submodules(index)
    )
    return {"commit": found["commit"], "clean": all(are_clean)}


def _submodules(index: str) -> Iterator[str]:
    """Yields the paths of submodules in what `git ls-files --stage -z` prints."""
    for entry in index.split("\0"):
        if entry.startswith(_SUBMODULE):
            yield entry.partition("\t")[2]


def _is_clean_submodule(top: Path, name: str, deadline: float) -> bool:
    place = top / name
    if not os.path.lexists(place / ".git"):  # not checked out
        return True
    expected = Path(os.path.realpath(top), name)
    if os.path.realpath(place) != str(expected):  # a link could form a loop
        return False
    state = _state_of_data(place, place, (), deadline)
    return state is not None and state["clean"]


class _Layout(NamedTuple):
    """Where a repository keeps its data: its commit, hash function, index and objects."""

    commit: str
    object_format: str
    index_file: str
    objects: str


def _as_data(
    root: Path, top: Path, place: Path, deadline: float
) -> _Git | None:
    """Makes a repository directory through which a repository is read as data.

    Args:
        root: Directory of the project.
        top: Top directory of the repository.
        place: An empty directory for the new repository directory.
        deadline: When git must have answered.

    Returns:
        None if the repository has no commit.
    """
    # It runs only look-ups.
    original = _Git(root, deadline, (f"safe.directory={top}",))
    layout = _layout(original)
    if layout is None:
        return None
    for name in ("refs", "objects"):
        (place / name).mkdir()
    (place / "HEAD").write_text(f"{layout.commit}\n")
    (place / "config").write_text(_config(layout.object_format))
    pattern = rf"^core\.({'|'.join(_SETTINGS)})$"
    found = (
        original.run("config", "--no-includes", "-z", "--get-regexp", pattern)
        or ""
    )
    places = {
        "GIT_DIR": str(place),
        "GIT_INDEX_FILE": layout.index_file,
        "GIT_OBJECT_DIRECTORY": layout.objects,
        "GIT_WORK_TREE": str(top),
    }
    return _Git(
        root,
        deadline,
        tuple(_settings(found)),
        {**_AS_DATA, **places},
    )


def _settings(text: str) -> Iterator[str]:
    """Yields the settings in what `git config -z` prints, each as `name=value`.

    Only with -z, a line break in a value does not look like the end of a setting.
    """
    for entry in text.split("\0"):
        if entry:
            yield entry.replace("\n", "=", 1)  # a name without a value is true


def _layout(git: _Git) -> _Layout | None:
    paths = (
        "--path-format=absolute",
        "--git-path",
        "index",
        "--git-path",
        "objects",
    )
    found = git.run("rev-parse", "HEAD", "--show-object-format", *paths)
    lines = [] if found is None else found.splitlines()
    # A path may contain a line break.
    return _Layout(*lines) if len(lines) == len(_Layout._fields) else None


def _config(object_format: str) -> str:
    if object_format == "sha1":
        return "[core]\n\trepositoryFormatVersion = 0\n"
    return (
        "[core]\n\trepositoryFormatVersion = 1\n"
        f"[extensions]\n\tobjectFormat = {object_format}\n"
    )
