"""The functions that run in the processes of an export.

The process that starts an export imports this module, and no TensorFlow. So each function imports
its stages when it is called.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from smdecl.config.project import Project
from smdecl.config.settings import ExportConfig, Signature, Verify
from smdecl.exporting.building import custom_ops
from smdecl.isolation import reports
from smdecl.pipeline import clock
from smdecl.pipeline.records import Made, Plan, Replayed
from smdecl.verification.records import Comparison


def plan(
    config: ExportConfig, project: Project
) -> tuple[Plan, dict[str, float]]:
    """Builds and traces; writes nothing. Returns the seconds of each stage too.

    Args:
        config: The config to build.
        project: The project whose code the config may name.
    """
    from smdecl.exporting import user_code
    from smdecl.pipeline import stages

    with user_code.exits_reported():
        return stages.plan(config, project)


def make(
    config: ExportConfig,
    project: Project,
    directory: Path,
    providers: Mapping[str, str],
) -> Made:
    """Runs `stages.make`."""
    from smdecl.exporting import user_code
    from smdecl.pipeline import stages

    with user_code.exits_reported():
        return stages.make(config, project, directory, providers)


def verify(
    directory: Path,
    signatures: Mapping[str, Signature],
    options: Verify,
    project: Project,
) -> Replayed:
    """Loads the custom ops of a project, then a SavedModel, and runs its examples.

    It waits for a message of the caller before it runs them, because they may not exist yet.

    Args:
        directory: The directory of the SavedModel, with its examples.
        signatures: The signatures as they are declared.
        options: The loaders to run, and the tolerances.
        project: The project whose custom ops to load.
    """
    from smdecl.verification import verify as verification

    reports.report("verify")
    custom_ops.load(project)
    report = verification.verify(
        directory, signatures, options, reports.listen
    )
    return Replayed(report, clock.peak_memory())


def compare(
    weights: Path, release: Path, options: Verify, project: Project
) -> tuple[Comparison, int]:
    """Runs the examples of a release on the SavedModel that its weights come from.

    Args:
        weights: The directory of that SavedModel.
        release: The directory of the release, with its examples.
        options: The tolerances.
        project: The project whose custom ops to load.

    Returns:
        What differs, and the largest memory of the process, in bytes.
    """
    from smdecl.verification import saved_reference

    custom_ops.load(project)
    found = saved_reference.compare(weights, release, options)
    return found, clock.peak_memory()


def task(
    directory: Path, signatures: Mapping[str, Signature], options: Verify
) -> str:
    """Returns the message that makes `verify_in_turn` verify a SavedModel."""
    # Saved examples are run, and those of the config can be long.
    options = replace(options, examples={})
    pickled = pickle.dumps((directory, signatures, options))
    return base64.b64encode(pickled).decode()


def verify_in_turn() -> Iterator[Replayed | None]:
    """Verifies a SavedModel for each message of the caller, which `task` makes.

    Yields None for a SavedModel that needs a process of its own.
    """
    from smdecl.verification import separable
    from smdecl.verification import verify as verification

    while True:
        message = base64.b64decode(reports.listen())
        directory, signatures, options = pickle.loads(message)
        clock.forget_peak()
        if not separable.is_separable(directory):
            yield None
            continue
        report = verification.verify(directory, signatures, options)
        yield Replayed(report, clock.peak_memory())
