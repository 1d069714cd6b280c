"""Tells whether a release in its stage is still what was hashed and verified.

A file is hashed again only if its identity differs: its inode, size and times. That
suffices because every write and every change of a name, of rights or of links sets
ctime, which no system call sets back; only root can, by setting the clock. Two cases
need more:

    recent files    A second change within one tick of the clock leaves ctime as it is.
                    What changed less than two seconds before it was sealed is hashed
                    again each time.
    mapped files    A write to a mapped page that is still to be written back sets no
                    time. No such mapping is left, because all processes of the model's
                    code are killed before the release is sealed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smdecl import files
from smdecl.errors import Problem, VerificationError, disk_errors
from smdecl.release import manifest

_RECENT = 2_000_000_000  # nanoseconds; some file systems count whole seconds, or two


@dataclass(frozen=True)
class _Identity:
    """What no change of a file leaves as it is."""

    device: int
    inode: int
    mode: int
    links: int
    size: int
    mtime: int
    ctime: int


@dataclass(frozen=True)
class Snapshot:
    """The files of a release before they are hashed.

    Attributes:
        identities: Name to identity, of the files that changed so long ago that another
            change shows in their times.
    """

    identities: Mapping[str, _Identity]


def snapshot(directory: Path) -> Snapshot:
    """Returns the identities of a release's files; to be taken before they are hashed.

    Raises:
        OSError: If a part of the directory cannot be read.
    """
    before = time.time_ns() - _RECENT
    return Snapshot(
        {
            name: identity
            for name, identity in _identities(directory)
            if identity.ctime < before
        }
    )


def _identities(directory: Path) -> Iterator[tuple[str, _Identity]]:
    for name, entry in files.walk(directory):
        found = entry.stat(follow_symlinks=False)
        yield name, _Identity(
            found.st_dev, found.st_ino, found.st_mode, found.st_nlink,
            found.st_size, found.st_mtime_ns, found.st_ctime_ns,
        )  # fmt: skip


@dataclass(frozen=True)
class Seal:
    """What a release was when its manifest was written.

    Attributes:
        directory: Of the release.
        manifest: As it was written.
        before: Taken before the files were hashed.
    """

    directory: Path
    manifest: Mapping[str, Any]
    before: Snapshot

    def require(self) -> None:
        """Raises if the release has changed since it was sealed.

        Its provenance and its signature may have come.

        Raises:
            VerificationError: With every file that was changed, added or removed.
            PublishError: If the file system refuses.
        """
        with disk_errors(self.directory):
            problems = list(self._problems())
        if problems:
            raise VerificationError(problems)

    def _problems(self) -> Iterator[Problem]:
        sealed = self.before.identities
        same = {
            name
            for name, identity in _identities(self.directory)
            if sealed.get(name) == identity
        }
        for problem in manifest.compare(self.directory, self.manifest, same):
            yield self._explained(problem)
        if manifest.read(self.directory) != self.manifest:
            yield self._explained(
                Problem((), f"{self.directory / manifest.FILE}: was changed")
            )

    def _explained(self, problem: Problem) -> Problem:
        # The stage is removed, and nobody has named it.
        message = problem.message.replace(f"{self.directory}{os.sep}", "")
        return replace(
            problem,
            message=f"{message}; expected what was verified: a process writes into the stage",
        )
