"""Says where a relative path was looked for, and in which directory below or above it exists."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from smdecl.config.project import Project, is_shared
from smdecl.errors import closest, did_you_mean

_MOST_ENTRIES = 1000


def missing(name: str, project: Project) -> str:
    """Returns the message for a path that does not lead to a regular file."""
    if os.path.lexists(name):
        return f"no such file: {name!r}"
    similar = _similar(Path(name), project)
    more = hint(name) if similar is None else did_you_mean(similar)
    return f"no such file: {name!r}{more}"


def _similar(path: Path, project: Project) -> str | None:
    """Returns the file in the same directory with the most similar name; None if none is.

    A config must not learn what is outside the project.
    """
    if not project.owns(path.parent):
        return None
    with suppress(OSError, ValueError):  # unreadable, or no name of a file
        entries = itertools.islice(path.parent.iterdir(), _MOST_ENTRIES)
        others = [entry.name for entry in entries if entry.name != path.name]
        meant = closest(path.name, others, cutoff=0.75)
        return None if meant is None else str(path.parent / meant)
    return None


def hint(name: str) -> str:
    """Returns where a path that does not exist was looked for, and where it exists instead.

    Empty for an absolute path.
    """
    if Path(name).is_absolute():
        return ""
    here = f"; paths are relative to the current directory {Path.cwd()}"
    return f"{here}{run_elsewhere(name)}"


def run_elsewhere(name: str) -> str:
    """Returns a hint to run smdecl in the directory that has a relative path.

    That is the only directory below, or else the nearest one above. Empty if there is none.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return ""
    found = list(itertools.islice(_below(name), 2))
    if len(found) != 1:
        found = list(itertools.islice(_above(name), 1))
    if not found:
        return ""
    [directory] = found
    return f"; {directory / name} exists: run smdecl in {directory}"


def _below(name: str) -> Iterator[Path]:
    """Yields the directories in the current one that have a relative path."""
    with suppress(OSError):  # unreadable
        for entry in itertools.islice(Path().iterdir(), _MOST_ENTRIES):
            # Not by pathlib, which raises if a name is longer than a file name may be.
            is_below = os.path.exists(entry / name)  # noqa: PTH110
            if is_below and not entry.name.startswith("."):
                yield entry


def _above(name: str) -> Iterator[Path]:
    """Yields the directories above the current one that have a relative path, the nearest first.

    A config must not learn what is in a directory that cannot be a project.
    """
    for count, above in enumerate(Path.cwd().parents, start=1):
        if is_shared(above):
            return
        directory = Path(*[".."] * count)
        if os.path.exists(directory / name):  # noqa: PTH110
            yield directory
