"""Runs the loaders of a verification, each in a separate process and all at the same time.

If too few cores are idle, as in a sweep, one process runs them in turn, which costs less CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from smdecl import schema
from smdecl.config.project import Project
from smdecl.config.settings import Signature, Verify
from smdecl.errors import Problem, VerificationError
from smdecl.exporting import custom_ops
from smdecl.isolation.confine import Confinement
from smdecl.pipeline import worker
from smdecl.pipeline.children import children
from smdecl.pipeline.records import Replayed
from smdecl.progress import Peak
from smdecl.savedmodel.plain import plain
from smdecl.verification.records import Failure, VerificationRecord


@dataclass(frozen=True)
class Replay:
    """What the loaders of a verification found.

    Attributes:
        report: The record of all loaders.
        peak: The memory of the largest of their processes.
    """

    report: VerificationRecord
    peak: Peak


def run(
    directory: Path,
    signatures: Mapping[str, Signature],
    options: Verify,
    project: Project,
) -> Replay:
    """Loads a SavedModel with every loader in the options, and runs its examples.

    Args:
        directory: The directory of the SavedModel, with its examples.
        signatures: The signatures as they are declared.
        options: The loaders to run, and the tolerances.
        project: The project whose custom ops are loaded first.

    Raises:
        VerificationError: With every example that fails or differs, and every process that dies.
        SmdeclError: If a process raises a different error, such as one of the custom ops.
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
            running = stack.enter_context(process)
            results.append(running.result)
        return _joined(results, options)


def _divided(loaders: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Returns the loaders of each process."""
    if children.idle_cores() < len(loaders):
        return [loaders]
    return [(loader,) for loader in loaders]


def _named(loaders: tuple[str, ...]) -> str:
    noun = "loader" if len(loaders) == 1 else "loaders"
    return f"the {' and '.join(loaders)} {noun}"


def _joined(
    results: Iterable[Callable[[], Replayed]], options: Verify
) -> Replay:
    """Waits for all processes and joins their records."""
    loaders: list[str] = []
    failures: list[Failure] = []
    examples: dict[str, int] = {}
    problems: list[Problem] = []
    peaks: list[Peak] = []
    for result in results:
        try:
            replayed = result()
        except VerificationError as error:
            problems += error.problems
            continue
        report = replayed.report
        process = f"verify ({', '.join(report.loaders)})"
        peaks.append(Peak(replayed.peak_memory, process))
        loaders += report.loaders
        failures += report.failures
        examples = report.examples  # the same for every loader
    problems += [_problem(failure, options) for failure in failures]
    if problems:
        # Two loaders may find the same problem.
        raise VerificationError(list(dict.fromkeys(problems)))
    joined = VerificationRecord(tuple(loaders), examples, tuple(failures))
    schema.require("verification", plain(joined))
    return Replay(joined, max(peaks, key=lambda peak: peak.memory))


def _problem(failure: Failure, options: Verify) -> Problem:
    key = failure.signature
    number = failure.example
    if key is None or number is None:
        message = f"the {failure.loader} loader {failure.message}"
        return Problem(("verify", "loaders"), message)
    message = f"{failure.loader} loader: {failure.message}"
    # An example of the config has a line there; a generated one has not.
    if options.examples.get(key):
        return Problem(("verify", "examples", key, number), message)
    return Problem(("signatures", key), f"example {number}, {message}")
