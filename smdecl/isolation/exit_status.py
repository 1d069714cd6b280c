"""Describes how a process ended without a result."""

from __future__ import annotations

import signal

_HINTS = {
    "SIGKILL": "; the system does that when memory runs out",
    "SIGSEGV": " in native code",
}


def describe(exitcode: int) -> str:
    """Returns how a process ended, with a hint at the cause.

    Args:
        exitcode: Its status, or the negative number of the signal that killed it.
    """
    if exitcode >= 0:
        message = f"exited with status {exitcode} and no word"
        return f"{message}; does the model's own code call exit?"
    known = {member.value: member.name for member in signal.Signals}
    name = known.get(-exitcode, f"signal {-exitcode}")
    hint = _HINTS.get(name, "")
    return f"was killed by {name}{hint}"
