"""The line of stages, end to end: compose → check → build → trace → save → inspect → verify → publish."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from smdecl import files, schema
from smdecl.checks import check, named_files, portable_paths, sign_key, signature_rules
from smdecl.config import trust
from smdecl.config.parsing import parse_signature, parse_verify
from smdecl.config.project import Project, find_project
from smdecl.config.settings import (
    Composition,
    ExportConfig,
    Publish,
)
from smdecl.errors import (
    ContractError,
    ModelError,
    Problem,
    PublishError,
    SmdeclError,
    VerificationError,
    disk_errors,
)
from smdecl.exporting import custom_ops
from smdecl.isolation.confine import Confinement
from smdecl.isolation.processes import Processes
from smdecl.pipeline import loader_processes, worker
from smdecl.pipeline.children import children
from smdecl.pipeline.worker import Made, Plan
from smdecl.printing import printable
from smdecl.release import (
    comparison,
    manifest,
    models_config,
    publish_local,
    publish_remote,
    run_record,
    seals,
    signing,
)
from smdecl.release.manifest_types import Manifest
from smdecl.release.publisher import Newest, Publisher
from smdecl.release.seals import Seal
from smdecl.savedmodel.plain import plain
from smdecl.savedmodel.records import Finding, SignatureRecord
from smdecl.verification.records import VerificationRecord


@dataclass(frozen=True)
class Release:
    """What an export published.

    Attributes:
        path: The directory of the SavedModel; a URL where the base path is one.
        version: Its version; None where the base path itself is the SavedModel.
        digest: sha256 over all its files, as the manifest has it.
        signatures: As they were saved.
        warnings: What the config lets pass: findings of the audit, variables that weights had nothing for, signatures
            that no example was run for.
    """

    path: Path | str
    version: int | None
    digest: str
    signatures: dict[str, SignatureRecord]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True)
class Unpublished:
    """A release in its stage: its directory, what was saved in it, and what tells that it has not changed since."""

    directory: Path
    made: Made
    seal: Seal


def plan(composition: Composition, project: Project) -> Plan:
    """Runs the line through trace; writes nothing."""
    with located(composition):
        config = check.check(composition, project)
        planned = children.run(
            worker.plan, config, project, failure=ModelError, doing="building and tracing",
            confinement=_confinement(config, project),
        )  # fmt: skip
        _require_schemas(planned)
        warnings = tuple(
            problem.at(composition.locate(problem.path)) for problem in planned.warnings
        )
        return replace(planned, warnings=warnings)


def export(
    composition: Composition, project: Project, subdirectory: str = ""
) -> Release:
    """Runs the whole line and returns what was published.

    Args:
        composition: From `composing.compose`.
        project: Whose code the config may name.
        subdirectory: Below the config's export_dir; a sweep gives each variant one of its own.

    Raises:
        SmdeclError: Of the type that says which stage failed; nothing is left behind then, but for what fails when the
            release is published: a models.config or a run record that cannot be written. The error says so.
    """
    with located(composition):
        started = time.perf_counter()
        config = check.check(composition, project)
        options = config.publish
        _require_ours(options)
        publisher = _publisher(config, subdirectory)
        publisher.refuse_early()
        with publisher.stage() as stage:
            unpublished = make_release(config, composition, project, stage)
            directory, made, seal = (
                unpublished.directory,
                unpublished.made,
                unpublished.seal,
            )
            verifying = time.perf_counter()
            with _warned(config, made, composition):
                report = loader_processes.run(
                    directory, config.signatures, config.verify, project
                )
                seconds = {
                    **made.usage.seconds,
                    "verify": time.perf_counter() - verifying,
                }
                if options.reproducible:
                    _require_reproducible(
                        directory, config, composition, project, stage
                    )
            if options.compatible:
                _require_compatible(made, publisher.newest(stage))
            digest = seal.manifest["digest"]
            if options.sign is not None:
                seal.require()
                with disk_errors(stage):
                    manifest.attest(directory, seal.manifest)
                    signing.sign(directory, Path(options.sign))
            path, version = publisher.publish(directory, seal.require)
        if options.models_config is not None:
            with _published(path, "models_config", options.models_config):
                # The variants of a sweep often have one name, and none is to take the place of another.
                name = f"{config.name}-{subdirectory}" if subdirectory else config.name
                models_config.add(Path(options.models_config), name, publisher.base)
        if options.run_record is not None:
            published = {
                "name": config.name,
                "release": str(path),
                "version": version,
                "digest": digest,
            }
            seconds["total"] = time.perf_counter() - started
            with _published(path, "run_record", options.run_record):
                run_record.append(
                    Path(options.run_record), published, seconds, made.usage.peak_memory
                )
        warnings = [*_of_making(config, made), *_of_verifying(made, report)]
        told = tuple(
            problem.at(composition.locate(problem.path)) for problem in warnings
        )
        return Release(path, version, digest, made.saved.signatures, told)


def _publisher(config: ExportConfig, subdirectory: str) -> Publisher:
    if publish_remote.is_remote(config.export_dir):
        base = publish_remote.below(config.export_dir, subdirectory)
        return publish_remote.RemotePublisher(base, config.publish)
    return publish_local.LocalPublisher(
        Path(config.export_dir, subdirectory), config.publish
    )


def _require_ours(options: Publish) -> None:
    """Keeps files that somebody else has written from being added to, before anything is built."""
    if options.models_config is not None:
        models_config.require_valid(Path(options.models_config))
    if options.run_record is not None:
        run_record.require_ours(Path(options.run_record))


@contextmanager
def _warned(
    config: ExportConfig, made: Made, composition: Composition
) -> Iterator[None]:
    """Adds to an error what the config lets pass, which may be its cause: random ops, weights that lack a value."""
    try:
        yield
    except SmdeclError as error:
        error.warnings = tuple(
            problem.at(composition.locate(problem.path))
            for problem in _of_making(config, made)
        )
        raise


@contextmanager
def _published(path: Path | str, key: str, file: str) -> Iterator[None]:
    """Says of what fails from here on that the release stands all the same."""
    try:
        yield
    except OSError as error:
        message = f"{path} is published, but {error.filename or file}: {error.strerror}"
        raise PublishError(Problem(("publish", key), message)) from error
    except PublishError as error:
        problems = [
            Problem(one.path, f"{path} is published, but {one.message}")
            for one in error.problems
        ]
        raise PublishError(problems) from error


def make_release(
    config: ExportConfig,
    composition: Composition,
    project: Project,
    stage: Path,
    processes: Processes = children,
) -> Unpublished:
    """Makes a release, its manifest with it, in a directory below the stage; it is not verified yet."""
    recorded = portable_paths.record(config, composition.recorded, project)
    inputs = named_files.inputs(config, recorded, project)
    with disk_errors(stage):
        (stage / "made").mkdir()
    made = _make(config, project, stage / "made", processes)
    with disk_errors(stage):
        _require_plain_files(stage / "made")
        directory = (stage / "made").rename(
            stage / "moved"
        )  # a server's place is another one too
        sources = manifest.Sources(
            inputs, made.modules, made.environment, made.custom_ops
        )
        before = seals.snapshot(directory)
        written = manifest.write(
            directory, recorded, made.saved.signatures, sources, project.root
        )
    return Unpublished(directory, made, Seal(directory, written, before))


def _require_plain_files(directory: Path) -> None:
    """Refuses what the model's code has put beside the SavedModel that would lead elsewhere when it is read."""
    problems = []
    try:
        found = files.walk(directory)
        files.require_stored(
            directory / name for name, entry in found if entry.is_file()
        )
    except OSError as error:
        name = os.path.relpath(error.filename, directory)
        message = f"the model's code has put {printable(name)!r} into the release: {error.strerror}"
        problems.append(Problem(("model",), message))
    for name, entry in files.walk(directory):
        is_directory = entry.is_dir(follow_symlinks=False)
        is_file = (
            entry.is_file(follow_symlinks=False)
            and entry.stat(follow_symlinks=False).st_nlink == 1
        )
        if name in manifest.UNLISTED or not (is_directory or is_file):
            message = f"the model's code has put {printable(name)!r} into the release; expected plain files of a model"
            problems.append(Problem(("model",), message))
    if problems:
        raise ModelError(problems)


def _require_reproducible(
    directory: Path,
    config: ExportConfig,
    composition: Composition,
    project: Project,
    stage: Path,
) -> None:
    with disk_errors(stage):
        (stage / "again").mkdir()
    with children.apart() as processes:
        again = make_release(config, composition, project, stage / "again", processes)
    if again.seal.manifest["digest"] != manifest.read(directory)["digest"]:
        from smdecl.release import diffing

        changes = diffing.diff(directory, again.directory).changes
        raise ContractError(
            [
                Problem(_REPRODUCIBLE, f"a second export is another one: {change}")
                for change in changes
            ]
        )


def _require_compatible(made: Made, newest: Newest | None) -> None:
    if newest is None:
        return
    from smdecl.savedmodel import compatibility, inspection
    from smdecl.savedmodel.records import BREAKING

    _, before = inspection.load(newest.directory)
    changes = compatibility.changes(before, made.saved)
    breaking = [str(change) for change in changes if change.verdict == BREAKING]
    if breaking:
        hint = "expected a change that its callers survive, or another name or export_dir for those who follow"
        raise ContractError(
            [
                Problem(
                    _COMPATIBLE, f"would break callers of {newest.name}: {text}; {hint}"
                )
                for text in breaking
            ]
        )


_REPRODUCIBLE, _COMPATIBLE = ("publish", "reproducible"), ("publish", "compatible")


@contextmanager
def located(composition: Composition) -> Iterator[None]:
    """Gives the problems of any error their file and line, or override."""
    try:
        yield
    except SmdeclError as error:
        raise composition.masked(error) from error.__cause__


def _make(
    config: ExportConfig, project: Project, directory: Path, processes: Processes
) -> Made:
    providers: dict[str, str] = {}
    if project.custom_ops:
        # Not where the model is built: TensorFlow gives the ops of a library only to the code that first loads it.
        doing = "loading the project's custom_ops"
        providers = children.run(
            custom_ops.load, project, failure=ModelError, doing=doing
        )
    made = processes.run(
        worker.make, config, project, directory, providers,
        failure=ModelError, doing="building and saving",
        confinement=_confinement(config, project, directory),
    )  # fmt: skip
    _require_schemas(made.plan)
    schema.require("saved_model", plain(made.saved))
    errors = [
        finding for finding in made.saved.findings if _level(config, finding) == "error"
    ]
    if errors:
        raise ContractError(
            [Problem(("audit", finding.rule), str(finding)) for finding in errors]
        )
    return made


def _confinement(
    config: ExportConfig, project: Project, *writes: Path
) -> Confinement | None:
    """Returns what the process that builds a config may touch; None where that is up to the project's own code."""
    parts = {
        "model": config.model,
        "strategy": config.devices.strategy,
        "options": config.options,
    }
    is_frameworks = all(
        trust.is_framework(target) for _, target, _ in trust.targets(parts)
    )
    if not is_frameworks and not project.confine:
        return None
    reads = [*named_files.named(config)]
    extension = ""
    if not is_frameworks:
        extension = "a project names more files to read by reads under [tool.smdecl] in its pyproject.toml"
        reads += [*project.reads, *((project.root,) if project.is_project else ())]
    declared = frozenset[str]() if is_frameworks else project.environment
    lists = {file.parent for file in named_files.of_weights(config.weights)}
    return Confinement(tuple(reads), writes, tuple(lists), extension, declared)


def _level(config: ExportConfig, finding: Finding) -> str:
    level = config.audit.levels[finding.rule]
    if level is None:
        # Where no signature is declared, what nobody can call is most likely what was to be exported.
        return "warn" if config.signatures else "error"
    # A project that declares what registers an op has decided that its servers load it.
    most = finding.most if finding.provider is None else "warn"
    return most if level == "error" and most is not None else level


def _of_making(config: ExportConfig, made: Made) -> Iterator[Problem]:
    """Yields what is to be warned of once a release is made, whatever becomes of it."""
    for finding in made.saved.findings:
        if _level(config, finding) == "warn":
            yield Problem(("audit", finding.rule), str(finding))
    for name in made.plan.obj.not_restored:
        yield Problem(
            ("weights", "path"),
            f"had no value for {name}, which keeps the one that it was built with",
        )
    yield from made.plan.warnings
    yield from signature_rules.misspelt_default(made.saved.signatures)
    yield from check.warnings(config)


def _of_verifying(made: Made, report: VerificationRecord) -> Iterator[Problem]:
    if not made.saved.signatures:
        callable_after = ", ".join(made.saved.functions) or "nothing"
        yield Problem(
            ("signatures",),
            "none was saved: TensorFlow's own search takes one only where exactly one function is traced;"
            f" tf.saved_model.load gives {callable_after}",
        )
    if "session" in report.loaders:
        message = "TensorFlow comes without its C API here; tf.compat.v1.saved_model.load ran in the place of cpp"
        yield Problem(("verify", "loaders"), message)
    for key in made.saved.signatures:
        if not report.examples.get(key):
            yield Problem(
                ("signatures", key),
                "was loaded, but no example was run; give one under verify.examples",
            )


def _require_schemas(planned: Plan) -> None:
    schema.require("object", plain(planned.obj))
    schema.require("signatures", plain(planned.signatures))


def verify(
    directory: Path,
    key: Path | None = None,
    project: Project | None = None,
    allow_ops: Collection[str] = (),
) -> tuple[Manifest, VerificationRecord]:
    """Compares a release with its manifest, loads it and runs its examples; returns the manifest and what was run.

    Args:
        directory: Of the release.
        key: Of the public key that it is to be signed by; None leaves a signature unchecked.
        project: Whose custom_ops are loaded; those in the manifest are only compared with them. By default that of the
            current directory.
        allow_ops: Ops that may reach into files, the network or Python though no signature was checked.

    Raises:
        UsageError: Where there is no release, or no public key.
        VerificationError: With every file that is missing, changed or added; with a signature that does not hold;
            with every op that reaches outside and may not; with the custom ops that the project does not declare;
            or with every example that differs.
    """
    if key is not None:
        sign_key.require_public_key(key)
    released = manifest.read(directory)
    if problems := list(comparison.compare(directory, released)):
        raise VerificationError(problems)
    if key is not None:
        signing.verify(directory, key)  # before anything of it is loaded
    else:
        _refuse_outside_ops(directory, allow_ops)
    return released, _replay(directory, released, project or find_project(Path.cwd()))


def _refuse_outside_ops(directory: Path, allowed: Collection[str]) -> None:
    """Refuses to run a graph of whoever made it where it reaches outside of itself."""
    from smdecl.savedmodel import (
        inspection,
        outside_ops,
    )  # they import NumPy, which an export does without here

    found = outside_ops.find(inspection.read(directory))
    refused = {op: place for op, place in found.items() if op not in allowed}
    hint = f"expected a signature to check by --key, or --allow-ops {','.join(refused)}"
    problems = []
    for op, place in refused.items():
        message = f"{directory}: {printable(place)}: {op} reaches into files, the network or Python; {hint}"
        problems.append(Problem((), message))
    if problems:
        raise VerificationError(problems)


def _replay(
    directory: Path, released: Manifest, project: Project
) -> VerificationRecord:
    values = {key: manifest.settings(released, key) for key in ("signatures", "verify")}
    # The checksum of a manifest is one that anybody can compute; and what was read from the environment is not in it.
    if unfit := [
        problem
        for problem in schema.problems("config", values)
        if {*problem.path[:1]} <= {*values}
    ]:
        told = f"{directory / manifest.FILE}: its config cannot be verified by"
        raise VerificationError(
            [Problem((), f"{told}: {problem}") for problem in unfit]
        )
    signatures = {
        key: parse_signature(value) for key, value in values["signatures"].items()
    }
    recorded = released.get("custom_ops", [])
    if undeclared := list(custom_ops.undeclared(recorded, project)):
        raise VerificationError(
            [_in_manifest(directory, problem) for problem in undeclared]
        )
    try:
        return loader_processes.run(
            directory, signatures, parse_verify(values["verify"]), project
        )
    except VerificationError as error:
        differing = [
            _in_manifest(directory, problem)
            for problem in custom_ops.differing(recorded, project)
        ]
        raise VerificationError([*error.problems, *differing]) from error


def _in_manifest(directory: Path, problem: Problem) -> Problem:
    return replace(problem, message=f"{directory / manifest.FILE}: {problem.message}")
