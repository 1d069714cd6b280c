"""Reads files that may be hostile: only regular files, and none that blocks or never ends.

Directories are locked here too, for changes that several processes make.
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

from smdecl import progress

# Characters that make TensorFlow read a path as a pattern.
PATTERN = frozenset("*?[]\\")
_BLOCK = 1 << 20  # bytes
# Bytes. A file of this size is read in a second, so its holes do not matter.
_FREE = 1 << 28
_MOST_TIMES = 10
_PAGE = 1 << 12  # bytes; file systems may store a smaller file without a block
_SECTOR = 512  # bytes; the unit of st_blocks


@contextmanager
def open_regular(path: Path, most: int | None = None) -> Iterator[BinaryIO]:
    """Opens a regular file for reading.

    Args:
        path: The file.
        most: The most bytes that such a file has; None for any number.

    Raises:
        OSError: If it is not a regular file, is larger than `most`, has large holes, or cannot be
            read.
    """
    with _opened(path) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            reason = f"it has {size} bytes; expected at most {most}"
            raise OSError(errno.EFBIG, reason, str(path))
        reason_for_holes = _refuse_holes(file.fileno())
        if reason_for_holes is not None:
            raise OSError(errno.EFBIG, reason_for_holes, str(path))
        yield file


def refuse_holes(name: str) -> str | None:
    """Returns why a sparse file must not be read whole; None if the file may be read.

    A sparse file can claim any size without taking up space on disk. Honest files store at least a
    tenth of their bytes, or are small enough to be read in a second. Some of them look sparse, but
    have no holes:

    - A file that the file system compresses (ZFS) has few blocks.
    - A file that was just written (ZFS), or whose file system counts no blocks (FUSE).

    One kind of honest file is refused: a large file of zeros, such as a table that was never
    trained, if the file system stores zeros as holes.

    Returns:
        The reason. None also for anything but a regular file.
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
    return None if reason is None else f"cannot read {name!r}: {reason}"


def require_stored(paths: Iterable[Path]) -> None:
    """Checks that regular files may be read whole, each of them and all together.

    Many small files with large holes are as bad as one large file with a large hole.

    Raises:
        OSError: If they must not be read; names the file with the largest holes. Also if a file
            cannot be opened.
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
        reason = _judge(status.st_size, data)
        if reason is not None:
            raise OSError(errno.EFBIG, reason, str(path))
        claimed += status.st_size
        stored += data
    reason = _judge(claimed, stored)
    if reason is not None:
        _, largest = max(missing)
        together = (
            f"with the other files ({len(missing)} have holes), {reason}"
        )
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
    return f"it has {size} bytes, but only {stored} on disk; expected a file without holes"


def _allocated(status: os.stat_result) -> int:
    return status.st_blocks * _SECTOR


def _data(descriptor: int, size: int) -> int:
    """Counts the bytes of a file outside of its holes; stops at a tenth of its size."""
    found = end = 0
    while found * _MOST_TIMES < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # the rest is a hole
            break
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        found += end - start
    os.lseek(descriptor, 0, os.SEEK_SET)
    return found


def read_regular(path: Path, most: int) -> bytes:
    """Returns the bytes of a regular file.

    Args:
        path: The file.
        most: The most bytes that such a file has.

    Raises:
        OSError: If it is not a regular file, is larger than `most`, or cannot be read.
    """
    with open_regular(path, most) as file:
        # Not `most`: read() allocates as many bytes as it is asked for.
        return file.read(os.fstat(file.fileno()).st_size)


def sha256(path: Path) -> str:
    """Returns the SHA-256 digest of a regular file in hexadecimal digits, as `sha256sum` prints it.

    Raises:
        OSError: If it cannot be read.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        rest = os.fstat(file.fileno()).st_size
        while rest and (block := file.read(min(rest, _BLOCK))):
            digest.update(block)
            progress.advance(len(block))
            rest -= len(block)
        # Some files of the kernel report size 0 and never end.
        if file.read(1):
            raise OSError(
                errno.EFBIG, "has more bytes than its size", str(path)
            )
    return digest.hexdigest()


def have_same_bytes(one: Path, other: Path) -> bool:
    """Returns whether two regular files have the same content.

    Raises:
        OSError: If one of them cannot be read.
    """
    with open_regular(one) as first, open_regular(other) as second:
        while block := first.read(_BLOCK):
            if block != second.read(_BLOCK):
                return False
        return not second.read(1)


def _opened(path: Path) -> BinaryIO:
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")


def walk(directory: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yields the relative name and the entry of everything below a directory.

    Does not follow symbolic links.

    Raises:
        OSError: If a directory cannot be read.
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


def sizes(directory: Path) -> Iterator[int]:
    """Yields the size of every file below a directory.

    Raises:
        OSError: If a directory cannot be read.
    """
    for _, entry in walk(directory):
        if entry.is_file(follow_symlinks=False):
            yield entry.stat(follow_symlinks=False).st_size


def lock(directory: Path, flags: int = 0) -> int:
    """Locks a directory and returns its descriptor; the lock ends with the process.

    Args:
        directory: The directory.
        flags: More flags for flock, such as LOCK_NB.

    Raises:
        OSError: If the lock cannot be acquired, or a different process has removed or replaced the
            directory meanwhile.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        if not os.path.samestat(os.fstat(descriptor), directory.stat()):
            reason = os.strerror(errno.ENOENT)
            raise FileNotFoundError(errno.ENOENT, reason, str(directory))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds the lock on a directory; waits until it is free.

    Raises:
        OSError: If the lock cannot be acquired.
    """
    descriptor = lock(directory)
    try:
        yield
    finally:
        os.close(descriptor)
