"""Compares a release with the SavedModel that its weights come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from smdecl.checks.weights import named_files
from smdecl.checks.weights.weights_formats import FORMATS
from smdecl.config.project import Project
from smdecl.config.settings import ExportConfig, Weights
from smdecl.errors import Problem, VerificationError
from smdecl.exporting.building import custom_ops
from smdecl.isolation.confine import Confinement
from smdecl.names import MESSAGE_FILE
from smdecl.pipeline import worker
from smdecl.pipeline.children import children
from smdecl.pipeline.loader_processes import Replay
from smdecl.pipeline.making import Unpublished
from smdecl.pipeline.records import Made
from smdecl.printing import printable
from smdecl.progress import Peak
from smdecl.verification.records import Comparison

_PATH = ("weights", "path")


def compare(
    config: ExportConfig,
    unpublished: Unpublished,
    replay: Replay,
    project: Project,
) -> tuple[Unpublished, Replay]:
    """Compares a verified release with the SavedModel in `weights`, if there is one.

    Returns:
        The release, with a warning about what could not be compared and without warnings about
        vocabularies that are equal; and what the loaders found, with the memory of the comparison.

    Raises:
        VerificationError: With every output and table that differs.
    """
    weights = config.weights
    if weights is None or not FORMATS[weights.format].has_signatures:
        return unpublished, replay
    made = unpublished.made
    has_examples = any(replay.report.examples.values())
    # What keeps its initial value makes the outputs differ, and has a warning.
    if made.plan.obj.reasons or not has_examples:
        return unpublished, replay
    if made.part is None:
        found, memory = _run(config, weights, unpublished, project)
    else:
        reason = f"the object is only a part of it, {made.part!r}"
        found, memory = Comparison(uncompared=(reason,)), 0
    if found.differences:
        raise VerificationError(_problems(weights, found))
    peak = max(
        replay.peak,
        Peak(memory, "compare weights"),
        key=lambda peak: peak.memory,
    )
    return _concluded(weights, unpublished, found), replace(replay, peak=peak)


def _run(
    config: ExportConfig,
    weights: Weights,
    unpublished: Unpublished,
    project: Project,
) -> tuple[Comparison, int]:
    """Compares in a confined process: anyone may have written the SavedModel."""
    path = Path(weights.path)
    places = tuple(custom_ops.places(project))
    # A file may be a link to one outside of the directory.
    files = (path / MESSAGE_FILE, *named_files.of_weights(weights))
    return children.run(
        worker.compare,
        path,
        unpublished.directory,
        config.verify,
        project,
        failure=VerificationError,
        doing=f"comparing the export with {weights.path!r}",
        confinement=Confinement(
            (path, *files, unpublished.directory, *places)
        ),
        # TensorFlow starts none, but the code of a custom op can.
        starts_processes=bool(places),
    )


def _problems(weights: Weights, found: Comparison) -> list[Problem]:
    problems = []
    for difference in found.differences:
        message = (
            f"the object differs from the model in {weights.path!r}:"
            f" {printable(difference)}"
        )
        problems.append(Problem(_PATH, message))
    return problems


def _concluded(
    weights: Weights, unpublished: Unpublished, found: Comparison
) -> Unpublished:
    if found.uncompared:
        reasons = printable("; ".join(found.uncompared))
        message = (
            "the outputs of the object were not all compared with those of the model in"
            f" {weights.path!r}: {reasons}"
        )
        warnings = (*unpublished.warnings, Problem(_PATH, message))
        return replace(unpublished, warnings=warnings)
    if found.has_same_tables:
        made = _with_vocabularies(unpublished.made)
        return replace(unpublished, made=made)
    return unpublished


def _with_vocabularies(made: Made) -> Made:
    """Counts the vocabularies that equal those of the weights as restored."""
    obj = made.plan.obj
    restored = (*obj.restored, *obj.not_restored)
    obj = replace(obj, restored=restored, not_restored=())
    return replace(made, plan=replace(made.plan, obj=obj))
