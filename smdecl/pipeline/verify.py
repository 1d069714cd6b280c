"""Verifies a release: compares its files with its manifest, loads it and runs its examples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from smdecl import progress, schema
from smdecl.checks import sign_key
from smdecl.config.parsing import parse_signature, parse_verify
from smdecl.config.project import Project, find_project
from smdecl.errors import Problem, VerificationError
from smdecl.exporting.building import custom_ops
from smdecl.pipeline import loader_processes
from smdecl.pipeline.clock import Clock
from smdecl.pipeline.loader_processes import Replay
from smdecl.printing import printable
from smdecl.release import comparison, manifest, signing
from smdecl.release.manifest_types import Manifest
from smdecl.savedmodel.records import CustomOpsRecord
from smdecl.verification.records import VerificationRecord


def verify(
    directory: Path,
    key: Path | None = None,
    project: Project | None = None,
    allow_ops: Collection[str] = (),
) -> tuple[Manifest, VerificationRecord]:
    """Verifies a release; returns its manifest and a record of what was run.

    Args:
        directory: The directory of the release.
        key: The file of the public key to check its signature with; None checks none.
        project: The project whose custom_ops are loaded; those in the manifest are only compared
            with them. By default the project of the current directory.
        allow_ops: Ops that may reach into files, the network or Python even if no signature is
            checked.

    Raises:
        UsageError: If the directory has no release, or the key is not a public key.
        VerificationError: With every file that is missing, changed or added; with a signature that
            does not match; with every op that reaches outside and is not allowed; with the custom
            ops that the project does not declare; or with every example that differs.
    """
    if key is not None:
        sign_key.require_public_key(key)
    clock = Clock()
    released = manifest.read(directory)
    sizes = (entry["size"] for entry in released["files"].values())
    with clock.stage("hash"), progress.counting(sizes):
        problems = list(comparison.compare(directory, released))
    if problems:
        raise VerificationError(problems)
    if key is not None:
        signing.verify(directory, key)  # before any of it is loaded
    else:
        _refuse_outside_ops(directory, allow_ops)
    with clock.stage_of_child("verify") as begin:
        replay = _replay(
            directory, released, project or find_project(Path.cwd()), begin
        )
    clock.finish(replay.peak)
    return released, replay.report


def _refuse_outside_ops(directory: Path, allowed: Collection[str]) -> None:
    """Refuses to run a graph of unknown origin that reaches outside of itself."""
    # These import NumPy, which an export does without in this process.
    from smdecl.savedmodel import inspection
    from smdecl.savedmodel.audits import outside_ops

    found = outside_ops.find(inspection.read(directory))
    refused = {op: place for op, place in found.items() if op not in allowed}
    hint = f"expected a signature to check by --key, or --allow-ops {','.join(refused)}"
    problems = []
    for op, place in refused.items():
        where = f"{directory}: {printable(place)}"
        message = (
            f"{where}: {op} reaches into files, the network or Python; {hint}"
        )
        problems.append(Problem((), message))
    if problems:
        raise VerificationError(problems)


def _replay(
    directory: Path,
    released: Manifest,
    project: Project,
    begin: Callable[[], None],
) -> Replay:
    """Runs the examples of a release with its loaders; calls `begin` when a loader has begun."""
    values = {
        key: manifest.settings(released, key)
        for key in ("signatures", "verify")
    }
    _require_settings(directory, values)
    entries = released.get("custom_ops", [])
    recorded = [CustomOpsRecord(**entry) for entry in entries]
    undeclared = list(custom_ops.undeclared(recorded, project))
    if undeclared:
        raise VerificationError(_in_manifest(directory, undeclared))
    signatures = {}
    for key, value in values["signatures"].items():
        signatures[key] = parse_signature(value)
    options = parse_verify(values["verify"])
    try:
        return loader_processes.run(
            directory, signatures, options, project, begin
        )
    except VerificationError as error:
        differing = list(custom_ops.differing(recorded, project))
        problems = [*error.problems, *_in_manifest(directory, differing)]
        raise VerificationError(problems) from error


def _require_settings(directory: Path, values: Mapping[str, Any]) -> None:
    """Checks settings against the schema: anyone can compute the checksum of a manifest.

    Values that were read from the environment are not in the manifest either.
    """
    problems = []
    for problem in schema.problems("config", values):
        if not problem.path or problem.path[0] in values:
            place = directory / manifest.FILE
            message = f"{place}: its config cannot be verified by: {problem}"
            problems.append(Problem((), message))
    if problems:
        raise VerificationError(problems)


def _in_manifest(
    directory: Path, problems: Collection[Problem]
) -> list[Problem]:
    place = directory / manifest.FILE
    return [
        replace(problem, message=f"{place}: {problem.message}")
        for problem in problems
    ]
