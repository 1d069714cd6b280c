"""Temporary directories for untrusted code, which are removed whatever it leaves there."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opens directories that the owner may not read.
_NO_RIGHTS = getattr(os, "O_PATH", 0)


@contextmanager
def directory() -> Iterator[Path]:
    """Yields an empty directory, and removes it and its contents at the end.

    Raises:
        OSError: If it cannot be created.
    """
    made = make()
    try:
        yield made
    finally:
        remove(made)


def make() -> Path:
    """Creates an empty directory below TMPDIR; call `remove` to remove it.

    Raises:
        OSError: If it cannot be created.
    """
    return Path(tempfile.mkdtemp(prefix="smdecl-"))


def remove(tree: Path) -> None:
    """Removes a directory as far as the file system permits, and touches nothing outside it.

    `tempfile.TemporaryDirectory` changes the mode of link targets (CVE-2023-6597, until Python
    3.11.8). `shutil.rmtree` fails on directories without permissions and on deep nesting.
    Here, nested directories are moved to the top before they are opened, so that none is
    opened through a path.
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
    """Empties a directory; returns the new names of its subdirectories, moved to `top`."""
    place = _open(name, top)
    moved = []
    try:
        for entry in os.listdir(place):  # noqa: PTH208 - a descriptor
            with suppress(OSError):
                if not _is_directory(entry, place):
                    os.unlink(entry, dir_fd=place)
                    continue
                # Moving a directory writes its `..` entry.
                _permit(entry, place)
                new = secrets.token_hex(8)
                os.rename(entry, new, src_dir_fd=place, dst_dir_fd=top)
                moved.append(new)
    finally:
        os.close(place)
    return moved


def _is_directory(name: str, parent: int) -> bool:
    return stat.S_ISDIR(
        os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    )


def _open(name: str, parent: int) -> int:
    _permit(name, parent)
    return os.open(name, os.O_RDONLY | _DIRECTORY, dir_fd=parent)


def _permit(name: str, parent: int) -> None:
    """Gives the owner of a directory all permissions."""
    found = os.open(name, _NO_RIGHTS | _DIRECTORY, dir_fd=parent)
    try:
        # A different user owns it, or there is no /proc.
        with suppress(OSError):
            os.chmod(f"/proc/self/fd/{found}", 0o700)  # noqa: PTH101 - a descriptor
    finally:
        os.close(found)
