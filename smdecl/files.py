"""Paths and files that somebody else may have made: reads regular ones, and nothing that never ends or never begins.

Directories are locked here too, for what several processes read and then change.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PATTERN = frozenset("*?[]\\")  # what TensorFlow takes a path for a pattern by
_BLOCK = 1 << 20  # bytes
_FREE = 1 << 28  # bytes that are read in a second, whatever they are
_MOST_TIMES = 10
_PAGE = 1 << 12  # bytes; a file that is smaller may have no block of its own
_SECTOR = 512  # bytes, in which st_blocks counts


@contextmanager
def open_regular(path: Path, most: int | None = None) -> Iterator[BinaryIO]:
    """Opens a regular file to read.

    Args:
        path: Of the file.
        most: Bytes that a file of its kind has; a sparse file claims many and takes up few.

    Raises:
        OSError: If it is not a regular file, is larger, has large holes, or cannot be read.
    """
    with _opened(path) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            reason = f"it has {size} bytes; expected at most {most}"
            raise OSError(errno.EFBIG, reason, str(path))
        if sparse := _refuse_holes(file.fileno()):
            raise OSError(errno.EFBIG, sparse, str(path))
        yield file


def refuse_holes(name: str) -> str | None:
    """Says why a file must not be read whole: it takes long, and is next to nothing on disk.

    A sparse file claims any size and takes up no space. Honest files keep at least a tenth of their
    bytes, or are read in a second. These may look sparse, and are read:

    - A file that the file system compresses (ZFS). Its blocks are few, but they are no holes.
    - A file that was just written (ZFS), or whose file system counts no blocks (FUSE).

    What is refused, although it may be honest, is a large file of zeros alone, such as a table that
    was never trained, where the file system stores zeros as holes.

    Returns:
        The reason; None for a file that may be read, and for anything else than a regular file.
    """
    path = Path(name)
    if not path.is_file():
        return None
    reason: str | None
    try:
        with _opened(path) as file:
            reason = _refuse_holes(file.fileno())
    except OSError as error:
        reason = error.strerror
    return None if reason is None else f"{name!r} cannot be read: {reason}"


def require_stored(paths: Iterable[Path]) -> None:
    """Raises where regular files must not be read whole, each of them or all together.

    Many small files with large holes are as bad as one large file with a large hole.

    Raises:
        OSError: With the file that has the largest holes; or if one cannot be opened.
    """
    missing: list[tuple[int, str]] = []
    claimed = stored = 0
    for path in paths:
        status = path.stat()
        data = status.st_size
        if status.st_size > max(_PAGE, _MOST_TIMES * _allocated(status)):
            with _opened(path) as file:
                data = _data(file.fileno(), status.st_size)
            missing.append((status.st_size - data, str(path)))
        if reason := _judge(status.st_size, data):
            raise OSError(errno.EFBIG, reason, str(path))
        claimed += status.st_size
        stored += data
    if reason := _judge(claimed, stored):
        _, largest = max(missing)
        together = f"with the other files ({len(missing)} have holes), {reason}"
        raise OSError(errno.EFBIG, together, largest)


def _refuse_holes(descriptor: int) -> str | None:
    status = os.fstat(descriptor)
    size = status.st_size
    if _judge(size, _allocated(status)) is None:
        return None
    return _judge(size, _data(descriptor, size))


def _judge(size: int, stored: int) -> str | None:
    if size <= max(_FREE, _MOST_TIMES * stored):
        return None
    return f"it has {size} bytes, and {stored} of them on disk; expected a file without holes"


def _allocated(status: os.stat_result) -> int:
    return status.st_blocks * _SECTOR


def _data(descriptor: int, size: int) -> int:
    """Counts the bytes of a file outside of its holes, up to the tenth of its size that matters."""
    found = end = 0
    while found * _MOST_TIMES < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # from here on, all is a hole
            break
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        found += end - start
    os.lseek(descriptor, 0, os.SEEK_SET)
    return found


def read_regular(path: Path, most: int) -> bytes:
    """Returns the bytes of a regular file.

    Args:
        path: Of the file.
        most: Bytes that a file of its kind has; a sparse file claims many and takes up few.

    Raises:
        OSError: If it is not a regular file, is larger, or cannot be read.
    """
    with open_regular(path, most) as file:
        return file.read(
            os.fstat(file.fileno()).st_size
        )  # sets aside as much as it is asked for


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
        if file.read(
            1
        ):  # some files of the kernel have no end, and say that they are empty
            raise OSError(errno.EFBIG, "holds more than its size", str(path))
    return digest.hexdigest()


def have_same_bytes(one: Path, other: Path) -> bool:
    """Compares two regular files, block by block.

    Raises:
        OSError: Where one of them cannot be read.
    """
    with open_regular(one) as first, open_regular(other) as second:
        while block := first.read(_BLOCK):
            if block != second.read(_BLOCK):
                return False
        return not second.read(1)


def _opened(path: Path) -> BinaryIO:
    # To open a pipe would wait for somebody to write into it.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")


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
            raise FileNotFoundError(
                errno.ENOENT, os.strerror(errno.ENOENT), str(directory)
            )
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
