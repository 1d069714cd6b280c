"""Calls functions of the C library that confine a process."""

from __future__ import annotations

import ctypes
import functools
import os

# Operations of prctl(2).
SET_NO_NEW_PRIVILEGES = 38
SET_SECCOMP = 22


@functools.cache
def libc() -> ctypes.CDLL:
    """Returns the C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """Calls a function of the C library and returns its result.

    Raises:
        OSError: If the function fails.
    """
    result = int(getattr(libc(), name)(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(
            number, f"cannot confine the process: {os.strerror(number)}"
        )
    return result
