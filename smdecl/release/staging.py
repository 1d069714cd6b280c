"""Directories in which releases are made, next to the place where they are published.

A process holds a lock on its stage, so a stage without a lock was left by a process that
died, and the next export removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from smdecl import scratch
from smdecl.errors import STAGE
from smdecl.files import lock, locked
from smdecl.release import renaming

# Locks on a network file system may apply to one host only, so each host sweeps its own.
PREFIX = f"{STAGE}{re.sub(r'[^A-Za-z0-9]', '_', platform.node())}-"
_ATTEMPTS = 100  # to create a directory that other processes remove
# The parents of stages that this process has created. They outlive the export that created them if
# another thread uses them by then, so no export can know by itself which of them to remove.
_made: set[Path] = set()


@contextlib.contextmanager
def stage(parent: Path) -> Iterator[Path]:
    """Creates an empty stage in a directory, and removes it at the end.

    Parents are created as needed, and removed at the end if they are empty.

    Raises:
        OSError: If it cannot be created.
    """
    parents = [path.absolute() for path in (parent, *parent.parents)]
    _made.update(path for path in parents if not path.exists())
    try:
        directory, held = _make(parent)
        try:
            yield directory
        finally:
            os.close(held)
            _remove(directory)
    finally:
        _remove_empty(parents)


def _make(parent: Path) -> tuple[Path, int]:
    """Creates a stage; returns it with the descriptor of its lock."""
    for _ in range(_ATTEMPTS):
        directory = parent / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        # A failing process may remove the parent that it created. If a third one creates it
        # again, the lock on it is a different one, and the stage may be swept before it is
        # locked.
        with contextlib.suppress(
            FileNotFoundError, FileExistsError, BlockingIOError
        ):
            parent.mkdir(parents=True, exist_ok=True)
            # Others cannot sweep the stage before it is locked.
            with locked(parent):
                _sweep(parent)
                directory.mkdir()
                return directory, lock(directory, fcntl.LOCK_NB)
    raise FileNotFoundError(
        errno.ENOENT, os.strerror(errno.ENOENT), str(parent)
    )


def retire(version: Path) -> None:
    """Removes a version in one step for its readers, by turning it into an abandoned stage.

    What cannot be removed now, the next export sweeps.

    Raises:
        OSError: If it cannot be renamed.
    """
    retired = version.with_name(
        f"{PREFIX}{version.name}-{secrets.token_hex(4)}"
    )
    # A different publisher was faster.
    with contextlib.suppress(FileNotFoundError):
        renaming.move(version, retired)
        _remove(retired)


def _sweep(parent: Path) -> None:
    """Removes the stages of dead processes, and the remains of interrupted exchanges."""
    for directory in parent.glob(f"{PREFIX}*"):
        # It is a version that was being retired, and has no lock.
        if directory.is_symlink():
            _remove(directory)
        else:
            _remove_unlocked(directory)
    for directory in renaming.recover_exchanges(parent):
        _remove(directory)


def _remove_unlocked(directory: Path) -> None:
    try:
        descriptor = lock(directory, fcntl.LOCK_NB)
    except OSError:
        # Its process is alive, or a different one has just removed it.
        return
    _remove(directory)
    os.close(descriptor)


def _remove(directory: Path) -> None:
    """Removes a directory as far as possible; the next export removes the rest."""
    with contextlib.suppress(OSError):
        if directory.is_symlink():  # its target must stay
            directory.unlink()
    scratch.remove(directory)


def _remove_empty(directories: list[Path]) -> None:
    """Removes directories that this process has created, unless they contain releases.

    Concurrent exports may share them; the last one removes them.
    """
    for directory in directories:
        if directory in _made:
            with contextlib.suppress(OSError):  # it is not empty
                directory.rmdir()
