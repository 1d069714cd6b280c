"""Decides which of Hydra's own settings a config may set.

Refused are those that would run code, write files or change the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from smdecl.config.project import Project
from smdecl.config.trust import targets
from smdecl.config.types import Refusal, Values
from smdecl.errors import KeyPath

_SECTIONS = ("launcher", "sweeper", "job", "run", "sweep")
_LOGGING_SECTIONS = ("hydra_logging", "job_logging")
# What hydra/job_logging=none sets.
_NO_LOGGING = {"version": 1, "root": None, "disable_existing_loggers": False}


def refuse_settings(settings: Values, project: Project) -> Iterator[Refusal]:
    """Yields key path and reason of each setting that a config may not set.

    Args:
        settings: The key `hydra`, as `compose.hydra_settings` returns it.
        project: If it trusts `hydra_plugins`, the launchers and sweepers of plugins may run.
    """
    yield from _refuse_targets(settings, project)
    for key in _SECTIONS:
        if not isinstance(settings.get(key) or {}, Mapping):
            yield ("hydra", key), f"expected a mapping, got {settings[key]!r}"
            return
    yield from _refuse_logging(settings)
    if settings.get("callbacks"):
        yield (
            ("hydra", "callbacks"),
            "configures callbacks, which run code; expected none",
        )
    if _section(settings, "sweeper").get("params"):
        message = "adds overrides that nothing checks; write them on the command line"
        yield ("hydra", "sweeper", "params"), message
    for key in ("run", "sweep"):
        if "oc.env" in str(settings.get(key)):
            message = (
                "reads the environment, which only a config's own values may"
            )
            yield ("hydra", key), message
    for key in ("env_set", "env_copy"):
        if _section(settings, "job").get(key):
            message = "changes the environment of the run; expected none"
            yield ("hydra", "job", key), message


def _section(settings: Values, key: str) -> Values:
    section: Values = settings.get(key) or {}
    return section


def _refuse_logging(settings: Values) -> Iterator[Refusal]:
    for key in _LOGGING_SECTIONS:
        if settings.get(key, _NO_LOGGING) != _NO_LOGGING:
            reason = "configures logging, which can run code and write files"
            yield ("hydra", key), f"{reason}; expected hydra/{key}=none"


def _refuse_targets(settings: Values, project: Project) -> Iterator[Refusal]:
    for path, target, _ in targets(dict(settings), ("hydra",)):
        if path[-1] != "_target_":
            reason = (
                "contains an interpolation that Hydra would resolve unchecked"
            )
            yield path, f"{target!r} {reason}; expected a plain value"
        elif not _may_run(target, path, project):
            hint = "--trust hydra_plugins allows the launchers and sweepers of plugins"
            yield path, f"Hydra may not run {target!r}; {hint}"


def _may_run(target: str, path: KeyPath, project: Project) -> bool:
    if target.startswith("hydra._internal.core_plugins."):
        return True
    is_plugin = target.startswith("hydra_plugins.")
    is_trusted = "hydra_plugins" in project.trusted
    return is_plugin and is_trusted and path[1] in ("launcher", "sweeper")
