"""Runs the loaders of a verification, each in a separate process and all at the same time.

If too few cores are idle, as in a sweep, one process runs them in turn, which costs less CPU.

Loaders can begin as soon as a model is saved. Then they load it while its examples are still
computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from smdecl import files, progress, schema
from smdecl.config.project import Project
from smdecl.config.settings import Signature, Verify
from smdecl.errors import Problem, VerificationError
from smdecl.exporting.building import custom_ops
from smdecl.isolation import memory
from smdecl.isolation.confine import Confinement
from smdecl.isolation.processes import Running
from smdecl.isolation.reports import Report, ReportHandler
from smdecl.pipeline import worker
from smdecl.pipeline.children import children
from smdecl.pipeline.records import Replayed
from smdecl.pipeline.shared_loaders import Share
from smdecl.progress import Peak
from smdecl.savedmodel.plain import plain
from smdecl.verification.records import Failure, VerificationRecord

# A loader needs less than twice the bytes of the variables, and TensorFlow's own.
_SIZES_EACH = 2
_BYTES_EACH = 1 << 29
# Of the variables, in bytes; loading more takes longer than starting a process.
_LARGEST_SHARED = 1 << 24


@dataclass(frozen=True)
class Replay:
    """What the loaders of a verification found.

    Attributes:
        report: The record of all loaders.
        peak: The memory of the largest of their processes.
    """

    report: VerificationRecord
    peak: Peak


def _ignore() -> None:
    """Does nothing."""


def run(
    directory: Path,
    signatures: Mapping[str, Signature],
    options: Verify,
    project: Project,
    begun: Callable[[], None],
) -> Replay:
    """Loads a SavedModel with every loader in the options, and runs its examples.

    Args:
        directory: The directory of the SavedModel, with its examples.
        signatures: The signatures as they are declared.
        options: The loaders to run, and the tolerances.
        project: The project whose custom ops are loaded first.
        begun: Called when a loader has begun, and again when it reports.

    Raises:
        VerificationError: With every example that fails or differs, and every process that dies.
        SmdeclError: If a process raises a different error, such as one of the custom ops.
    """
    with loading(signatures, options, project, begun) as loaders:
        return loaders.finish(directory)


@contextmanager
def loading(
    signatures: Mapping[str, Signature],
    options: Verify,
    project: Project,
    begun: Callable[[], None] = _ignore,
    share: Share | None = None,
) -> Iterator[Loaders]:
    """Yields loaders that have not begun; leaving the block kills those that run.

    Args:
        signatures: The signatures as they are declared.
        options: The loaders to run, and the tolerances.
        project: The project whose custom ops are loaded first.
        begun: Called when a loader has begun, and again when it reports.
        share: The processes that the variants of a sweep share; None outside of a sweep.
    """
    with ExitStack() as processes:
        yield Loaders(signatures, options, project, begun, share, processes)


class Loaders:
    """The loaders of one SavedModel. Use `loading`."""

    def __init__(
        self,
        signatures: Mapping[str, Signature],
        options: Verify,
        project: Project,
        begun: Callable[[], None],
        share: Share | None,
        processes: ExitStack,
    ) -> None:
        self._signatures = signatures
        self._options = options
        self._project = project
        self._begun = begun
        self._share = share
        self._processes = processes
        self._running: list[Running[Replayed]] = []
        self._done: dict[int, int] = {}

    def begin_early(self, directory: Path) -> None:
        """Begins if that leaves cores and memory to the process that computes examples.

        A process that variants share starts, but loads the SavedModel only when it is complete.

        Args:
            directory: The directory of the SavedModel, whose examples are still missing.
        """
        loaders = len(self._options.loaders)
        needed = loaders * (_BYTES_EACH + _SIZES_EACH * _size(directory))
        if children.idle_cores() <= 0 or memory.available() <= needed:
            return
        share = self._share_for(directory)
        if share is None:
            # The process that computes the examples ends soon.
            self._begin(directory, children.idle_cores() + 1)
        else:
            share.begin(directory)

    def finish(self, directory: Path) -> Replay:
        """Runs the examples of the SavedModel, and returns what is found; see `run`."""
        if not self._running:
            replayed = self._shared(directory)
            if replayed is not None:
                return _replay([replayed])
            self._begin(directory, children.idle_cores())
        for running in self._running:
            running.send("the examples are there")
        return _joined(self._running, self._options)

    def _shared(self, directory: Path) -> Replayed | None:
        """Verifies in a process that other SavedModels share; None if that cannot be."""
        share = self._share_for(directory)
        if share is None:
            return None
        return share.verify(directory, self._signatures, self._options)

    def _share_for(self, directory: Path) -> Share | None:
        """Returns the processes that variants share, if a SavedModel may be verified by them."""
        has_custom_ops = any(True for _ in custom_ops.places(self._project))
        if has_custom_ops or _size(directory) > _LARGEST_SHARED:
            return None
        return self._share

    def _begin(self, directory: Path, cores: int) -> None:
        places = tuple(custom_ops.places(self._project))
        confinement = Confinement((directory, *places))
        for loaders in _divided(self._options.loaders, cores):
            process = children.running(
                worker.verify,
                directory,
                self._signatures,
                replace(self._options, loaders=loaders),
                self._project,
                failure=VerificationError,
                doing=f"loading and running the export with {_named(loaders)}",
                confinement=confinement,
                handler=ReportHandler(self._counting(loaders)),
                # TensorFlow starts none, but the code of a custom op can.
                starts_processes=bool(places),
            )
            self._running.append(self._processes.enter_context(process))

    def _counting(self, loaders: Sequence[str]) -> Callable[[Report], None]:
        """Returns what adds the examples of one process to those of the others."""
        number = len(self._running)

        def reported(report: Report) -> None:
            self._begun()
            if report.done is None or report.total is None:
                return
            self._done[number] = report.done
            of_each = report.total // len(loaders)
            total = of_each * len(self._options.loaders)
            progress.reached("verify", sum(self._done.values()), total)

        return reported


def _size(directory: Path) -> int:
    found = files.walk(directory)
    sizes = [entry.stat(follow_symlinks=False).st_size for _, entry in found]
    return sum(sizes)


def _divided(loaders: tuple[str, ...], cores: int) -> list[tuple[str, ...]]:
    """Returns the loaders of each process."""
    if cores < len(loaders):
        return [loaders]
    return [(loader,) for loader in loaders]


def _named(loaders: tuple[str, ...]) -> str:
    noun = "loader" if len(loaders) == 1 else "loaders"
    return f"the {' and '.join(loaders)} {noun}"


def _joined(processes: Iterable[Running[Replayed]], options: Verify) -> Replay:
    """Waits for all processes and joins their records."""
    found: list[Replayed] = []
    problems: list[Problem] = []
    for running in processes:
        try:
            replayed = running.result()
        except VerificationError as error:
            problems += error.problems
            continue
        found.append(replayed)
    for replayed in found:
        for failure in replayed.report.failures:
            problems.append(_problem(failure, options))
    if problems:
        # Two loaders may find the same problem.
        raise VerificationError(list(dict.fromkeys(problems)))
    return _replay(found)


def _replay(found: Iterable[Replayed]) -> Replay:
    """Joins what processes found that all succeeded."""
    loaders: list[str] = []
    examples: dict[str, int] = {}
    peaks: list[Peak] = []
    for replayed in found:
        report = replayed.report
        process = f"verify ({', '.join(report.loaders)})"
        peaks.append(Peak(replayed.peak_memory, process))
        loaders += report.loaders
        examples = report.examples  # the same for every loader
    joined = VerificationRecord(tuple(loaders), examples, ())
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
