"""Resolves the `_target_`s of a config and checks them before any of them is called."""

from __future__ import annotations

import contextlib
import importlib
from types import ModuleType

from smdecl.checks.targets import target_arguments
from smdecl.config import trust
from smdecl.config.project import Project
from smdecl.config.settings import ExportConfig
from smdecl.errors import (
    ConfigError,
    KeyPath,
    Problem,
    TrustError,
    UsageError,
    nearest,
)
from smdecl.exporting import user_code
from smdecl.exporting.types import PythonValue, Target
from smdecl.isolation import reports


def require(config: ExportConfig, project: Project) -> None:
    """Resolves every target of the config and checks its trust and its arguments.

    Raises:
        TrustError: If a target leads to code that may not run.
        ConfigError: If a target does not exist or does not accept its arguments.
        ModelError: If importing a module of the user fails.
    """
    nodes = {
        "model": config.model,
        "devices": {"strategy": config.devices.strategy},
        "options": config.options,
    }
    problems: list[Problem] = []
    refused: list[Problem] = []
    for path, name, node in trust.targets(nodes):
        try:
            target = _resolve(name, path)
        except ConfigError as error:
            problems += error.problems
            continue
        reason = trust.refuse_object(target, name, project)
        if reason is not None:
            refused.append(Problem(path, reason))
        else:
            problems += target_arguments.problems(target, node, path[:-1])
    if refused:
        raise TrustError([*refused, *problems])
    if problems:
        raise ConfigError(problems)


def _resolve(name: str, path: KeyPath) -> Target:
    """Imports the longest prefix of a dotted name that is a module, and follows its attributes."""
    place, *attributes = name.split(".")
    found: PythonValue = _import(place, path)
    for attribute in attributes:
        inner = f"{place}.{attribute}"
        if not _has(found, attribute, path) and _is_package(found):
            with contextlib.suppress(_NoModuleError):
                _import(inner, path)
        if not _has(found, attribute, path):
            known = [
                public for public in dir(found) if not public.startswith("_")
            ]
            message = f"{place!r} has no attribute {attribute!r}"
            raise ConfigError(
                Problem(path, f"{message}{nearest(attribute, known)}")
            )
        found = getattr(found, attribute)
        place = inner
    if not callable(found):
        kind = type(found).__name__
        message = (
            f"expected a class or function, but {name!r} is of type {kind}"
        )
        raise ConfigError(Problem(path, message))
    target: Target = found
    return target


def _is_package(found: PythonValue) -> bool:
    return isinstance(found, ModuleType) and hasattr(found, "__path__")


def _has(found: PythonValue, name: str, path: KeyPath) -> bool:
    try:
        return hasattr(found, name)
    except user_code.FAILURES as error:
        # From a module's `__getattr__` or a property.
        raise user_code.failure(path, f"looking up {name!r}", error) from error


class _NoModuleError(ConfigError):
    """The module does not exist. A module that exists and fails on import raises a ModelError."""


def _import(name: str, path: KeyPath) -> ModuleType:
    reports.running(path, f"importing {name!r}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if _is_missing(name, error):
            message = (
                f"no module {name!r} in the current directory or on sys.path"
            )
            raise _NoModuleError(Problem(path, message)) from error
        raise user_code.failure(path, f"importing {name!r}", error) from error
    except UsageError:  # a script that calls smdecl on import
        raise
    except user_code.FAILURES as error:
        raise user_code.failure(path, f"importing {name!r}", error) from error


def _is_missing(name: str, error: ModuleNotFoundError) -> bool:
    """Returns whether the module or its package is missing, not one that it imports."""
    missing = error.name
    if missing is None:
        return False
    return name == missing or name.startswith(f"{missing}.")
