"""Makes a release in a stage: builds, saves, audits and seals it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smdecl import files, progress, schema
from smdecl.checks import portable_paths
from smdecl.checks.weights import named_files
from smdecl.config import trust
from smdecl.config.project import Project
from smdecl.config.settings import Composition, ExportConfig
from smdecl.errors import ContractError, ModelError, Problem, disk_errors
from smdecl.exporting.building import custom_ops
from smdecl.isolation.confine import Confinement
from smdecl.isolation.processes import Processes
from smdecl.isolation.reports import Answer, Report, ReportHandler
from smdecl.names import EXTRA
from smdecl.pipeline import export_warnings, worker
from smdecl.pipeline.children import children
from smdecl.pipeline.clock import Clock
from smdecl.pipeline.records import BUILT, SAVED, Made, Plan
from smdecl.printing import printable
from smdecl.release import git, manifest, seals
from smdecl.release.manifest_types import SourceEntry
from smdecl.release.seals import Identities, Seal
from smdecl.savedmodel.plain import plain


@dataclass(frozen=True)
class Unpublished:
    """A release in its stage.

    Attributes:
        directory: The directory of the SavedModel.
        made: What was saved in it.
        seal: Shows whether the directory has changed since.
        warnings: What could not be found out about it.
    """

    directory: Path
    made: Made
    seal: Seal
    warnings: tuple[Problem, ...] = ()

    @property
    def digest(self) -> str:
        """The sha256 over all files, as the manifest has it."""
        digest: str = self.seal.manifest["digest"]
        return digest


def make_release(
    config: ExportConfig,
    composition: Composition,
    project: Project,
    stage: Path,
    clock: Clock,
    processes: Processes = children,
    when_saved: Sequence[Callable[[Path], None]] = (),
    when_built: Callable[[int], None] | None = None,
) -> Unpublished:
    """Makes a release with its manifest in a directory below the stage; does not verify it.

    Args:
        config: The checked config.
        composition: The composition that it was checked from.
        project: The project whose code the config may name.
        stage: An empty directory.
        clock: Measures the stages.
        processes: The processes to build and save in.
        when_saved: Each is called with the directory when the model is saved in it, while its
            examples are still computed.
        when_built: Called when the object is built, with the peak memory of its process in bytes.
    """
    recorded = portable_paths.record(config, composition.recorded, project)
    with clock.stage("inputs"):
        inputs = named_files.inputs(config, recorded, project)
    saving = _Saving(stage, when_saved)
    reported = _reporting(clock.starting(), when_built)
    handler = ReportHandler(reported, {SAVED: saving.answer})
    made = _make(config, project, saving, handler, processes)
    clock.add(made.usage.seconds)
    digests = inputs.require_unchanged()
    with clock.stage("seal"), disk_errors(stage):
        directory = saving.finished()
        source, warnings = _source(project, made)
        sources = manifest.Sources(
            digests,
            made.modules,
            made.environment,
            made.custom_ops,
            source,
        )
        before = seals.snapshot(directory)
        with progress.counting(files.sizes(directory)):
            written = manifest.write(
                directory, recorded, made.saved.signatures, sources
            )
    seal = Seal(directory, written, before)
    return Unpublished(directory, made, seal, warnings)


def _reporting(
    stages: Callable[[Report], None], when_built: Callable[[int], None] | None
) -> Callable[[Report], None]:
    """Returns what passes on the reports of the process that makes a release."""

    def reported(report: Report) -> None:
        if report.stage != BUILT:
            stages(report)
        elif when_built is not None and report.done is not None:
            when_built(report.done)

    return reported


def _source(
    project: Project, made: Made
) -> tuple[SourceEntry | None, tuple[Problem, ...]]:
    """Returns the commit of a project, and a warning if git takes too long."""
    try:
        return git.source(project.root, made.modules), ()
    except git.TooSlowError:
        message = (
            f"git did not answer within {git.MOST_SECONDS:g} seconds, so the manifest has no"
            f" source commit; expected git status in {str(project.root)!r} to end earlier"
        )
        return None, (Problem((), message),)


@dataclass
class _Saving:
    """The directory that a model is saved into, and moves to when it is saved.

    A server loads a release from a different path than that; so does verification.

    Attributes:
        stage: The directory around it.
        when_saved: Each is called with `moved`; see `make_release`.
        into: Where the model is saved.
        moved: Where it is afterwards.
        saved: The identities of its files at that time; None before.
    """

    stage: Path
    when_saved: Sequence[Callable[[Path], None]]
    into: Path = field(init=False)
    moved: Path = field(init=False)
    saved: Identities | None = None

    def __post_init__(self) -> None:
        self.into = self.stage / "made"
        self.moved = self.stage / "moved"
        with disk_errors(self.stage):
            self.into.mkdir()

    def answer(self) -> Answer:
        """Moves the saved model and answers with its new place."""
        with disk_errors(self.stage):
            self._move()
        return Answer(str(self.moved), self._begin)

    def _move(self) -> None:
        _require_plain_files(self.into)
        self.into.rename(self.moved)
        self.saved = seals.identities(self.moved)

    def _begin(self) -> None:
        for begin in self.when_saved:
            begin(self.moved)

    def finished(self) -> Path:
        """Returns the directory of the release, after the process that made it has ended.

        Raises:
            ModelError: If the model's code changed what was saved, or put links and the like
                beside it.
        """
        if self.saved is None:
            self._move()
        _require_plain_files(self.moved)
        problems = []
        for name in seals.changed(self.moved, self.saved or {}, EXTRA):
            message = (
                f"the model's code changed {printable(name)!r}"
                " in the release after the model was saved"
            )
            problems.append(Problem(("model",), message))
        if problems:
            raise ModelError(problems)
        return self.moved


def _make(
    config: ExportConfig,
    project: Project,
    saving: _Saving,
    handler: ReportHandler,
    processes: Processes,
) -> Made:
    providers: dict[str, str] = {}
    if project.custom_ops:
        # In a separate process: TensorFlow gives the ops of a library only to the code that loads
        # it first.
        providers = children.run(
            custom_ops.load,
            project,
            failure=ModelError,
            doing="loading the project's custom_ops",
        )
    made = processes.run(
        worker.make,
        config,
        project,
        saving.into,
        providers,
        failure=ModelError,
        doing=f"building and saving {config.model['_target_']}",
        confinement=confinement(config, project, saving.into),
        handler=handler,
    )
    require_schemas(made.plan)
    schema.require("saved_model", plain(made.saved))
    _require_audit(config, made)
    return made


def _require_audit(config: ExportConfig, made: Made) -> None:
    problems = []
    for finding in made.saved.findings:
        if export_warnings.level(config, finding) == "error":
            problems.append(Problem(("audit", finding.rule), str(finding)))
    if problems:
        raise ContractError(problems)


def require_schemas(planned: Plan) -> None:
    """Checks the records of a plan against their schemas."""
    schema.require("object", plain(planned.obj))
    schema.require("variables", plain(planned.variables))
    schema.require("signatures", plain(planned.signatures))


def confinement(
    config: ExportConfig, project: Project, *writes: Path
) -> Confinement | None:
    """Returns what the process that builds a config may touch; None for no limit.

    Code of TensorFlow and Keras is always confined, code of the project if it asks for that.

    Args:
        config: The config to build.
        project: The project whose code the config may name.
        writes: Directories that the process may write to.
    """
    has_only_frameworks = _has_only_frameworks(config)
    if not has_only_frameworks and not project.confine:
        return None
    reads = list(named_files.named(config))
    extension = ""
    declared: frozenset[str] = frozenset()
    if not has_only_frameworks:
        extension = (
            "a project names more files to read by reads under [tool.smdecl]"
            " in its pyproject.toml"
        )
        reads += project.reads
        if project.is_project:
            reads.append(project.root)
        declared = project.environment
    lists = {file.parent for file in named_files.of_weights(config.weights)}
    return Confinement(tuple(reads), writes, tuple(lists), extension, declared)


def _has_only_frameworks(config: ExportConfig) -> bool:
    parts = {
        "model": config.model,
        "strategy": config.devices.strategy,
        "options": config.options,
    }
    return not any(
        trust.is_users(target) for _, target, _ in trust.targets(parts)
    )


def _require_plain_files(directory: Path) -> None:
    """Refuses files of the model's code beside the SavedModel that a reader would follow elsewhere.

    Raises:
        ModelError: With every such file.
    """
    problems = [*_unstored(directory), *_not_plain(directory)]
    if problems:
        raise ModelError(problems)


def _unstored(directory: Path) -> Iterator[Problem]:
    try:
        found = files.walk(directory)
        files.require_stored(
            directory / name for name, entry in found if entry.is_file()
        )
    except OSError as error:
        name = os.path.relpath(error.filename, directory)
        yield _put(name, f": {error.strerror}")


def _not_plain(directory: Path) -> Iterator[Problem]:
    for name, entry in files.walk(directory):
        if name in manifest.UNLISTED or not _is_plain(entry):
            yield _put(name, "; expected plain files of a model")


def _is_plain(entry: os.DirEntry[str]) -> bool:
    """Returns whether a directory entry is a directory, or a file with no other name."""
    if entry.is_dir(follow_symlinks=False):
        return True
    if not entry.is_file(follow_symlinks=False):
        return False
    return entry.stat(follow_symlinks=False).st_nlink == 1


def _put(name: str, more: str) -> Problem:
    message = f"the model's code put {printable(name)!r} into the release"
    return Problem(("model",), f"{message}{more}")
