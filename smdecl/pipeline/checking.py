"""Checks a config, without TensorFlow."""

from __future__ import annotations

from smdecl.checks import check as checks
from smdecl.config.project import Project
from smdecl.config.settings import Composition
from smdecl.errors import SmdeclError
from smdecl.pipeline import destinations
from smdecl.pipeline.clock import Clock
from smdecl.pipeline.outcomes import Checked


def check(
    composition: Composition, project: Project, subdirectory: str = ""
) -> Checked:
    """Runs the stages through check.

    Args:
        composition: The config.
        project: The project whose code the config may name.
        subdirectory: A directory below the config's export_dir; a sweep has one for each variant.

    Raises:
        ConfigError: With every problem.
        PublishError: If the config is valid, but its version exists or cannot be written.
    """
    clock = Clock(composition.seconds)
    with clock.stage("check"):
        config = checks.check(composition, project)
        try:
            destinations.refuse_local(config, subdirectory)
        except SmdeclError as error:
            raise composition.masked(error) from error.__cause__
        warnings = tuple(checks.located_warnings(config, composition))
    clock.finish()
    return Checked(config, warnings)
