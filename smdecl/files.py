"""Paths and files that somebody else may have made: reads regular ones, and nothing that never ends or never begins.

Directories are locked here too, for what several processes read and then change.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PATTERN = frozenset("*?[]\\")  # what TensorFlow takes a path for a pattern by
_BLOCK = 1 << 20  # bytes


@contextmanager
def open_regular(path: Path, most: int | None = None) -> Iterator[BinaryIO]:
    """Opens a regular file to read.

    Args:
        path: Of the file.
        most: Bytes that a file of its kind has; a sparse file claims many and takes up few.

    Raises:
        OSError: If it is not a regular file, is larger, or cannot be read.
    """
    # To open a pipe would wait for somebody to write into it.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            reason = f"it has {size} bytes; expected at most {most}"
            raise OSError(errno.EFBIG, reason, str(path))
        yield file


def read_regular(path: Path, most: int) -> bytes:
    """Returns the bytes of a regular file.

    Args:
        path: Of the file.
        most: Bytes that a file of its kind has; a sparse file claims many and takes up few.

    Raises:
        OSError: If it is not a regular file, is larger, or cannot be read.
    """
    with open_regular(path, most) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # sets aside as much as it is asked for


def sha256(path: Path) -> str:
    """Returns the sha256 of a regular file, in hexadecimal digits as `sha256sum` prints it.

    Raises:
        OSError: Where it cannot be read.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        rest = os.fstat(file.fileno()).st_size
        while rest and (block := file.read(min(rest, _BLOCK))):
            digest.update(block)
            rest -= len(block)
        if file.read(1):  # some files of the kernel have no end, and say that they are empty
            raise OSError(errno.EFBIG, "holds more than its size", str(path))
    return digest.hexdigest()


def walk(directory: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yields everything below a directory: its name from there on, and its entry.

    Links are not followed.

    Raises:
        OSError: If a part of it cannot be read.
    """
    pending = [("", str(directory))]
    while pending:
        prefix, place = pending.pop()
        with os.scandir(place) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            name = f"{prefix}{entry.name}"
            yield name, entry
            if entry.is_dir(follow_symlinks=False):
                pending.append((f"{name}/", entry.path))


def lock(directory: Path, flags: int = 0) -> int:
    """Locks a directory and returns its descriptor; the lock dies with the process, however it ends.

    Raises:
        OSError: Where another process holds it, has removed it, or has made it anew: that lock is another one.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        if not os.path.samestat(os.fstat(descriptor), directory.stat()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds the lock on a directory; waits for it.

    Raises:
        OSError: Where it cannot be had.
    """
    descriptor = lock(directory)
    try:
        yield
    finally:
        os.close(descriptor)
