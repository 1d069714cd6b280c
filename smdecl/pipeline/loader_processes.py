"""Runs the loaders of a verification, each in a separate process and all at the same time.

If too few cores are idle, as in a sweep, one process runs them in turn, which costs less CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from smdecl import schema
from smdecl.config.project import Project
from smdecl.config.settings import Signature, Verify
from smdecl.errors import Problem, VerificationError
from smdecl.exporting import custom_ops
from smdecl.isolation.confine import Confinement
from smdecl.pipeline import worker
from smdecl.pipeline.children import children
from smdecl.savedmodel.plain import plain
from smdecl.verification.records import Failure, VerificationRecord


def run(
    directory: Path,
    signatures: Mapping[str, Signature],
    options: Verify,
    project: Project,
) -> VerificationRecord:
    """Loads a SavedModel with every loader that the options name, and runs its examples.

    Args:
        directory: Of the SavedModel, with its examples.
        signatures: As they are declared.
        options: Which loaders to run, and how far their results may differ.
        project: Whose custom ops are loaded first.

    Raises:
        VerificationError: With every example that fails or differs, and every process that dies.
        SmdeclError: If a process raises something else, such as an error of the custom ops.
    """
    confinement = Confinement((directory, *custom_ops.places(project)))
    with ExitStack() as stack:
        results = []
        for loaders in _divided(options.loaders):
            process = children.running(
                worker.verify,
                directory,
                signatures,
                replace(options, loaders=loaders),
                project,
                failure=VerificationError,
                doing=f"loading and running the export with {_named(loaders)}",
                confinement=confinement,
            )
            results.append(stack.enter_context(process))
        return _report(results, options)


def _divided(loaders: tuple[str, ...]) -> list[tuple[str, ...]]:
    if children.idle_cores() < len(loaders):
        return [loaders]
    return [(loader,) for loader in loaders]


def _named(loaders: tuple[str, ...]) -> str:
    noun = "loader" if len(loaders) == 1 else "loaders"
    return f"the {' and '.join(loaders)} {noun}"


def _report(
    results: list[Callable[[], VerificationRecord]], options: Verify
) -> VerificationRecord:
    reports: list[VerificationRecord] = []
    problems: list[Problem] = []
    for result in results:
        try:
            reports.append(result())
        except VerificationError as error:
            problems += error.problems
    loaders = tuple(loader for report in reports for loader in report.loaders)
    failures = tuple(failure for report in reports for failure in report.failures)
    problems += [_problem(failure, options) for failure in failures]
    if problems:
        raise VerificationError(list(dict.fromkeys(problems)))  # both may find the same
    joined = VerificationRecord(loaders, reports[0].examples, failures)
    schema.require("verification", plain(joined))
    return joined


def _problem(failure: Failure, options: Verify) -> Problem:
    key, number = failure.signature, failure.example
    if key is None or number is None:
        return Problem(
            ("verify", "loaders"), f"the {failure.loader} loader {failure.message}"
        )
    # Examples are either given in the config or generated; only given ones have a line there.
    message = f"{failure.loader} loader: {failure.message}"
    if options.examples.get(key):
        return Problem(("verify", "examples", key, number), message)
    return Problem(("signatures", key), f"example {number}, {message}")
