"""Says of what the kernel refused a confined process why it did, and which setting allows it, if one does."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace

from smdecl.errors import SmdeclError
from smdecl.isolation.confine import Confinement

_REFUSED = (os.strerror(errno.EACCES), "PermissionDenied")
_PATH = re.compile(r"(?:'|\s)(/[^\s';]+)")
_READ = "a confined process reads only the files that the config names, and writes only below TMPDIR"
_WRITTEN = "a confined process writes only below TMPDIR"
_ANY = "a confined process reads only the files that the config names, writes only below TMPDIR and opens no socket"


def explained(error: SmdeclError, confinement: Confinement) -> SmdeclError:
    """Returns an error whose refusals say why; called in the confined process.

    Args:
        error: Of what ran there.
        confinement: Of the process.
    """
    problems = []
    for problem in error.problems:
        is_refusal = any(refused in problem.message for refused in _REFUSED)
        message = (
            f"{problem.message}; {_reason(problem.message, confinement)}"
            if is_refusal
            else problem.message
        )
        problems.append(replace(problem, message=message))
    told = type(error)(problems, error.traceback_text)
    told.__cause__ = error.__cause__
    return told


def _reason(message: str, confinement: Confinement) -> str:
    paths = _PATH.findall(message)
    if any(map(_is_unreadable, paths)):
        return f"{_READ}; {confinement.extension}" if confinement.extension else _READ
    return _WRITTEN if paths else _ANY


def _is_unreadable(path: str) -> bool:
    """Tells whether the kernel refuses to open a file to read; otherwise it was writing that it refused."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return False
