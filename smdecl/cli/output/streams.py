"""Standard streams that can be written to, whatever the caller closed."""

from __future__ import annotations

import os
import sys

_STREAMS = ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"))


def open_closed() -> None:
    """Opens the null device in place of standard streams that are closed.

    Otherwise the next file that is opened gets the number of a closed stream, and whatever is
    printed ends up in that file.
    """
    for number, name, mode in _STREAMS:
        try:
            os.fstat(number)
        except OSError:
            # The new descriptor gets the lowest free number, which is this one.
            opened = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(opened, True)
        if getattr(sys, name) is None:
            # It stays open for as long as the process runs.
            errors = "backslashreplace"
            stream = open(number, mode, encoding="utf-8", errors=errors)  # noqa: PTH123, SIM115
            setattr(sys, name, stream)
