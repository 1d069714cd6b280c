"""Describes how a process ended without a result."""

from __future__ import annotations

import signal

_GIGABYTE = 10**9
_HINTS = {
    "SIGKILL": "; the system does that when memory runs out",
    "SIGSEGV": ", by an invalid access to memory in native code",
    "SIGBUS": ", by an invalid access to memory in native code",
    "SIGABRT": "; native code does that when it finds an error in itself",
}


def describe(exitcode: int, when: str = "", peak: int = 0) -> str:
    """Returns how a process ended, with a hint at the cause.

    Args:
        exitcode: Its status, or the negative number of the signal that killed it.
        when: What it did then, such as ` while building net.Net`.
        peak: The most memory that it used, in bytes; 0 if that is not known.
    """
    if exitcode >= 0:
        message = f"exited with status {exitcode}{when} without a result"
        return f"{message}; does the model's own code call os._exit?"
    known = {member.value: member.name for member in signal.Signals}
    name = known.get(-exitcode, f"signal {-exitcode}")
    used = f"; it had used up to {peak / _GIGABYTE:.2f} GB" if peak else ""
    return f"was killed by {name}{when}{_HINTS.get(name, '')}{used}"
