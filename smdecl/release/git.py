"""The source commit of a project, as git has it.

The config of a repository names programs that git runs: filters of files, monitors of
the file system, hooks. In a repository of this user they are this user's choice;
filters such as git-lfs decide there whether a file is changed. A repository of another
user is read as data: git is given a repository directory without a config, beside the
objects and the index that are there. No program that the repository names runs, and its
commit is the same for everybody.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smdecl import scratch

_SETTINGS = (
    "autocrlf",
    "eol",
    "filemode",
    "ignorecase",
    "precomposeunicode",
    "symlinks",
)  # how files are stored
_SUBMODULE = "160000 "  # the mode that git has it by
# Of a repository that is read as data: no config but the one that is made for it, and no
# fetching of what it lacks.
_AS_DATA = {
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
}


@dataclass(frozen=True)
class _Git:
    """Runs git in a directory.

    Attributes:
        directory: To run it in.
        settings: Of its config, each as `name=value`.
        environment: Variables to set.
    """

    directory: Path
    settings: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> str | None:
        """Returns what git prints; None if it fails."""
        # A hook of git sets variables that lead to its own repository, and git trusts the
        # user that sudo names. Another thread may change the environment meanwhile.
        known = {name: os.environ.get(name, "") for name in list(os.environ)}
        inherited = {
            name: value
            for name, value in known.items()
            if not name.startswith(("GIT_", "SUDO_"))
        }
        options = [part for setting in self.settings for part in ("-c", setting)]
        # Asked, git starts what the repository's config names, and writes its index anew,
        # which starts a hook.
        never = [
            "--no-optional-locks",
            "-c",
            "core.fsmonitor=false",
            "-c",
            f"core.hooksPath={os.devnull}",
        ]
        command = ["git", "-C", str(self.directory), *never, *options, *arguments]
        environment = {**inherited, "GIT_TERMINAL_PROMPT": "0", **self.environment}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            )
        except (
            OSError,
            ValueError,
            subprocess.CalledProcessError,
        ):  # no git, no repository, or no commit yet
            return None
        return done.stdout.strip()


def source(root: Path, modules: Collection[str]) -> dict[str, Any] | None:
    """Returns the commit of a project and whether it has the code that ran.

    Args:
        root: Of the project.
        modules: Paths of the modules that ran, relative to `root`.

    Returns:
        None outside of git, and in a repository that somebody else has put above the project.
    """
    top = next(
        (place for place in (root, *root.parents) if os.path.lexists(place / ".git")),
        None,
    )
    if top is None:
        return None
    owners = {top.stat().st_uid, (top / ".git").lstat().st_uid}
    if owners == {os.geteuid()}:
        return _state(_Git(root), modules)
    return (
        _state_of_data(root, top, modules) if owners == {root.stat().st_uid} else None
    )


def _state(git: _Git, modules: Collection[str], *options: str) -> dict[str, Any] | None:
    commit = git.run("rev-parse", "HEAD")
    if commit is None:
        return None
    # Releases often land in the project's own folder: of the files that git does not
    # track, only modules count.
    changed = git.run("status", "--porcelain", "--untracked-files=no", *options)
    unknown = git.run("ls-files", "--others", "--", *modules) if modules else ""
    return {"commit": commit, "clean": changed == "" and unknown == ""}


def _state_of_data(
    root: Path, top: Path, modules: Collection[str]
) -> dict[str, Any] | None:
    """Returns what `_state` does, of a repository that is read as data, and of those below it."""
    with scratch.directory() as place:
        git = _as_data(root, top, place)
        # Git would enter a submodule to look for changes there, and read its config.
        found = (
            None if git is None else _state(git, modules, "--ignore-submodules=dirty")
        )
        if git is None or found is None:
            return None
        listed = git.run("ls-files", "--stage", "-z", "--full-name", ":/")
    entries = [] if listed is None else listed.split("\0")
    submodules = [
        entry.partition("\t")[2] for entry in entries if entry.startswith(_SUBMODULE)
    ]
    is_clean = listed is not None and all(
        _is_clean_submodule(top, name) for name in submodules
    )
    return {**found, "clean": found["clean"] and is_clean}


def _is_clean_submodule(top: Path, name: str) -> bool:
    place = top / name
    if not os.path.lexists(place / ".git"):  # nothing is there
        return True
    if os.path.realpath(place) != str(
        Path(os.path.realpath(top), name)
    ):  # a link could lead here again
        return False
    state = _state_of_data(place, place, ())
    return state is not None and bool(state["clean"])


def _as_data(root: Path, top: Path, place: Path) -> _Git | None:
    """Makes a repository directory by which another repository is read as data.

    Args:
        root: Of the project.
        top: Of the repository.
        place: An empty directory.
    """
    # These only look places up; they start nothing.
    original = _Git(root, (f"safe.directory={top}",))
    paths = ("--path-format=absolute", "--git-path", "index", "--git-path", "objects")
    found = original.run("rev-parse", "HEAD", "--show-object-format", *paths)
    commit, kind, index, objects, *more = [*(found or "").splitlines(), "", "", "", ""]
    if found is None or any(more):
        return None
    for name in ("refs", "objects"):
        (place / name).mkdir()
    (place / "HEAD").write_text(f"{commit}\n")
    version, extension = (
        (0, "") if kind == "sha1" else (1, f"[extensions]\n\tobjectFormat = {kind}\n")
    )
    (place / "config").write_text(
        f"[core]\n\trepositoryFormatVersion = {version}\n{extension}"
    )
    known = (
        original.run("config", "--get-regexp", rf"^core\.({'|'.join(_SETTINGS)})$")
        or ""
    )
    settings = tuple("=".join(line.split(maxsplit=1)) for line in known.splitlines())
    places = {
        "GIT_DIR": str(place),
        "GIT_INDEX_FILE": index,
        "GIT_OBJECT_DIRECTORY": objects,
        "GIT_WORK_TREE": str(top),
    }
    return _Git(root, settings, {**_AS_DATA, **places})
