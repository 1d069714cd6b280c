"""Runs the variants of a sweep by Hydra's launchers and sweepers, which may use other machines."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from smdecl.config import compose, hydra_app, search_path
from smdecl.config.project import Project
from smdecl.errors import ConfigError, Problem
from smdecl.pipeline import export, sweep_overrides, variants
from smdecl.pipeline.variants import Request, Tell, Variant

_LAUNCHER = ("hydra", "launcher")
_BASIC_SWEEPER = f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}"


def launch(
    swept: Sequence[Sequence[str]],
    directory: Path,
    hydra: Sequence[str],
    request: Request,
    project: Project,
    results: list[Variant],
    tell: Tell,
) -> None:
    """Runs every variant, and then prints the outcomes in order.

    Args:
        swept: The overrides of each variant.
        directory: The directory of the sweep.
        hydra: The overrides of Hydra's own settings, the directory among them.
        request: The sweep to run.
        project: The project whose code the config may name.
        results: Gets the variants that are done, even if the launcher fails or is interrupted.
        tell: Prints the outcome of a variant.

    Raises:
        ConfigError: If Hydra cannot instantiate the launcher or the sweeper.
    """
    settings = hydra_app.refuse_settings(
        [[*overrides, *hydra] for overrides in swept],
        request.config_name,
        project,
    )
    unfit = _refuse(swept, directory, request)
    job = Job(project, Path.cwd(), tuple(sys.path), frozenset(unfit))
    try:
        # A launcher may print what its workers print.
        with contextlib.redirect_stdout(sys.stderr):
            if len(unfit) < len(swept):
                sweeper = next(found["sweeper"] for found in settings if found)
                fit = _in_place_of(unfit, swept)
                _launch(fit, sweeper, hydra, request, job)
        _require_results(swept, directory, "its job ended without a result")
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(Problem(_LAUNCHER, _first_line(error))) from error
    except (
        Exception
    ) as error:  # launchers raise their own errors about jobs and queues
        reason = f"{type(error).__name__}: {_first_line(error)}"
        message = f"the launcher failed before the variant was done: {reason}"
        _require_results(swept, directory, message)
    finally:
        for variant in variants.read(directory):
            results.append(tell(variant))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _refuse(
    swept: Sequence[Sequence[str]], directory: Path, request: Request
) -> list[int]:
    """Records the failure of the variants that cannot be composed; returns their numbers."""
    unfit = []
    for number, overrides in enumerate(swept):
        try:
            compose.compose(
                overrides,
                directories=request.config_dir,
                config_name=request.config_name,
            )
        except ConfigError as error:
            _record_failure(number, overrides, directory, error)
            unfit.append(number)
    return unfit


def _in_place_of(
    unfit: Sequence[int], swept: Sequence[Sequence[str]]
) -> list[Sequence[str]]:
    """Returns overrides that compose for every variant, so that all keep their numbers.

    Hydra's launchers give up at the first variant that they cannot compose. The overrides of an
    unfit variant are replaced by those of the first fit one; the job skips its number.
    """
    fit = [
        overrides
        for number, overrides in enumerate(swept)
        if number not in unfit
    ]
    replaced = list(swept)
    for number in unfit:
        replaced[number] = fit[0]
    return replaced


def _require_results(
    swept: Sequence[Sequence[str]], directory: Path, reason: str
) -> None:
    """Records a failure for each variant without a record."""
    error = ConfigError(Problem(_LAUNCHER, reason))
    done = {variant.number for variant in variants.read(directory)}
    for number, overrides in enumerate(swept):
        if number not in done:
            _record_failure(number, overrides, directory, error)


def _record_failure(
    number: int, overrides: Sequence[str], directory: Path, error: ConfigError
) -> None:
    make = variants.failing(error)
    variants.export(number, overrides, directory / str(number), make)


def _launch(
    swept: Sequence[Sequence[str]],
    sweeper: Mapping[str, object],
    hydra: Sequence[str],
    request: Request,
    job: Job,
) -> None:
    if sweeper["_target_"] != _BASIC_SWEEPER:
        flags = ["--multirun", "--config-name", request.config_name]
        hydra_app.run([*flags, *request.overrides, *hydra], job.__call__)
        return
    with search_path.session():
        launcher = _launcher(hydra, request, job)
        size = int(str(sweeper.get("max_batch_size") or len(swept)))
        for first in range(0, len(swept), size):
            batch = [
                [*overrides, *hydra]
                for overrides in swept[first : first + size]
            ]
            for run in launcher.launch(batch, initial_job_idx=first):
                _ = run.return_value  # raises what ended the job


def _launcher(hydra: Sequence[str], request: Request, job: Job) -> Launcher:
    application = GlobalHydra.instance().hydra
    assert application is not None
    config = application.compose_config(
        request.config_name, list(hydra), RunMode.MULTIRUN
    )
    context = HydraContext(
        config_loader=application.config_loader, callbacks=Callbacks()
    )
    return Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=job, config=config
    )


@dataclass(frozen=True)
class Job:
    """The task that a launcher runs for each variant, possibly in a different process.

    Attributes:
        project: The project whose code the config may name.
        directory: The working directory of the sweep.
        path: The import path of the sweep.
        skipped: Numbers of the variants that have a record already.
    """

    project: Project
    directory: Path
    path: tuple[str, ...]
    skipped: frozenset[int]

    def __call__(self, config: DictConfig) -> None:
        """Exports the variant of `config`, and writes its record."""
        hydra = HydraConfig.get()
        number = int(hydra.job.num)
        if number in self.skipped:
            return
        os.chdir(self.directory)
        sys.path[:] = dict.fromkeys([*self.path, *sys.path])
        name = sweep_overrides.subdirectory(hydra.job.override_dirname)

        def make() -> export.Release:
            return export.export(compose.from_job(config), self.project, name)

        overrides = list(hydra.overrides.task)
        variants.export(number, overrides, Path(hydra.runtime.output_dir), make)
