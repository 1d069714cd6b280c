"""Runs a sweep: exports every variant, several at a time; a failure does not stop the others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smdecl import progress
from smdecl.config import compose, hydra_app, search_path, sharing
from smdecl.config.project import Project
from smdecl.config.sharing import Shared
from smdecl.errors import Problem, SmdeclError
from smdecl.pipeline import checking
from smdecl.pipeline.sweeping import (
    launch,
    sweep_overrides,
    sweep_places,
    sweep_resume,
    sweep_threads,
    variants,
)
from smdecl.pipeline.sweeping.sweep_places import Places
from smdecl.pipeline.sweeping.sweep_resume import Target
from smdecl.pipeline.sweeping.sweep_summary import Summary
from smdecl.pipeline.sweeping.sweep_threads import Threads
from smdecl.pipeline.sweeping.variants import Announce, Note, Request, Variant
from smdecl.progress import Run

_ONE = "one variant, because no override has several values, such as seed=1,2"
_HYDRAS_OWN = "hydra._internal.core_plugins."


def sweep(
    request: Request,
    project: Project,
    announce: Announce = variants.ignore,
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
        UsageError: If the sweep to resume has no record.
        PublishError: If the records cannot be written.
    """
    search_path.use(request.config_dir)
    with sharing.sharing(Shared()):
        plan = _prepare(request, project, announce, note)
    configs = [
        None if target is None else target.config for target in plan.targets
    ]
    summary = Summary(plan.directory, plan.swept, configs)
    resumed = sweep_resume.resume(request.resume, plan.swept, plan.targets)
    for variant in resumed.skipped.values():
        summary.add(variant)
    # First, because a sweep whose outcome cannot be recorded must export nothing.
    summary.write()
    for remark in resumed.remarks:
        note(remark)
    try:
        plan.run(resumed.skipped, summary)
    except BaseException:  # such as an interrupt
        summary.write()
        note(
            "ended before all variants were done:"
            f" {summary.counts()}; to run the others, add --resume {summary.file}"
        )
        raise
    summary.write()
    return plan.directory, summary.outcomes


@dataclass(frozen=True)
class _SweepPlan:
    """A sweep whose variants are composed.

    Attributes:
        directory: The directory of the records.
        swept: The overrides of each variant.
        targets: What each variant exports, and where to; None if it cannot be composed.
        run: Runs the variants, except for those that are skipped, and adds the outcomes of all to
            the summary.
    """

    directory: Path
    swept: Sequence[Sequence[str]]
    targets: Sequence[Target | None]
    run: Callable[[Mapping[int, Variant], Summary], None]


def _prepare(
    request: Request, project: Project, announce: Announce, note: Note
) -> _SweepPlan:
    """Composes every variant.

    Raises:
        ConfigError: If the overrides make no sweep.
    """
    swept = sweep_overrides.expand(request.overrides)
    places = Places(project, request.overrides)
    directory, hydra, settings = _place(swept, request, project, places)
    if _is_plain(settings):
        if len(swept) == 1:
            note(_ONE)
        threads = Threads(directory, hydra, request, project, announce, note)
        prepared = threads.prepare(swept, places)
        targets = [each.target for each in prepared]
        run = functools.partial(threads.run, swept, prepared)
        return _SweepPlan(directory, swept, targets, run)
    plan = launch.prepare(swept, directory, hydra, request, project, places)
    run_launched = functools.partial(launch.launch, plan, project, announce)
    return _SweepPlan(directory, swept, plan.targets, run_launched)


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
    cache = sweep_threads.new_cache()
    work = Shared()
    progress.planned(swept)
    with sharing.sharing(work):
        directory, hydra, _ = _place(swept, request, project, places)
    for number, overrides in enumerate(swept):
        job = compose.Job(number, cache)
        with progress.variant(Run(number, tuple(overrides))):
            try:
                with sharing.sharing(work):
                    composition = sweep_threads.compose_one(
                        [*overrides, *hydra], request, job
                    )
                places.require_variant(directory, composition.hydra)
                output = Path(composition.hydra["runtime"]["output_dir"])
                places.take(output, overrides)
                name = sweep_threads.subdirectory(composition)
                places.take_base(composition, name, overrides)
                checked = checking.check(composition, project, name)
                found = CheckedVariant(tuple(overrides), checked.warnings)
            except SmdeclError as error:
                found = CheckedVariant(tuple(overrides), error=error)
            progress.ended(has_failed=found.error is not None)
        yield found


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
