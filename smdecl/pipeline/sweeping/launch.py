"""Runs the variants of a sweep by Hydra's launchers and sweepers, which may use other machines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf.errors import OmegaConfBaseException

from smdecl import progress
from smdecl.config import compose, hydra_app, search_path
from smdecl.config.project import Project
from smdecl.config.settings import Composition
from smdecl.errors import ConfigError, Problem
from smdecl.pipeline.sweeping import (
    launch_records,
    sweep_places,
    sweep_resume,
    sweep_threads,
    variants,
)
from smdecl.pipeline.sweeping.launch_task import Task
from smdecl.pipeline.sweeping.sweep_places import Places
from smdecl.pipeline.sweeping.sweep_resume import Target
from smdecl.pipeline.sweeping.sweep_summary import Summary
from smdecl.pipeline.sweeping.variants import Announce, Request, Variant

_LAUNCHER = ("hydra", "launcher")
_BASIC_SWEEPER = f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}"


@dataclass(frozen=True)
class LaunchPlan:
    """The variants of a sweep as Hydra's launchers get them.

    Attributes:
        swept: The overrides of each variant.
        directory: The directory of the sweep.
        hydra: The overrides of Hydra's own settings, the directory among them.
        request: The sweep to run.
        sweeper: The settings of the sweeper; empty if no variant can be composed.
        pinned: The overrides of each variant that set the directories it writes to.
        unfit: The error of each variant whose config is refused.
        targets: What each variant exports, and where to; None if its config is refused. Empty if
            the sweeper decides which variants there are.
    """

    swept: Sequence[Sequence[str]]
    directory: Path
    hydra: Sequence[str]
    request: Request
    sweeper: Mapping[str, object]
    pinned: Mapping[int, Sequence[str]]
    unfit: Mapping[int, ConfigError]
    targets: Sequence[Target | None]


def prepare(
    swept: Sequence[Sequence[str]],
    directory: Path,
    hydra: Sequence[str],
    request: Request,
    project: Project,
    places: Places,
) -> LaunchPlan:
    """Composes every variant, and checks where it writes; writes nothing.

    Args:
        swept: The overrides of each variant.
        directory: The directory of the sweep.
        hydra: The overrides of Hydra's own settings, the directory among them.
        request: The sweep to run.
        project: The project whose code the config may name.
        places: Where the sweep may write.

    Raises:
        ConfigError: If a variant would write elsewhere, or the sweep cannot be resumed.
    """
    sweeper = _sweeper_settings(swept, hydra, request, project)
    is_basic = sweeper.get("_target_") == _BASIC_SWEEPER
    if sweeper and not is_basic and request.resume is not None:
        raise ConfigError(_not_resumable(sweeper["_target_"]))
    shared = [*hydra]
    # A sweeper plugin adds variants whose directories were not checked.
    if not is_basic and places.names(sweep_places.SUBDIR):
        places.require_distinct()
    elif not is_basic:
        shared.append(
            sweep_places.override(sweep_places.SUBDIR, "${hydra.job.num}")
        )
    composed = _compose_all(swept, directory, shared, request, places)
    pinned, unfit, targets = composed
    if not is_basic and pinned:
        # Its variants get the checked subdirectory of the first one.
        _, output = next(iter(pinned.values()))
        shared.append(output)
        targets = []
    return LaunchPlan(
        swept, directory, shared, request, sweeper, pinned, unfit, targets
    )


def _not_resumable(sweeper: object) -> Problem:
    reason = f"{sweeper!r} decides which variants there are"
    expected = "to resume an earlier run, expected Hydra's own sweeper"
    return Problem(("hydra", "sweeper"), f"{reason}; {expected}")


def _sweeper_settings(
    swept: Sequence[Sequence[str]],
    hydra: Sequence[str],
    request: Request,
    project: Project,
) -> Mapping[str, object]:
    """Returns the settings of the sweeper, from the first variant that has them.

    Raises:
        ConfigError: If the settings of a variant would run code.
    """
    settings = hydra_app.refuse_settings(
        [[*overrides, *hydra] for overrides in swept],
        request.config_name,
        project,
    )
    sweepers = (found.get("sweeper") for found in settings)
    return next(filter(None, sweepers), {})


def _compose_all(
    swept: Sequence[Sequence[str]],
    directory: Path,
    shared: Sequence[str],
    request: Request,
    places: Places,
) -> tuple[
    dict[int, Sequence[str]], dict[int, ConfigError], list[Target | None]
]:
    """Composes every variant, and reserves the places of their releases.

    Returns:
        Number to the overrides of the directories of each variant whose config is accepted, number
        to the error of each other one, and the target of each.

    Raises:
        ConfigError: If a variant would write outside the places.
    """
    pinned: dict[int, Sequence[str]] = {}
    unfit: dict[int, ConfigError] = {}
    targets: list[Target | None] = []
    cache = sweep_threads.new_cache()
    for number, overrides in enumerate(swept):
        places.require_subdir(directory, directory / str(number))
        try:
            job = compose.Job(number, cache)
            composition = sweep_threads.compose_one(
                [*overrides, *shared], request, job
            )
            name = sweep_threads.subdirectory(composition)
            places.take_base(composition, name, overrides)
        except ConfigError as error:
            unfit[number] = error
            targets.append(None)
        else:
            targets.append(Target.of(composition, name))
            pinned[number] = _pin(composition, directory, places)
            output = Path(composition.hydra["runtime"]["output_dir"])
            places.take(output, overrides)
    return pinned, unfit, targets


def _pin(
    composition: Composition, directory: Path, places: Places
) -> list[str]:
    """Returns overrides that set the directories of a variant to those that are checked.

    Where Hydra resolves them again, an interpolation may have a different value.

    Raises:
        ConfigError: If they are outside the places where the sweep may write.
    """
    settings = composition.hydra
    variant = Path(settings["runtime"]["output_dir"])
    places.require_variant(directory, settings)
    subdirectory = variant
    if variant.is_relative_to(directory):
        subdirectory = variant.relative_to(directory)
    output = settings["output_subdir"]
    if output is None:
        pin = "hydra.output_subdir=null"
    else:
        pin = sweep_places.override(sweep_places.OUTPUT_SUBDIR, output)
    return [sweep_places.override(sweep_places.SUBDIR, str(subdirectory)), pin]


def launch(
    plan: LaunchPlan,
    project: Project,
    announce: Announce,
    skipped: Mapping[int, Variant],
    summary: Summary,
) -> None:
    """Runs every variant, and then prints the outcomes in order.

    Args:
        plan: The variants.
        project: The project whose code the config may name.
        announce: Prints the outcome of a variant.
        skipped: The outcomes of the variants that are not run.
        summary: Gets the variants that are done, even if the launcher fails or is interrupted.

    Raises:
        ConfigError: If Hydra cannot instantiate the launcher or the sweeper.
    """
    swept, directory = plan.swept, plan.directory
    variants.forget(directory)
    for number, refusal in plan.unfit.items():
        _record_failure(number, swept[number], directory, refusal)
    done = frozenset({*plan.unfit, *skipped})
    review = sweep_resume.review_of(plan.request)
    task = Task(project, Path.cwd(), tuple(sys.path), done, review)
    try:
        # A launcher may print what its workers print.
        with (
            contextlib.redirect_stdout(sys.stderr),
            launch_records.recording(directory, summary),
        ):
            if not done.issuperset(plan.pinned):
                progress.reached("launch")
                _launch(plan, task)
        _require_results(plan, skipped, "its job ended without a result")
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(Problem(_LAUNCHER, _first_line(error))) from error
    except Exception as error:
        # Launchers raise their own errors about jobs and queues.
        reason = f"{type(error).__name__}: {_first_line(error)}"
        message = f"the launcher failed before the variant was done: {reason}"
        _require_results(plan, skipped, message)
    finally:
        ended = [*variants.read(directory), *skipped.values()]
        for variant in sorted(ended, key=lambda each: each.number):
            announce(variant)
            summary.add(variant)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _overrides(plan: LaunchPlan) -> list[list[str]]:
    """Returns overrides that compose for every variant, so that all keep their numbers.

    Hydra's launchers give up at the first variant that they cannot compose. The overrides of an
    unfit variant are replaced by those of the first fit one; the task skips its number.
    """
    first = next(iter(plan.pinned))
    found = []
    for number in range(len(plan.swept)):
        fit = number if number in plan.pinned else first
        found.append([*plan.swept[fit], *plan.hydra, *plan.pinned[fit]])
    return found


def _require_results(
    plan: LaunchPlan, skipped: Mapping[int, Variant], reason: str
) -> None:
    """Records a failure for each variant without an outcome."""
    error = ConfigError(Problem(_LAUNCHER, reason))
    done = {variant.number for variant in variants.read(plan.directory)}
    for number, overrides in enumerate(plan.swept):
        if number not in done and number not in skipped:
            _record_failure(number, overrides, plan.directory, error)


def _record_failure(
    number: int, overrides: Sequence[str], directory: Path, error: ConfigError
) -> None:
    make = variants.failing(error)
    variants.export(number, overrides, directory / str(number), make)


def _launch(plan: LaunchPlan, task: Task) -> None:
    sweeper, request = plan.sweeper, plan.request
    if sweeper["_target_"] != _BASIC_SWEEPER:
        flags = ["--multirun", "--config-name", request.config_name]
        argv = [*flags, *request.overrides, *plan.hydra]
        hydra_app.run(argv, task.__call__)
        return
    overrides = _overrides(plan)
    with search_path.session():
        launcher = _launcher(plan.hydra, request, task)
        size = int(str(sweeper.get("max_batch_size") or len(overrides)))
        for first in range(0, len(overrides), size):
            batch = overrides[first : first + size]
            for run in launcher.launch(batch, initial_job_idx=first):
                _ = run.return_value  # raises what ended the job


def _launcher(hydra: Sequence[str], request: Request, task: Task) -> Launcher:
    application = GlobalHydra.instance().hydra
    assert application is not None
    config = application.compose_config(
        request.config_name, list(hydra), RunMode.MULTIRUN
    )
    context = HydraContext(
        config_loader=application.config_loader, callbacks=Callbacks()
    )
    return Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=task, config=config
    )
