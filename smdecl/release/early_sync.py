"""Writes the large files of a release to disk while the release is verified.

A disk needs seconds for gigabytes, and hardly any of the processor's time. Publishing syncs
everything again, which is quick for what is on the disk already.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smdecl import files

# In bytes. A disk writes a smaller file in an instant.
_LARGE = 1 << 24
# In bytes, to write at a time, because a write cannot be interrupted.
_STEP = 1 << 26
# Flags of sync_file_range(2): wait for earlier writes, write, and wait for that.
_WRITE_AND_WAIT = 1 | 2 | 4
# The kernel, the file system or a sandbox does not support the call.
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ESPIPE, errno.EPERM)


@contextmanager
def syncing(base: Path | str) -> Iterator[EarlySync]:
    """Yields an early sync that has not begun; leaving the block stops it.

    Args:
        base: Where the release is published. A store gets the files by an upload, so for a URL
            nothing is synced.
    """
    early = EarlySync(isinstance(base, Path))
    try:
        yield early
    finally:
        early.stop()


class EarlySync:
    """Writes the large files of one directory to disk, in a thread. Use `syncing`."""

    def __init__(self, is_wanted: bool) -> None:
        self._is_wanted = is_wanted
        self._thread: threading.Thread | None = None
        self._is_stopped = threading.Event()
        self._error: OSError | None = None

    def begin(self, directory: Path) -> None:
        """Begins with the files that a directory has now."""
        if not self._is_wanted:
            return
        large: list[tuple[Path, int]] = []
        # Whoever hashes the files reports the error.
        with contextlib.suppress(OSError):
            large += _large(directory)
        if large:
            self._thread = threading.Thread(target=self._run, args=(large,))
            self._thread.start()

    def finish(self) -> None:
        """Waits until the files are on disk.

        Raises:
            OSError: If the disk failed. The kernel reports that once, so a later fsync would
                succeed.
        """
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Stops after the step that is being written."""
        self._is_stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, large: list[tuple[Path, int]]) -> None:
        try:
            for path, size in large:
                self._write(path, size)
        except OSError as error:
            self._error = error

    def _write(self, path: Path, size: int) -> None:
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(path, flags)
        except OSError:  # the model's code removed it, which is reported later
            return
        with contextlib.closing(os.fdopen(descriptor, "rb", buffering=0)):
            for offset in range(0, size, _STEP):
                if self._is_stopped.is_set():
                    return
                write_range(path, descriptor, offset, _STEP)


def _large(directory: Path) -> Iterator[tuple[Path, int]]:
    """Yields the path and the size of each large file."""
    for name, entry in files.walk(directory):
        if not entry.is_file(follow_symlinks=False):
            continue
        size = entry.stat(follow_symlinks=False).st_size
        if size >= _LARGE:
            yield directory / name, size


def write_range(path: Path, descriptor: int, offset: int, size: int) -> None:
    """Writes a part of a file to disk, and waits for it; does nothing where that is unsupported.

    Args:
        path: The path of the file, for errors.
        descriptor: The open file.
        offset: The first byte to write.
        size: The number of bytes to write; those after the end of the file do not count.

    Raises:
        OSError: If the disk fails.
    """
    library = ctypes.CDLL(None, use_errno=True)
    function = getattr(library, "sync_file_range", None)
    if function is None:
        return
    place, length = ctypes.c_int64(offset), ctypes.c_int64(size)
    if function(descriptor, place, length, _WRITE_AND_WAIT) == 0:
        return
    code = ctypes.get_errno()
    if code not in _UNSUPPORTED:
        raise OSError(code, os.strerror(code), str(path))
