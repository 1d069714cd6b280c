"""Compares files with the digests that a config pins in `sha256`."""

from __future__ import annotations

from pathlib import Path

from smdecl import files
from smdecl.checks import paths
from smdecl.checks.types import Problems
from smdecl.config import trust
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
        return f"no such file: {name!r}"
    try:
        digest = files.sha256(Path(name))
    except OSError as error:
        return f"cannot read {name!r}: {error.strerror}"
    if digest == pinned:
        return None
    message = f"content of {name!r} differs from its digest: expected {pinned}"
    # A config must not learn the digest of a file outside the project.
    is_ours = trust.refuse_file(name, project) is None
    return f"{message}, got {digest}" if is_ours else message
