"""Directories that other code writes into, and how they are removed whatever is left."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_RIGHTS = getattr(os, "O_PATH", 0)  # opens what its owner may not read


@contextmanager
def directory() -> Iterator[Path]:
    """Yields an empty directory, and removes it with all that is in it then.

    Raises:
        OSError: If none can be made.
    """
    made = make()
    try:
        yield made
    finally:
        remove(made)


def make() -> Path:
    """Makes an empty directory below TMPDIR, to be removed by `remove`.

    Raises:
        OSError: If none can be made.
    """
    return Path(tempfile.mkdtemp(prefix="smdecl-"))


def remove(tree: Path) -> None:
    """Removes a directory, as far as the file system permits; touches nothing outside of it.

    `tempfile.TemporaryDirectory` changes the rights of what links lead to (CVE-2023-6597,
    until Python 3.11.8), and `shutil.rmtree` neither enters a directory without rights
    nor ends a deep nest. Here every directory is first moved to the top, so that each is
    opened by a name there, and none by a path.
    """
    with suppress(OSError):
        parent = os.open(tree.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _remove(tree.name, parent)
        finally:
            os.close(parent)


def _remove(name: str, parent: int) -> None:
    top = _open(name, parent)
    try:
        pending = os.listdir(top)  # noqa: PTH208 - a descriptor
        while pending:
            entry = pending.pop()
            with suppress(OSError):
                if not _is_directory(entry, top):
                    os.unlink(entry, dir_fd=top)
                    continue
                pending += _empty(entry, top)
                os.rmdir(entry, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _empty(name: str, top: int) -> list[str]:
    """Empties a directory; returns the names at the top that its own directories have now."""
    place = _open(name, top)
    moved = []
    try:
        for entry in os.listdir(place):  # noqa: PTH208 - a descriptor
            with suppress(OSError):
                if not _is_directory(entry, place):
                    os.unlink(entry, dir_fd=place)
                    continue
                _permit(
                    entry, place
                )  # its entry for the directory above it is written too
                new = secrets.token_hex(8)
                os.rename(entry, new, src_dir_fd=place, dst_dir_fd=top)
                moved.append(new)
    finally:
        os.close(place)
    return moved


def _is_directory(name: str, parent: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _open(name: str, parent: int) -> int:
    _permit(name, parent)
    return os.open(name, os.O_RDONLY | _DIRECTORY, dir_fd=parent)


def _permit(name: str, parent: int) -> None:
    """Gives the owner of a directory all rights to it."""
    found = os.open(name, _NO_RIGHTS | _DIRECTORY, dir_fd=parent)
    try:
        with suppress(OSError):  # it is another user's, or there is no /proc
            os.chmod(f"/proc/self/fd/{found}", 0o700)  # noqa: PTH101 - a descriptor
    finally:
        os.close(found)
