"""Renames directories in one step, without replacing anything by accident."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from pathlib import Path

from smdecl.files import locked

_ASIDE = ".smdecl-old"
# Flags of renameat2(2), and its descriptor of the current directory.
_NOREPLACE = 1
_EXCHANGE = 2
_AT_FDCWD = -100
# The kernel or the file system does not support the call.
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL)


def move(source: Path, target: Path) -> None:
    """Renames a directory. `Path.rename` would replace an empty target.

    Raises:
        FileExistsError: If the target exists.
        OSError: If the file system refuses.
    """
    if _renameat2(source, target, _NOREPLACE):
        return
    with locked(target.parent):
        if target.exists():
            raise FileExistsError(
                errno.EEXIST, os.strerror(errno.EEXIST), str(target)
            )
        source.rename(target)


def exchange(source: Path, target: Path) -> None:
    """Swaps two directories.

    Raises:
        OSError: If the file system refuses.
    """
    if _renameat2(source, target, _EXCHANGE):
        return
    with locked(target.parent):
        aside = target.with_name(f".{target.name}{_ASIDE}")
        target.rename(aside)
        try:
            source.rename(target)
        except BaseException:
            aside.rename(target)
            raise
        # The swap is done; the next export removes what stays aside.
        with contextlib.suppress(OSError):
            aside.rename(source)


def _renameat2(source: Path, target: Path, flags: int) -> bool:
    """Calls renameat2(2); returns False if it is not supported."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    old, new = os.fsencode(source), os.fsencode(target)
    if function(_AT_FDCWD, old, _AT_FDCWD, new, flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))


def recover_exchanges(parent: Path) -> list[Path]:
    """Undoes exchanges that were interrupted halfway; returns what finished ones left behind.

    Raises:
        OSError: If the file system refuses.
    """
    left = []
    for aside in parent.glob(f".*{_ASIDE}"):
        target = aside.with_name(aside.name[1 : -len(_ASIDE)])
        if target.exists():
            left.append(aside)
        else:
            aside.rename(target)
    return left


def sync(directory: Path) -> None:
    """Writes a directory and all its files to disk.

    TensorFlow's writer does not, so files could be empty after a power failure.

    Raises:
        OSError: If the file system refuses.
    """
    for parent, _, names in os.walk(directory, onerror=_raise):
        for name in names:
            sync_entry(Path(parent, name))
        sync_entry(Path(parent))


def _raise(error: OSError) -> None:
    raise error


def sync_entry(path: Path) -> None:
    """Writes one file, or the entries of one directory, to disk.

    Raises:
        OSError: If the file system refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
