"""Checks what a config names against the trust of its project: code, files, the environment."""

from __future__ import annotations

from collections.abc import Sequence

from smdecl import files
from smdecl.checks.targets import target_names
from smdecl.checks.types import Problems
from smdecl.config import frameworks, hydra_trust, trust
from smdecl.config.project import Project
from smdecl.config.settings import Composition
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Problem


def check_targets(values: Values, project: Project) -> Problems:
    """Yields the targets that must not run, and the arguments and files that must not reach one."""
    for path, target, node in trust.targets(dict(values)):
        reason = trust.refuse_target(target, project)
        if reason is not None:
            yield Problem(path, f"{reason}{target_names.hint(target)}")
        elif _downloads_weights(target, node):
            hint = "set weights: null for this target, and restore them with weights=..."
            yield Problem(path, f"would download weights; {hint}")
        else:
            yield from _check_files(path, target, node, project)
    for path, reason in frameworks.refuse_arguments(dict(values)):
        yield Problem(path, reason)


def _downloads_weights(target: str, node: Values) -> bool:
    is_application = ".applications." in target
    return is_application and node.get("weights", "imagenet") is not None


def _check_files(
    path: KeyPath, target: str, node: Values, project: Project
) -> Problems:
    for place, file in frameworks.files(target, node):
        reason = trust.refuse_file(file, project) or files.refuse_holes(file)
        if reason is not None:
            yield Problem((*path[:-1], *place), reason)


def check_settings(composition: Composition, project: Project) -> Problems:
    """Yields undeclared reads of the environment, and settings of Hydra that would run code."""
    for path, reason in trust.refuse_environment(composition.reads, project):
        yield Problem(path, reason)
    for path, reason in hydra_trust.refuse_settings(
        composition.hydra, project
    ):
        yield Problem(path, reason)


def needs_trust(refused: Sequence[Problem], values: Values) -> bool:
    """Returns whether a problem is about trust, not just about a module that is not installed."""
    absent = {
        path
        for path, target, _ in trust.targets(dict(values))
        if trust.is_absent(target)
    }
    return any(problem.path not in absent for problem in refused)
