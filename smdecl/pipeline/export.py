"""The stages, end to end: compose → check → build → trace → save → inspect → verify → publish."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from smdecl.checks import check
from smdecl.checks.targets import demo_model
from smdecl.config.project import Project
from smdecl.config.settings import Composition, ExportConfig
from smdecl.errors import (
    ModelError,
    Problem,
    PublishError,
    SmdeclError,
)
from smdecl.isolation.reports import ReportHandler
from smdecl.pipeline import (
    destinations,
    export_warnings,
    guarantees,
    loader_processes,
    making,
    publishing,
    sweep_jobs,
    unchanged,
    weights_comparison,
    worker,
)
from smdecl.pipeline.children import children
from smdecl.pipeline.clock import Clock
from smdecl.pipeline.loader_processes import Replay
from smdecl.pipeline.making import Unpublished
from smdecl.pipeline.publishing import Review
from smdecl.pipeline.records import Plan
from smdecl.pipeline.shared_loaders import SharedLoaders
from smdecl.progress import Peak
from smdecl.release import early_sync, models_config, run_record
from smdecl.release.early_sync import EarlySync
from smdecl.release.publisher import Published, Publisher
from smdecl.savedmodel.records import SignatureRecord
from smdecl.verification.records import VerificationRecord


@dataclass(frozen=True)
class Release:
    """A published release.

    Attributes:
        path: The directory of the SavedModel; a URL if the base path is one.
        version: Its version; None if the base path itself is the SavedModel.
        digest: The sha256 over all its files, as the manifest has it.
        signatures: The signatures that were saved.
        warnings: What the config permits: findings of the audit, variables that the weights have no
            value for, signatures without an example.
        peak_memory: The memory of the largest process of the export, in bytes.
        is_new: Whether the export has published it; False if `publish.unchanged` is `skip` and the
            same release was there.
    """

    path: Path | str
    version: int | None
    digest: str
    signatures: dict[str, SignatureRecord]
    warnings: tuple[Problem, ...]
    peak_memory: int
    is_new: bool = True


def plan(composition: Composition, project: Project) -> Plan:
    """Runs the stages through trace; writes nothing."""
    with located(composition):
        clock = Clock(composition.seconds)
        with clock.stage("check"):
            config = check.check(composition, project)
        planned, seconds = children.run(
            worker.plan,
            config,
            project,
            failure=ModelError,
            doing=f"building and tracing {config.model['_target_']}",
            confinement=making.confinement(config, project),
            handler=ReportHandler(clock.starting()),
        )
        clock.add(seconds)
        making.require_schemas(planned)
        clock.finish()
        found = _located(planned.warnings, composition)
        warnings = (*check.located_warnings(config, composition), *found)
        return replace(planned, warnings=warnings)


def export(
    composition: Composition,
    project: Project,
    subdirectory: str = "",
    review: Review = unchanged.as_configured,
    shared: SharedLoaders | None = None,
) -> Release:
    """Runs all stages and publishes the release.

    Args:
        composition: The config, from `compose.compose`.
        project: The project whose code the config may name.
        subdirectory: A directory below the config's export_dir; a sweep has one for each variant.
        review: Sees the verified release, and may return the published one that it equals; by
            default if `publish.unchanged` asks for it.
        shared: The processes that verify the variants of a sweep; None if each export has its own.

    Raises:
        SmdeclError: Its class tells which stage failed. Nothing is left behind, except if a
            models.config or a run record cannot be written: then the release is published, and the
            error says so.
    """
    with located(composition):
        clock = Clock(composition.seconds)
        with clock.stage("check"):
            config = check.check(composition, project)
            publisher = destinations.publisher(config, subdirectory)
            destinations.refuse_early(config, publisher)
        with (
            publisher.stage() as stage,
            destinations.explaining_removal(stage),
            early_sync.syncing(publisher.base) as syncing,
        ):
            unpublished, replay = _verified(
                config, composition, project, stage, clock, syncing, shared
            )
            peak = _peak(unpublished, replay)
            sweep_jobs.measured(peak.memory)
            found = _warnings(config, unpublished, replay.report)
            warnings = _located(
                [*demo_model.warnings(composition), *found], composition
            )
            published, damage = publishing.publish(
                unpublished, config, publisher, review, stage, clock, syncing
            )
            warnings += _located(damage, composition)
        _add_to_models_config(config, published, publisher, subdirectory)
        clock.finish(peak)
        _add_run_record(config, published, unpublished, clock.seconds, peak)
        return Release(
            published.path,
            published.version,
            unpublished.digest,
            unpublished.made.saved.signatures,
            warnings,
            peak.memory,
            published.is_new,
        )


def _verified(
    config: ExportConfig,
    composition: Composition,
    project: Project,
    stage: Path,
    clock: Clock,
    syncing: EarlySync,
    shared: SharedLoaders | None,
) -> tuple[Unpublished, Replay]:
    """Makes a release and verifies it, and begins to write it to disk.

    Its loaders may begin while it is made; then `verify` has the rest of their seconds.
    """
    share = None
    if shared is not None:
        share = shared.share(Path(config.export_dir))
    loading = loader_processes.loading(
        config.signatures, config.verify, project, share=share
    )
    with loading as loaders:
        unpublished = making.make_release(
            config,
            composition,
            project,
            stage,
            clock,
            when_saved=(syncing.begin, loaders.begin_early),
            when_built=sweep_jobs.built,
        )
        with _with_warnings(config, unpublished, composition):
            with clock.stage("verify"):
                replay = loaders.finish(unpublished.directory)
                unpublished, replay = weights_comparison.compare(
                    config, unpublished, replay, project
                )
            if config.publish.reproducible:
                with clock.stage("reproduce"):
                    guarantees.require_reproducible(
                        unpublished, config, composition, project, stage
                    )
    return unpublished, replay


def _peak(unpublished: Unpublished, replay: Replay) -> Peak:
    """Returns the memory of the largest process; each may claim any number."""
    builder = Peak(unpublished.made.usage.peak_memory, "build")
    peak = max(builder, replay.peak, key=lambda peak: peak.memory)
    return replace(peak, memory=max(0, min(peak.memory, sys.maxsize)))


@contextmanager
def located(composition: Composition) -> Iterator[None]:
    """Adds to the problems of any error their file and line, or override."""
    try:
        yield
    except SmdeclError as error:
        raise composition.masked(error) from error.__cause__


def _located(
    problems: Iterable[Problem], composition: Composition
) -> tuple[Problem, ...]:
    return tuple(
        problem.at(composition.locate(problem.path)) for problem in problems
    )


@contextmanager
def _with_warnings(
    config: ExportConfig, unpublished: Unpublished, composition: Composition
) -> Iterator[None]:
    """Adds the warnings to an error, because they may name its cause, such as random ops."""
    try:
        yield
    except SmdeclError as error:
        warnings = export_warnings.of_making(config, unpublished.made)
        error.warnings = _located(warnings, composition)
        raise


def _warnings(
    config: ExportConfig, unpublished: Unpublished, report: VerificationRecord
) -> Iterator[Problem]:
    yield from unpublished.warnings
    yield from export_warnings.of_making(config, unpublished.made)
    yield from export_warnings.of_verifying(unpublished.made, report)


def _add_to_models_config(
    config: ExportConfig,
    published: Published,
    publisher: Publisher,
    subdirectory: str,
) -> None:
    file = config.publish.models_config
    if file is None:
        return
    name = destinations.served_name(config, subdirectory)
    with _after_publishing(published.path, "models_config", file):
        models_config.add(Path(file), name, publisher.base)


def _add_run_record(
    config: ExportConfig,
    published: Published,
    unpublished: Unpublished,
    seconds: dict[str, float],
    peak: Peak,
) -> None:
    file = config.publish.run_record
    if file is None or not published.is_new:
        return
    release = {
        "name": config.name,
        "release": str(published.path),
        "version": published.version,
        "digest": unpublished.digest,
    }
    with _after_publishing(published.path, "run_record", file):
        run_record.append(Path(file), release, seconds, peak)


@contextmanager
def _after_publishing(path: Path | str, key: str, file: str) -> Iterator[None]:
    """Adds to any error that the release is published."""
    try:
        yield
    except OSError as error:
        message = f"{path} is published, but {error.filename or file}: {error.strerror}"
        raise PublishError(Problem(("publish", key), message)) from error
    except PublishError as error:
        problems = []
        for problem in error.problems:
            message = f"{path} is published, but {problem.message}"
            problems.append(Problem(problem.path, message))
        raise PublishError(problems) from error
