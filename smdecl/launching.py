"""Runs the variants of a sweep by Hydra's launchers and sweepers, on other machines maybe."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from smdecl import composing, hydra_app, pipeline, variants
from smdecl.errors import ConfigError
from smdecl.trust import Project


def launch(
    swept: Sequence[Sequence[str]],
    directory: Path,
    hydra: Sequence[str],
    arguments: argparse.Namespace,
    project: Project,
) -> None:
    """Runs every variant; each writes down what became of it.

    Args:
        swept: The overrides of each variant.
        directory: Of the sweep.
        hydra: The overrides of Hydra's own settings; the directory is one of them.
        arguments: Of the command line.
        project: Whose code the config may name.

    Raises:
        ConfigError: Where Hydra does not take what smdecl does.
    """
    hydra_app.refuse_settings([[*overrides, *hydra] for overrides in swept], arguments, project)
    flags = ["--multirun", "--config-name", arguments.config_name]
    try:
        hydra_app.run([*flags, *arguments.overrides, *hydra], _job(project))
    except (HydraException, OmegaConfBaseException):
        # Hydra composes all variants before it launches one, and gives up at the first that it cannot compose.
        done = {variant.number for variant in variants.read(directory)}  # of batches that were launched before
        for number, overrides in enumerate(swept):
            if number not in done and _composes(number, overrides, directory, arguments):
                place = [*overrides, *hydra, f"hydra.sweep.subdir={number}"]
                _run_alone([*flags, *place], _job(project, number))


def _run_alone(argv: Sequence[str], job: Callable[[DictConfig], None]) -> None:
    try:
        hydra_app.run(argv, job)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(str(error).partition("\n")[0]) from error


def _job(project: Project, number: int | None = None) -> Callable[[DictConfig], None]:
    """Returns the task that a launcher runs for each variant, in another process maybe."""

    def job(config: DictConfig) -> None:
        hydra = HydraConfig.get()
        place = hydra.job.num if number is None else number
        name = variants.subdirectory(hydra.job.override_dirname)
        overrides, directory = list(hydra.overrides.task), Path(hydra.runtime.output_dir)

        def make() -> pipeline.Release:
            return pipeline.export(composing.from_job(config), project, name)

        variants.tell(variants.export(place, overrides, directory, make))

    return job


def _composes(number: int, overrides: Sequence[str], directory: Path, arguments: argparse.Namespace) -> bool:
    try:
        composing.compose(overrides, directories=arguments.config_dir, config_name=arguments.config_name)
    except ConfigError as error:
        variants.tell(variants.export(number, overrides, directory / str(number), variants.failing(error)))
        return False
    return True
