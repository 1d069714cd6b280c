"""Landlock: limits the files, TCP connections and signals of a process.

See https://docs.kernel.org/userspace-api/landlock.html for the names and numbers.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smdecl.isolation import kernel

# System calls, with the same numbers on every architecture.
_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1

# Rights to files.
EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIRECTORY = 1 << 3
_MAKE_CHARACTER_DEVICE = 1 << 6
_MAKE_BLOCK_DEVICE = 1 << 11
_REFER = 1 << 13
_TRUNCATE = 1 << 14
IOCTL_DEVICE = 1 << 15

READ = EXECUTE | READ_FILE | READ_DIRECTORY
USE_DEVICE = READ_FILE | WRITE_FILE | IOCTL_DEVICE
REPLACE = WRITE_FILE | _TRUNCATE  # the content of files that exist
# All rights that the kernel knows, apart from making devices.
WRITE = ((1 << 16) - 1) & ~(_MAKE_CHARACTER_DEVICE | _MAKE_BLOCK_DEVICE)
_OF_REGULAR_FILES = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | IOCTL_DEVICE

# The version of the interface (ABI) that introduced a right, beyond those of version 1.
_ALL_OF_ABI_1 = (1 << 13) - 1
_LATER = ((2, _REFER), (3, _TRUNCATE), (5, IOCTL_DEVICE))

_TCP = 0b11  # bind and connect
_SCOPES = 0b11  # signals and abstract sockets
MOVES_SINCE = 2  # before, no file could move between directories
TCP_SINCE = 4
SCOPES_SINCE = 6


def abi() -> int:
    """Returns the version of Landlock's interface in this kernel; 0 if there is none."""
    if sys.platform != "linux":
        return 0
    size = ctypes.c_size_t(0)
    version = kernel.libc().syscall(_CREATE_RULESET, None, size, _VERSION_FLAG)
    return max(0, int(version))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class Ruleset:
    """Rules that allow access to files; all other access is denied once it is enforced.

    Args:
        descriptor: The file descriptor of the ruleset.
        handled: The rights that this kernel can deny.
    """

    def __init__(self, descriptor: int, handled: int) -> None:
        self._descriptor = descriptor
        self._handled = handled

    def allow(self, place: Path, rights: int) -> None:
        """Allows rights to a file, or to a directory and everything below it.

        A place that does not exist is skipped.

        Raises:
            OSError: If the kernel rejects the rule.
        """
        try:
            descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        try:
            allowed = rights & self._handled
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                allowed &= _OF_REGULAR_FILES
            rule = ctypes.byref(_PathBeneath(allowed, descriptor))
            kernel.call(
                "syscall", _ADD_RULE, self._descriptor, _PATH_BENEATH, rule, 0
            )
        finally:
            os.close(descriptor)

    def enforce(self) -> None:
        """Confines the calling thread, and every thread and process that it starts.

        Raises:
            OSError: If the kernel refuses.
        """
        kernel.call("prctl", kernel.SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        kernel.call("syscall", _RESTRICT_SELF, self._descriptor, 0)


@contextmanager
def ruleset(version: int) -> Iterator[Ruleset]:
    """Yields a ruleset that denies everything a version of the interface can deny.

    Raises:
        OSError: If the kernel cannot create it.
    """
    handled = _ALL_OF_ABI_1
    for since, right in _LATER:
        if version >= since:
            handled |= right
    fields = [handled]
    if version >= TCP_SINCE:
        fields.append(_TCP)
    if version >= SCOPES_SINCE:
        fields.append(_SCOPES)
    attribute = (ctypes.c_uint64 * len(fields))(*fields)
    size = ctypes.c_size_t(ctypes.sizeof(attribute))
    descriptor = kernel.call(
        "syscall", _CREATE_RULESET, ctypes.byref(attribute), size, 0
    )
    try:
        yield Ruleset(descriptor, handled)
    finally:
        os.close(descriptor)
