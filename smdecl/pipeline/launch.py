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
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from smdecl.config import compose, hydra_app, search_path
from smdecl.config.project import Project
from smdecl.errors import ConfigError, Problem
from smdecl.pipeline import export, variants
from smdecl.pipeline.variants import Request, Tell, Variant

_LAUNCHER = ("hydra", "launcher")


def launch(
    swept: Sequence[Sequence[str]],
    directory: Path,
    hydra: Sequence[str],
    request: Request,
    project: Project,
    results: list[Variant],
    tell: Tell,
) -> None:
    """Runs every variant, and then prints what became of each, in their order.

    Args:
        swept: The overrides of each variant.
        directory: Of the sweep.
        hydra: The overrides of Hydra's own settings; the directory is one of them.
        request: What was asked for.
        project: Whose code the config may name.
        results: Gets the variants that are done, even if the launcher fails or is interrupted.
        tell: Prints what became of a variant, or nothing.

    Raises:
        ConfigError: If Hydra cannot instantiate the launcher or the sweeper.
    """
    settings = hydra_app.refuse_settings(
        [[*overrides, *hydra] for overrides in swept], request.config_name, project
    )
    unfit = _refuse(swept, directory, request)
    job = Job(project, Path.cwd(), tuple(sys.path), frozenset(unfit))
    try:
        # A launcher may print what its workers print.
        with contextlib.redirect_stdout(sys.stderr):
            if len(unfit) < len(swept):
                sweeper = next(found["sweeper"] for found in settings if found)
                _launch(_in_place_of(unfit, swept), sweeper, hydra, request, job)
        _require_results(swept, directory, "its job ended without a result")
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(Problem(_LAUNCHER, str(error).partition("\n")[0])) from error
    except (
        Exception
    ) as error:  # each launcher has errors of its own, about jobs, queues and clusters
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        _require_results(
            swept,
            directory,
            f"the launcher failed before the variant was done: {reason}",
        )
    finally:
        results += [tell(variant) for variant in variants.read(directory)]


def _refuse(
    swept: Sequence[Sequence[str]], directory: Path, request: Request
) -> list[int]:
    """Writes the records of the variants that cannot be composed; returns their numbers."""
    unfit = []
    for number, overrides in enumerate(swept):
        try:
            compose.compose(
                overrides,
                directories=request.config_dir,
                config_name=request.config_name,
            )
        except ConfigError as error:
            variants.export(
                number, overrides, directory / str(number), variants.failing(error)
            )
            unfit.append(number)
    return unfit


def _in_place_of(
    unfit: Sequence[int], swept: Sequence[Sequence[str]]
) -> list[Sequence[str]]:
    """Returns overrides that compose for every variant, so that all keep their numbers.

    Hydra's launchers give up at the first variant that they cannot compose. The job skips those that are `unfit`.
    """
    fit = [overrides for number, overrides in enumerate(swept) if number not in unfit]
    return [
        fit[0] if number in unfit else overrides
        for number, overrides in enumerate(swept)
    ]


def _require_results(
    swept: Sequence[Sequence[str]], directory: Path, reason: str
) -> None:
    """Writes a record for each variant that has none."""
    error = ConfigError(Problem(_LAUNCHER, reason))
    done = {variant.number for variant in variants.read(directory)}
    for number, overrides in enumerate(swept):
        if number not in done:
            variants.export(
                number, overrides, directory / str(number), variants.failing(error)
            )


def _launch(
    swept: Sequence[Sequence[str]],
    sweeper: Mapping[str, object],
    hydra: Sequence[str],
    request: Request,
    job: Job,
) -> None:
    if sweeper["_target_"] != f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}":
        flags = ["--multirun", "--config-name", request.config_name]
        hydra_app.run([*flags, *request.overrides, *hydra], job.__call__)
        return
    with search_path.session():
        application = GlobalHydra.instance().hydra
        assert application is not None
        config = application.compose_config(
            request.config_name, list(hydra), RunMode.MULTIRUN
        )
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(
                config_loader=application.config_loader, callbacks=Callbacks()
            ),
            task_function=job,
            config=config,
        )
        size = int(str(sweeper.get("max_batch_size") or len(swept)))
        for first in range(0, len(swept), size):
            batch = [[*overrides, *hydra] for overrides in swept[first : first + size]]
            for run in launcher.launch(batch, initial_job_idx=first):
                _ = run.return_value  # raises what ended the job


@dataclass(frozen=True)
class Job:
    """The task that a launcher runs for each variant, maybe in another process.

    Attributes:
        project: Whose code the config may name.
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
        name = variants.subdirectory(hydra.job.override_dirname)

        def make() -> export.Release:
            return export.export(compose.from_job(config), self.project, name)

        variants.export(
            number, list(hydra.overrides.task), Path(hydra.runtime.output_dir), make
        )
