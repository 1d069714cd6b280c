"""Compares files with the digests that a config pins in `sha256`."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import yaml

from smdecl import files
from smdecl.checks import paths
from smdecl.checks.types import Problems
from smdecl.config import relative_paths, trust
from smdecl.config.project import Project
from smdecl.config.types import Values
from smdecl.errors import Problem


def check(values: Values, project: Project) -> Problems:
    """Yields the files whose digest differs from the pinned one, and those that cannot be read."""
    for name, pinned in values["sha256"].items():
        reason = _refuse_digest(name, pinned, project)
        if reason is not None:
            yield Problem(("sha256", name), reason)


def _refuse_digest(name: str, pinned: str, project: Project) -> str | None:
    if paths.refuse_path(name) or not Path(name).is_file():
        return relative_paths.missing(name, project)
    try:
        digest = files.sha256(Path(name))
    except OSError as error:
        return f"cannot read {name!r}: {error.strerror}"
    if digest == pinned:
        return None
    message = f"content of {name!r} differs from its digest: expected {pinned}"
    if trust.refuse_file(name, project) is not None:
        # A config must not learn the digest of a file outside the project.
        return message
    hint = f"if this content is meant, pin it with {_line(name, digest)}"
    return f"{message}, got {digest}; {hint}"


def missing(name: str, project: Project) -> str:
    """Returns the message for a file without a digest, though other files have one."""
    message = f"{name!r} has no digest in sha256, but other files have"
    if trust.refuse_file(name, project) is None:
        with suppress(OSError):  # it is reported elsewhere
            digest = files.sha256(Path(name))
            return f"{message}; add {_line(name, digest)}"
    return f"{message}; add it"


def _line(name: str, digest: str) -> str:
    """Returns the line of a config that pins a file."""
    line: str = yaml.safe_dump({name: digest}, width=sys.maxsize)
    return line.strip()
