"""What a release must be besides verified, if `publish` asks for it: reproducible, compatible."""

from __future__ import annotations

from pathlib import Path

from smdecl import progress
from smdecl.config.project import Project
from smdecl.config.settings import Composition, ExportConfig
from smdecl.errors import ContractError, Problem, disk_errors
from smdecl.pipeline.children import children
from smdecl.pipeline.clock import Clock
from smdecl.pipeline.making import Unpublished, make_release
from smdecl.pipeline.records import Made
from smdecl.release import manifest
from smdecl.release.publisher import Newest

_REPRODUCIBLE = ("publish", "reproducible")
_COMPATIBLE = ("publish", "compatible")


def require_reproducible(
    unpublished: Unpublished,
    config: ExportConfig,
    composition: Composition,
    project: Project,
    stage: Path,
) -> None:
    """Makes a release again, from a separate server process, and compares the bytes.

    Raises:
        ContractError: With every difference.
    """
    again_in = stage / "again"
    with disk_errors(stage):
        again_in.mkdir()
    # Without listeners, because its stages are not those of the release.
    with children.apart() as processes, progress.listening(()):
        again = make_release(
            config, composition, project, again_in, Clock(), processes
        )
    if again.digest == manifest.read(unpublished.directory)["digest"]:
        return
    from smdecl.release import diffing

    problems = []
    for change in diffing.diff(unpublished.directory, again.directory).changes:
        problems.append(
            Problem(_REPRODUCIBLE, f"a second export differs: {change}")
        )
    raise ContractError(problems)


def require_compatible(made: Made, newest: Newest | None) -> None:
    """Compares the signatures and functions with those that callers know.

    Raises:
        ContractError: With every change that breaks callers.
    """
    if newest is None:
        return
    from smdecl.savedmodel import inspection
    from smdecl.savedmodel.comparing import compatibility
    from smdecl.savedmodel.records import BREAKING

    _, before = inspection.load(newest.directory)
    hint = (
        "expected a change that breaks no caller, or a new name or export_dir"
    )
    problems = []
    for change in compatibility.changes(before, made.saved):
        if change.verdict == BREAKING:
            message = f"would break callers of {newest.name}: {change}; {hint}"
            problems.append(Problem(_COMPATIBLE, message))
    if problems:
        raise ContractError(problems)
