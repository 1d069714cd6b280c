"""Checks that a staged release is still the one that was hashed and verified.

A file is hashed again only if its identity differs: its inode, size and times. That
suffices because every write, rename, and change of mode or links sets ctime, which no
system call sets back; only root can, by setting the clock. Two cases need more:

    recent files    A second change within one tick of the file system's clock leaves ctime
                    unchanged. Files that changed in the tick in which the release is sealed
                    are hashed again each time.
    mapped files    A write to a mapped page that is not yet written back sets no time.
                    No such mapping remains, because all processes that ran the model's
                    code are killed before the release is sealed.

Loaders may begin before that, while the model's code still runs. What they load is compared
by `changed`, which such a mapping can escape. The model's code gains nothing by it, because it
decides what is saved, and what the loaders must compute.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from smdecl import files, progress
from smdecl.errors import Problem, VerificationError, disk_errors
from smdecl.release import comparison
from smdecl.release import manifest as manifests
from smdecl.release.manifest_types import Manifest


@dataclass(frozen=True)
class _Identity:
    """Properties of a file of which every change alters at least one."""

    device: int
    inode: int
    mode: int
    links: int
    size: int
    mtime: int
    ctime: int


Identities: TypeAlias = Mapping[str, _Identity]
"""Name to identity of the files and directories below a directory."""


def snapshot(directory: Path) -> Identities:
    """Returns the identities of a release's files that are not recent.

    Call it before they are hashed.

    Raises:
        OSError: If a part of the directory cannot be read.
    """
    found = {}
    now = file_clock(directory)
    for name, identity in identities(directory).items():
        if identity.ctime < now:
            found[name] = identity
    return found


def file_clock(directory: Path) -> int:
    """Returns the ctime of a new file beside a directory, in nanoseconds.

    Whatever changes later gets this ctime or a later one. The clock of a file system ticks every
    few milliseconds, or every two seconds, and that of a server may differ from this machine's.

    Raises:
        OSError: If no file can be created there.
    """
    with tempfile.TemporaryFile(dir=directory.parent) as file:
        return os.fstat(file.fileno()).st_ctime_ns


def changed(directory: Path, before: Identities, may_grow: str) -> list[str]:
    """Returns the names of the files that were changed, removed or added.

    Args:
        directory: The directory.
        before: Its identities at an earlier time.
        may_grow: The name of a directory in it to which files may have been added.

    Raises:
        OSError: If a part of the directory cannot be read.
    """
    now = identities(directory)
    names = []
    for name, identity in before.items():
        # A directory changes with what is added to it.
        is_directory = stat.S_ISDIR(identity.mode)
        if not is_directory and now.get(name) != identity:
            names.append(name)
    for name in now.keys() - before.keys():
        if name != may_grow and not name.startswith(f"{may_grow}/"):
            names.append(name)
    return sorted(names)


def identities(directory: Path) -> Identities:
    """Returns the identities of all that is in a directory.

    Raises:
        OSError: If a part of the directory cannot be read.
    """
    result = {}
    for name, entry in files.walk(directory):
        status = entry.stat(follow_symlinks=False)
        result[name] = _Identity(
            device=status.st_dev,
            inode=status.st_ino,
            mode=status.st_mode,
            links=status.st_nlink,
            size=status.st_size,
            mtime=status.st_mtime_ns,
            ctime=status.st_ctime_ns,
        )
    return result


@dataclass(frozen=True)
class Seal:
    """The state of a release when its manifest was written.

    Attributes:
        directory: Directory of the release.
        manifest: The manifest, as written.
        before: What `snapshot` returned before the files were hashed.
    """

    directory: Path
    manifest: Manifest
    before: Identities

    def require(self) -> None:
        """Raises if the release has changed since it was sealed.

        Provenance and signature may have been added.

        Raises:
            VerificationError: With every file that was changed, added or removed.
            PublishError: If the file system refuses.
        """
        with disk_errors(self.directory):
            problems = [
                self._explained(problem) for problem in self._problems()
            ]
        if problems:
            raise VerificationError(problems)

    def _problems(self) -> Iterator[Problem]:
        unchanged = {
            name
            for name, identity in identities(self.directory).items()
            if self.before.get(name) == identity
        }
        sizes = (
            entry["size"]
            for name, entry in self.manifest["files"].items()
            if name not in unchanged
        )
        with progress.counting(sizes):
            found = list(
                comparison.compare(self.directory, self.manifest, unchanged)
            )
        yield from found
        if manifests.is_written(self.directory, self.manifest):
            return
        # Raises what is wrong with it, if anything more is.
        if manifests.read(self.directory) != self.manifest:
            path = self.directory / manifests.FILE
            yield Problem((), f"{path}: changed since the release was made")

    def _explained(self, problem: Problem) -> Problem:
        """Names the file relative to the release, because the stage is removed."""
        message = problem.message.replace(f"{self.directory}{os.sep}", "")
        hint = "the release has changed since it was verified: a process writes to it"
        return replace(problem, message=f"{message}; {hint}")
