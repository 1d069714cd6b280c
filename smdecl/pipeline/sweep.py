"""Runs a sweep: exports every variant, several at a time; a failure does not stop the others."""

from __future__ import annotations

import contextvars
import functools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from smdecl import progress
from smdecl.config import compose, hydra_app, search_path, sharing
from smdecl.config.project import Project
from smdecl.config.settings import Composition
from smdecl.config.sharing import Shared
from smdecl.errors import ConfigError, Problem, SmdeclError
from smdecl.isolation import groups
from smdecl.isolation.groups import Group
from smdecl.pipeline import (
    checking,
    export,
    launch,
    sweep_overrides,
    sweep_places,
    variants,
)
from smdecl.pipeline.announcing import Announcing
from smdecl.pipeline.children import children
from smdecl.pipeline.export import Release
from smdecl.pipeline.sweep_jobs import Jobs
from smdecl.pipeline.sweep_places import Places
from smdecl.pipeline.sweep_summary import Summary
from smdecl.pipeline.variants import Announce, Make, Note, Request, Variant
from smdecl.progress import Run

_HYDRAS_OWN = "hydra._internal.core_plugins."
_Run: TypeAlias = Callable[[Summary], None]


def sweep(
    request: Request,
    project: Project,
    announce: Announce = variants.keep,
    note: Note = variants.ignore,
) -> tuple[Path, list[Variant]]:
    """Runs every variant, and writes the records of the sweep.

    Args:
        request: The sweep to run.
        project: The project whose code the config may name.
        announce: Prints the outcome of a variant: each failure at once, the releases in order. By
            default nothing is printed.
        note: Prints a remark about the whole sweep; by default nothing is printed.

    Returns:
        The directory of the records, and the outcome of each variant.

    Raises:
        ConfigError: If the overrides make no sweep.
        PublishError: If the records cannot be written.
    """
    search_path.use(request.config_dir)
    with sharing.sharing(Shared()):
        directory, swept, run = _prepare(request, project, announce, note)
    summary = Summary(directory, swept)
    # First, because a sweep whose outcome cannot be recorded must export nothing.
    summary.write()
    try:
        run(summary)
    except BaseException:  # such as an interrupt
        summary.write()
        note(
            "ended before all variants were done:"
            f" {summary.counts()}; {summary.file} lists them"
        )
        raise
    summary.write()
    return directory, summary.outcomes


def _prepare(
    request: Request, project: Project, announce: Announce, note: Note
) -> tuple[Path, list[list[str]], _Run]:
    """Composes every variant.

    Returns:
        The directory of the records, the overrides of each variant, and a function that runs the
        variants and adds their outcomes to the summary.

    Raises:
        ConfigError: If the overrides make no sweep.
    """
    swept = sweep_overrides.expand(request.overrides)
    places = Places(project, request.overrides)
    directory, hydra, settings = _place(swept, request, project, places)
    if _is_plain(settings):
        in_threads = _Sweep(directory, hydra, request, project, announce, note)
        prepared = in_threads.prepare(swept, places)
        run = functools.partial(in_threads.run, swept, prepared)
        return directory, swept, run
    plan = launch.prepare(swept, directory, hydra, request, project, places)
    run = functools.partial(launch.launch, plan, project, announce)
    return directory, swept, run


def _place(
    swept: Sequence[Sequence[str]],
    request: Request,
    project: Project,
    places: Places,
) -> tuple[Path, list[str], Mapping[str, Any]]:
    """Checks Hydra's settings and the directory of a sweep.

    Returns:
        The directory, the overrides of Hydra's own settings for every variant, and these settings.

    Raises:
        ConfigError: If the settings would run code, or the directory is outside the project.
    """
    hydra = sweep_overrides.hydra_overrides(request.overrides)
    first_variant = [*swept[0], *hydra]
    of_variant, of_hydra = hydra_app.refuse_settings(
        [first_variant, hydra], request.config_name, project
    )
    settings = of_variant or of_hydra  # the first variant may fail to compose
    directory = compose.sweep_dir(
        first_variant, config_name=request.config_name
    )
    places.require_dir(directory)
    hydra += sweep_overrides.without_shared(request.overrides, settings)
    hydra.append(sweep_places.override(sweep_places.DIR, str(directory)))
    return directory, hydra, settings


@dataclass(frozen=True)
class CheckedVariant:
    """The outcome of the check of a variant.

    Attributes:
        overrides: Its overrides.
        warnings: What may be wrong with it.
        error: What is wrong with it; None if it passed.
    """

    overrides: tuple[str, ...]
    warnings: tuple[Problem, ...] = ()
    error: SmdeclError | None = None


def check(request: Request, project: Project) -> Iterator[CheckedVariant]:
    """Checks every variant in turn, and where the sweep would write.

    Raises:
        ConfigError: If the overrides make no sweep, or if an export would refuse its directory.
    """
    search_path.use(request.config_dir)
    swept = sweep_overrides.expand(request.overrides)
    places = Places(project, request.overrides)
    cache = _new_cache()
    work = Shared()
    progress.planned(swept)
    with sharing.sharing(work):
        directory, hydra, _ = _place(swept, request, project, places)
    for number, overrides in enumerate(swept):
        job = compose.Job(number, cache)
        with progress.variant(Run(number, tuple(overrides))):
            try:
                with sharing.sharing(work):
                    composition = _compose([*overrides, *hydra], request, job)
                places.require_variant(directory, composition.hydra)
                output = Path(composition.hydra["runtime"]["output_dir"])
                places.take(output, overrides)
                name = _subdirectory(composition)
                checked = checking.check(composition, project, name)
                found = CheckedVariant(tuple(overrides), checked.warnings)
            except SmdeclError as error:
                found = CheckedVariant(tuple(overrides), error=error)
            progress.ended(has_failed=found.error is not None)
        yield found


def _compose(
    overrides: Sequence[str], request: Request, job: compose.Job
) -> Composition:
    return compose.compose(
        overrides,
        directories=request.config_dir,
        config_name=request.config_name,
        job=job,
    )


def _subdirectory(composition: Composition) -> str:
    """Returns the directory of a variant below its export_dir."""
    name = composition.hydra["job"]["override_dirname"]
    return sweep_overrides.subdirectory(name)


def _new_cache() -> dict[str, Any]:
    """Returns an empty cache for `compose.Job`: what all variants of one sweep share."""
    return defaultdict(dict)


def _is_plain(settings: Mapping[str, Any]) -> bool:
    """Returns whether Hydra's launcher would just run the variants in turn, in this process."""
    if settings.get("output_subdir") is not None:
        return False
    targets = []
    if settings:
        targets = [
            settings[part]["_target_"] for part in ("launcher", "sweeper")
        ]
    return all(target.startswith(_HYDRAS_OWN) for target in targets)


@dataclass(frozen=True)
class _Sweep:
    """A sweep in threads of this process.

    Attributes:
        directory: The directory of the records.
        hydra: The overrides of Hydra's own settings.
        request: The sweep to run.
        project: The project whose code the config may name.
        announce: Prints the outcome of a variant.
        note: Prints a remark about the sweep.
        cache: What the compositions of all variants share.
    """

    directory: Path
    hydra: Sequence[str]
    request: Request
    project: Project
    announce: Announce
    note: Note
    cache: dict[str, Any] = field(default_factory=_new_cache)

    def prepare(
        self, swept: Sequence[Sequence[str]], places: Places
    ) -> list[tuple[Path, Make]]:
        """Composes every variant, in this thread, because Hydra composes one config at a time.

        Raises:
            ConfigError: If a record would be outside the places where the sweep may write.
        """
        prepared = []
        for number, overrides in enumerate(swept):
            directory, make = self._prepare(number, overrides)
            places.require_subdir(self.directory, directory)
            places.take(directory, overrides)
            prepared.append((directory, make))
        return prepared

    def run(
        self,
        swept: Sequence[Sequence[str]],
        prepared: Sequence[tuple[Path, Make]],
        summary: Summary,
    ) -> None:
        """Exports every variant, and adds each outcome to the summary.

        An exception such as an interrupt ends all variants. The summary then also has those that
        were published by then.
        """
        progress.planned(swept)
        group = groups.Group()
        jobs = Jobs(len(swept), self.request.jobs, group, self.note)
        pool = ThreadPoolExecutor(jobs.most)
        pending: list[Future[Variant]] = []
        for number, overrides in enumerate(swept):
            directory, make = prepared[number]
            export_one = functools.partial(
                variants.export, number, overrides, directory
            )
            context = contextvars.copy_context()
            future = pool.submit(
                context.run, _run, export_one, make, group, jobs
            )
            pending.append(future)
        announcing = Announcing(pending, self.announce, summary.record)
        try:
            for variant in announcing.outcomes():
                summary.add(variant)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.abandon(group)
            pool.shutdown()
            for variant in announcing.rest():
                summary.add(variant)
            raise
        finally:
            pool.shutdown()

    def _prepare(
        self, number: int, overrides: Sequence[str]
    ) -> tuple[Path, Make]:
        """Composes a variant; returns the directory of its record, and what makes its release."""
        job = compose.Job(number, self.cache)
        try:
            composition = _compose(
                [*overrides, *self.hydra], self.request, job
            )
        except ConfigError as error:
            return self.directory / str(number), variants.failing(error)
        except Exception as error:  # a bug must not end the other variants
            bug = variants.bug(error)
            return self.directory / str(number), variants.failing(bug)
        name = _subdirectory(composition)
        make = functools.partial(
            export.export, composition, self.project, name
        )
        return Path(composition.hydra["runtime"]["output_dir"]), make


def _run(
    export_one: Callable[[Make], Variant], make: Make, group: Group, jobs: Jobs
) -> Variant:
    """Waits for the turn of a variant, and exports it."""

    def measured() -> Release:
        release = make()
        jobs.measured(release.peak_memory)
        return release

    groups.join(group)
    with jobs.turn(), groups.working():
        return export_one(measured)
