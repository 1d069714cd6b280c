"""The task that a launcher runs for each variant of a sweep, possibly in a different process."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from smdecl.config import compose
from smdecl.config.project import Project
from smdecl.pipeline import export
from smdecl.pipeline.publishing import Review
from smdecl.pipeline.sweeping import sweep_overrides, variants


@dataclass(frozen=True)
class Task:
    """The task that a launcher runs for each variant, possibly in a different process.

    Attributes:
        project: The project whose code the config may name.
        directory: The working directory of the sweep.
        path: The import path of the sweep.
        skipped: Numbers of the variants that have an outcome already.
        review: Reviews each release before it is published.
    """

    project: Project
    directory: Path
    path: tuple[str, ...]
    skipped: frozenset[int]
    review: Review

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
            composition = compose.from_job(config)
            return export.export(composition, self.project, name, self.review)

        overrides = list(hydra.overrides.task)
        variants.export(
            number, overrides, Path(hydra.runtime.output_dir), make
        )
