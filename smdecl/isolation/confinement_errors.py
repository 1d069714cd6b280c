"""Explains why the kernel refused something to a confined process, and how to allow it."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace

from smdecl.errors import Problem, SmdeclError
from smdecl.isolation.confine import Confinement

_REFUSED = (os.strerror(errno.EACCES), "PermissionDenied")
_PATH = re.compile(r"(?:'|\s)(/[^\s';]+)")
_READS = "a confined process reads only the files that the config names"
_WRITES = "writes only below TMPDIR"


def explained(error: SmdeclError, confinement: Confinement) -> SmdeclError:
    """Returns an error whose refusals are explained; call it in the confined process.

    Args:
        error: The error of the code that ran there.
        confinement: The confinement of the process.
    """
    problems = [_explained(problem, confinement) for problem in error.problems]
    explained_error = type(error)(problems, error.traceback_text)
    explained_error.__cause__ = error.__cause__
    return explained_error


def _explained(problem: Problem, confinement: Confinement) -> Problem:
    message = problem.message
    if not any(refused in message for refused in _REFUSED):
        return problem
    return replace(
        problem, message=f"{message}; {_reason(message, confinement)}"
    )


def _reason(message: str, confinement: Confinement) -> str:
    paths = _PATH.findall(message)
    if not paths:
        return f"{_READS}, {_WRITES} and opens no socket"
    if not any(map(_is_unreadable, paths)):
        return f"a confined process {_WRITES}"
    reason = f"{_READS}, and {_WRITES}"
    if confinement.extension:
        return f"{reason}; {confinement.extension}"
    return reason


def _is_unreadable(path: str) -> bool:
    """Returns whether the kernel refuses reading a file; if not, it refused writing."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return False
