"""Decides what a config may name in `_target_`: only code that the user of smdecl has chosen.

Allowed are smdecl's own models, constructors of TensorFlow and Keras that use neither files nor the
network, what the project defines, and the packages that the project or the command line trusts by
name. The name is checked before anything is imported, and the object again before anything is
called.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from smdecl.config import frameworks, project_modules, relative_paths
from smdecl.config.project import Project
from smdecl.config.types import NamedFile, Refusal, Values
from smdecl.errors import KeyPath

_CONFIG_LIBRARIES = ("hydra", "omegaconf")
# Methods of a layer, a model and a table: they compute, and do nothing else.
_FORWARD = ("__call__", "call", "lookup")
_DOTTED_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
# Instantiating resolves interpolations again, so an escaped one could become a target then.
_INTERPOLATION = "${"


def refuse_environment(
    reads: Iterable[tuple[KeyPath, str]], project: Project
) -> Iterator[Refusal]:
    """Yields key path and reason of each read of an environment variable that is not declared."""
    # An interpolation of a key reads its variables again; only the first key counts.
    first: dict[str, KeyPath] = {}
    for path, name in reads:
        first.setdefault(name, path)
    for name, path in first.items():
        if name not in project.environment:
            reason = (
                f"reads the environment variable {name!r}, which the project does not"
                f" declare; add it to environment in [tool.smdecl] of {project.file}"
            )
            yield path, reason


def targets(
    value: object, path: KeyPath = ()
) -> Iterator[tuple[KeyPath, str, dict[str, Any]]]:
    """Yields key path, `_target_` and node of everything in a config that Hydra would instantiate.

    That includes what could become a target only then: a `_target_` that is not a string, and a
    string with an interpolation below a target. `refuse_target` refuses them.
    """
    if isinstance(value, dict):
        if "_target_" in value:
            yield (*path, "_target_"), str(value["_target_"]), value
            for place, text in _interpolations(value, path):
                yield place, text, {}
        for key, item in value.items():
            if key != "_target_":
                yield from targets(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from targets(item, (*path, index))


def _interpolations(
    value: object, path: KeyPath
) -> Iterator[tuple[KeyPath, str]]:
    """Yields key path and text of each argument of a target that has an interpolation.

    Those of nested targets are left out.
    """
    if isinstance(value, str):
        if _INTERPOLATION in value and path[-1:] != ("_target_",):
            yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if not _is_target(item):
                yield from _interpolations(item, (*path, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            if not _is_target(item):
                yield from _interpolations(item, (*path, key))


def _is_target(value: object) -> bool:
    return isinstance(value, dict) and "_target_" in value


def model_files(values: Values) -> Iterator[NamedFile]:
    """Yields key path and name of each file of a whole model, which is recorded like weights."""
    for path, target, node in targets(values):
        if target == frameworks.LOAD_KERAS:
            for place, name in frameworks.files(target, node):
                yield (*path[:-1], *place), name


def refuse_file(name: str, project: Project) -> str | None:
    """Returns why a release may not contain a file; None if it is the project's."""
    if "\0" in name:
        return f"invalid file name {name!r}"
    # Not by pathlib, which raises at a loop of links and at a name that is too long.
    if "://" in name or not project.owns(Path(os.path.realpath(name))):
        hint = project_modules.needs_project(project)
        return f"{name!r} is outside the project {str(project.root)!r}{hint}"
    if not os.path.isfile(name):  # noqa: PTH113
        return relative_paths.missing(name, project)
    return None


def is_users(target: str) -> bool:
    """Returns whether a `_target_` is the user's code: not TensorFlow's, Keras's or smdecl's."""
    return _package(target) != "smdecl" and not frameworks.is_framework(target)


def refuse_target(target: str, project: Project) -> str | None:
    """Returns why a `_target_` may not be imported; None if it may. Imports nothing."""
    if _package(target) == "__main__":
        return (
            f"{target!r} is defined in the running script, which other processes cannot"
            " import; move it to a module"
        )
    if _INTERPOLATION in target:
        return (
            f"{target!r} contains an interpolation that would be resolved again,"
            " unchecked; expected a plain value"
        )
    if not _DOTTED_PATH.fullmatch(target):
        return f"expected module and name, such as mynet.Net, got {target!r}"
    return _refuse_name(target, project)


def is_absent(target: str) -> bool:
    """Returns whether a `_target_` names an absent module, so that trust does not apply."""
    package = _package(target)
    if package == "__main__" or not _DOTTED_PATH.fullmatch(target):
        return False
    return project_modules.is_absent(target)


def refuse_object(found: object, target: str, project: Project) -> str | None:
    """Returns why the object that a `_target_` leads to may not be called; None if it may.

    A name in a trusted module can be an alias, such as `mymodule.tf.io.gfile.rmtree`, or a bound
    method inherited from elsewhere. What counts is where the object itself is defined.
    """
    module, qualname = _definition(found)
    package = _package(module)
    if package in frameworks.FRAMEWORKS:
        if _package(target) in frameworks.FRAMEWORKS:
            return None
        alias = f"an alias of {module}.{qualname}"
        return f"{target!r} is {alias}; name the constructor itself"
    # The project's package is checked too: a module that this process has already imported comes
    # before a file of the same name in the project.
    reason = _refuse_name(f"{module}.{qualname}", project)
    if reason is None:
        return None
    return f"{target!r} leads to {module}.{qualname}: {reason}"


def refuse_method(method: object, project: Project) -> str | None:
    """Returns what is wrong with a method of a signature; None if a signature may call it.

    Every object has methods that are not meant to be served: those of Keras and TensorFlow write
    files, and an attribute that is a module leads to everything else. What counts is where the
    function itself is defined.
    """
    module, qualname = _definition(_function_of(method))
    name = f"{module}.{qualname}"
    if _package(module) not in frameworks.FRAMEWORKS:
        reason = _refuse_name(name, project)
        return reason and f"leads to {name}: {reason}"
    if name.rpartition(".")[2] in _FORWARD:
        return None
    return (
        f"leads to {name}, which a signature may not call;"
        " omit 'method' or use __call__, or name a method of the project"
    )


def _refuse_name(name: str, project: Project) -> str | None:
    package = _package(name)
    if package == "smdecl":
        is_model = name.startswith("smdecl.models.")
        reason = None if is_model else f"{name!r} is internal to smdecl"
    elif frameworks.is_framework(name):
        reason = frameworks.refuse_name(name)
    elif package in project.trusted:
        reason = None
    elif package in sys.stdlib_module_names or package in _CONFIG_LIBRARIES:
        reason = f"{name!r} is not defined in the project {project.root}"
    else:
        return project_modules.refuse_module(name, project)
    if reason is None:
        return None
    return f"{reason}{project_modules.shadowed(package)}"


def _package(name: str) -> str:
    return name.partition(".")[0]


def _definition(found: object) -> tuple[str, str]:
    """Returns the module that defines an object or its class, and the qualified name there."""
    module = getattr(found, "__module__", None) or type(found).__module__
    qualname = getattr(found, "__qualname__", type(found).__qualname__)
    return str(module), str(qualname)


def _function_of(method: object) -> object:
    """Returns the function that runs if a method is called, or an object whose class has it."""
    while True:
        owner = getattr(method, "__self__", None)
        is_call = getattr(method, "__name__", "") == "__call__"
        if isinstance(method, functools.partial):
            method = method.func
        elif is_call and hasattr(owner, "__qualname__"):
            # The `__call__` of a function calls the function.
            method = owner
        elif hasattr(method, "__qualname__"):
            return method
        else:
            return type(method).__call__
