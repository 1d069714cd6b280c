"""The command line: runs a verb and returns its exit code."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from smdecl.cli import verbs
from smdecl.cli.arguments import parse
from smdecl.cli.output import report, streams
from smdecl.config.interrupting import interrupts_first
from smdecl.errors import SmdeclError, UsageError
from smdecl.pipeline.children import children

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)


class _Interrupted(BaseException):
    """A signal asked the program to end; raised so that every stage cleans up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    Args:
        argv: The arguments without the program's name; by default those of the process.
    """
    streams.open_closed()
    # Whatever the caller's mask is, smdecl must be able to read and remove what it makes.
    mask = os.umask(0)
    os.umask(mask & ~stat.S_IRWXU)
    for number in _INTERRUPTS:
        # nohup ignores SIGHUP.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        return run(sys.argv[1:] if argv is None else argv)
    except _Interrupted as interrupted:
        children.leave()
        _end_by(interrupted.number)
    finally:
        children.stop()


def run(argv: Sequence[str]) -> int:
    """Runs the command line and leaves signal handlers and the mask of the process alone.

    Args:
        argv: The arguments without the program's name.

    Returns:
        The exit code.
    """
    try:
        # The import of Hydra, too, fails on its own state after an interrupt.
        with interrupts_first():
            return verbs.run(parse(argv))
    except SmdeclError as error:
        failure = error
    except OSError as error:
        if error.errno not in _TOO_MANY_FILES:
            raise
        hint = "expected a higher limit, such as ulimit -n 256"
        failure = UsageError(f"too many open files: {error}; {hint}")
    report.error(failure)
    return failure.exit_code


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for other in _INTERRUPTS:
        signal.signal(other, signal.SIG_IGN)
    raise _Interrupted(number)


def _end_by(number: int) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    raise AssertionError("the signal ended the process")
