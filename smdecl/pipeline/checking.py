"""Checks a config, without TensorFlow."""

from __future__ import annotations

from smdecl.checks import check as checks
from smdecl.config.project import Project
from smdecl.config.settings import Composition
from smdecl.pipeline.clock import Clock
from smdecl.pipeline.outcomes import Checked


def check(composition: Composition, project: Project) -> Checked:
    """Runs the stages through check.

    Raises:
        ConfigError: With every problem.
    """
    clock = Clock(composition.seconds)
    with clock.stage("check"):
        config = checks.check(composition, project)
        warnings = tuple(checks.located_warnings(config, composition))
    clock.finish()
    return Checked(config, warnings)
