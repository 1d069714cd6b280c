"""What a config may name in `_target_`: code that the person who runs smdecl has chosen, and nothing else.

Allowed are smdecl's own models, constructors of TensorFlow and Keras that touch no file and no network, what is
defined in the project that smdecl is run from, and the packages that this project or the command line trusts by name.
The string is judged before anything is imported, the object that it leads to once more before anything is called.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from smdecl.config import frameworks
from smdecl.config.project import Project
from smdecl.errors import KeyPath, nearest

_FORWARD = (
    "__call__",
    "call",
    "lookup",
)  # of a layer, a model, a table: they compute, and touch nothing else
_DOTTED_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
# Instantiating resolves interpolations anew, whatever composing left of them: an escaped one could make a target.
_INTERPOLATION = "${"
_SUFFIXES = tuple(importlib.machinery.all_suffixes())


def refuse_environment(
    reads: Iterable[tuple[KeyPath, str]], project: Project
) -> Iterator[tuple[KeyPath, str]]:
    """Yields key path and reason of what a config reads from the environment and the project does not declare."""
    first: dict[str, KeyPath] = {}
    for path, name in reads:  # what another key leads to is read there again
        first.setdefault(name, path)
    for name, path in first.items():
        if name not in project.environment:
            add = f"add it to environment in [tool.smdecl] of {project.root / 'pyproject.toml'}"
            yield (
                path,
                f"reads the environment variable {name!r}, which the project does not declare; {add}",
            )


_NO_LOGGING = {
    "version": 1,
    "root": None,
    "disable_existing_loggers": False,
}  # hydra/job_logging=none


def refuse_hydra(
    settings: Mapping[str, Any], project: Project
) -> Iterator[tuple[KeyPath, str]]:
    """Yields key path and reason of Hydra's own settings that would run code, write files or change the environment.

    Args:
        settings: Of the key `hydra`, as `composing.hydra_settings` returns them.
        project: Where `hydra_plugins` is trusted, launchers and sweepers of Hydra's plugins may run.
    """
    yield from _refuse_code(settings, project)
    for key in ("launcher", "sweeper", "job", "run", "sweep"):
        if not isinstance(settings.get(key) or {}, Mapping):
            yield (
                ("hydra", key),
                f"got {settings[key]!r}; takes a mapping of its settings",
            )
            return
    for key in ("hydra_logging", "job_logging"):
        if settings.get(key, _NO_LOGGING) != _NO_LOGGING:
            yield (
                ("hydra", key),
                f"configures logging, which can run code and write files; takes hydra/{key}=none",
            )
    if settings.get("callbacks"):
        yield ("hydra", "callbacks"), "names callbacks, which run code; takes none"
    if (settings.get("sweeper") or {}).get("params"):
        yield (
            ("hydra", "sweeper", "params"),
            "adds overrides that nobody has looked at; write them on the command line",
        )
    for key in ("run", "sweep"):
        if "oc.env" in str(settings.get(key)):
            yield (
                ("hydra", key),
                "reads the environment, which only values of a config may",
            )
    for key in ("env_set", "env_copy"):
        if (settings.get("job") or {}).get(key):
            yield ("hydra", "job", key), "changes the environment of a run; takes none"


def _refuse_code(
    settings: Mapping[str, Any], project: Project
) -> Iterator[tuple[KeyPath, str]]:
    for path, target, _ in targets(dict(settings), ("hydra",)):
        if path[-1] != "_target_":
            yield (
                path,
                f"{target!r} holds an interpolation that Hydra would resolve unchecked; takes a plain value",
            )
        elif not _may_run(target, path, project):
            yield (
                path,
                f"{target!r} may not run; a plugin's launcher or sweeper may with --trust hydra_plugins",
            )


def _may_run(target: str, path: KeyPath, project: Project) -> bool:
    plugin = target.startswith("hydra_plugins.") and path[1] in ("launcher", "sweeper")
    trusted = plugin and "hydra_plugins" in project.trusted
    return trusted or target.startswith("hydra._internal.core_plugins.")


def targets(
    value: Any, path: KeyPath = ()
) -> Iterator[tuple[KeyPath, str, dict[str, Any]]]:
    """Yields key path, `_target_` and node of everything in a config that Hydra would instantiate.

    That includes what could become a target only then: a `_target_` that is no string, and under one a string that
    holds an interpolation. `refuse_target` refuses them.
    """
    if isinstance(value, dict):
        if "_target_" in value:
            yield (*path, "_target_"), str(value["_target_"]), value
            yield from _interpolations(value, path)
        for key, item in value.items():
            if key != "_target_":
                yield from targets(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from targets(item, (*path, index))


def _interpolations(
    value: Any, path: KeyPath
) -> Iterator[tuple[KeyPath, str, dict[str, Any]]]:
    """Yields those of a target's own arguments; a target among them has its own turn."""
    if (
        isinstance(value, str)
        and _INTERPOLATION in value
        and path[-1:] != ("_target_",)
    ):
        yield path, value, {}
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if not (isinstance(item, dict) and "_target_" in item):
                yield from _interpolations(item, (*path, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            if not (isinstance(item, dict) and "_target_" in item):
                yield from _interpolations(item, (*path, key))


def model_files(value: Any) -> Iterator[tuple[KeyPath, str]]:
    """Yields key path and name of the files of whole models in a config: inputs of a release, as weights are."""
    for path, target, node in targets(value):
        if target == frameworks.LOAD_KERAS:
            yield from (
                ((*path[:-1], *place), name)
                for place, name in frameworks.files(target, node)
            )


def refuse_file(name: str, project: Project) -> str | None:
    """Says why a config may not have a file's contents in a release, or returns None where it is the project's."""
    if "\0" in name:
        return f"{name!r} is no name of a file"
    # Not by pathlib, which raises at a loop of links and at a name that is longer than a file can have.
    if "://" in name or not project.owns(Path(os.path.realpath(name))):
        return f"{name!r} lies outside of the project, {str(project.root)!r}{_no_project(project)}"
    return None if os.path.isfile(name) else f"no file {name!r}"  # noqa: PTH113


def is_framework(target: str) -> bool:
    """Tells whether a `_target_` is TensorFlow's, Keras's or smdecl's own, so that no code of a project runs."""
    return frameworks.is_framework(target) or target.partition(".")[0] == "smdecl"


def refuse_target(target: str, project: Project) -> str | None:
    """Says why a `_target_` may not be imported, or returns None where it may; imports nothing."""
    if target.partition(".")[0] == "__main__":
        return f"{target!r} is in the script that is running, which no other process can import; put it into a module"
    if _INTERPOLATION in target:
        return f"{target!r} holds an interpolation that would be resolved once more, unchecked; takes a plain value"
    if not _DOTTED_PATH.fullmatch(target):
        return f"got {target!r}; takes module and name, such as mynet.Net"
    return _refuse_name(target, project)


def is_absent(target: str) -> bool:
    """Tells whether a `_target_` names a module that is not there, which nobody has to trust."""
    package = target.partition(".")[0]
    return (
        bool(_DOTTED_PATH.fullmatch(target))
        and package != "__main__"
        and find_spec(package) is None
    )


def _refuse_name(name: str, project: Project) -> str | None:
    package = name.partition(".")[0]
    if package == "smdecl":
        return (
            None
            if name.startswith("smdecl.models.")
            else f"{name!r} is internal to smdecl{_shadowed(package)}"
        )
    if frameworks.is_framework(name):
        reason = frameworks.refuse_name(name)
        return None if reason is None else f"{reason}{_shadowed(package)}"
    if package in project.trusted:
        return None
    if package in sys.stdlib_module_names or package in ("hydra", "omegaconf"):
        return (
            f"{name!r} is not defined in the project {project.root}{_shadowed(package)}"
        )
    return _refuse_package(package, project) or _refuse_submodule(name, project)


def _refuse_package(package: str, project: Project) -> str | None:
    spec = find_spec(package)
    if spec is None:
        return f"no module {package!r} in the current directory or on sys.path{_meant(package, project)}"
    if _is_within(spec, project):
        return None
    reason = f"{package!r} is not defined in the project {project.root}"
    if hint := _shadowed(package) or _no_project(project):
        return f"{reason}{hint}"
    trusting = "add it to trust under [tool.smdecl] in the project's pyproject.toml"
    return f"{reason}; to trust it, pass --trust {package} or {trusting}"


def _no_project(project: Project) -> str:
    if project.is_project:
        return ""
    return "; that is no project: run smdecl in a directory of its own, or put a pyproject.toml there"


def _shadowed(package: str) -> str:
    """Tells of a module in the current directory that a module of Python or an installed package goes before."""
    here = Path.cwd()
    for path in (here / f"{package}.py", here / package / "__init__.py"):
        if path.is_file() and _goes_before(package, path):
            kind = (
                "Python's own module"
                if package in sys.stdlib_module_names
                else "an installed package"
            )
            return f"; {path.relative_to(here)} has the name of {kind}, which goes before it: rename it"
    return ""


def shadowed_modules() -> Iterator[str]:
    """Yields the modules in the current directory that a module of Python or an installed package goes before."""
    here = Path.cwd()
    for path in sorted([*here.glob("*.py"), *here.glob("*/__init__.py")]):
        name = path.stem if path.parent == here else path.parent.name
        if _goes_before(name, path):
            yield name


def replaced_frameworks() -> Iterator[Path]:
    """Yields the modules in the current directory that Python would import in the place of a framework."""
    here = Path.cwd()
    for name in (*frameworks.FRAMEWORKS, "numpy"):
        spec = importlib.util.find_spec(name)
        origin = None if spec is None else spec.origin
        for path in (here / f"{name}.py", here / name / "__init__.py"):
            if origin is not None and path.is_file() and path.samefile(origin):
                yield path.relative_to(here)


def _goes_before(name: str, path: Path) -> bool:
    """Tells whether a name leads to another module than to that in a file."""
    spec = find_spec(name)
    origin = None if spec is None else spec.origin
    is_elsewhere = origin is not None and Path(origin).resolve() != path.resolve()
    # One of a framework that is not installed is never taken for the project's either.
    return (
        name in sys.stdlib_module_names or name in frameworks.FRAMEWORKS or is_elsewhere
    )


def _meant(package: str, project: Project) -> str:
    """Tells of a module that must have been meant: the project's, seen from below it, or one of a similar name."""
    here = Path.cwd()
    if here.resolve() != project.root and importlib.machinery.PathFinder.find_spec(
        package, [str(project.root)]
    ):
        return f"; it is in {project.root}: run smdecl from there"
    for root in dict.fromkeys((here, project.root)):
        sources = (root / "src" / package, root / "src" / f"{package}.py")
        found = next((path for path in sources if path.exists()), None)
        if found is not None:
            return f"; {os.path.relpath(found)} exists: run pip install -e {os.path.relpath(root)}"
    modules = [
        *here.glob("*.py"),
        *(file.parent for file in here.glob("*/__init__.py")),
    ]
    return nearest(package, sorted(path.stem for path in modules))


def _refuse_submodule(name: str, project: Project) -> str | None:
    """Says which module on the way to a name lies elsewhere, by a symbolic link; imports none of them."""
    package, *parts = name.split(".")
    directories = [
        Path(place) for place in find_spec(package).submodule_search_locations or ()
    ]
    for index, part in enumerate(parts):
        stems = [
            stem
            for directory in directories
            for stem in (directory / part, directory / part / "__init__")
        ]
        found = [
            path
            for stem in stems
            for suffix in ("", *_SUFFIXES)
            if (path := Path(f"{stem}{suffix}")).exists()
        ]
        if not all(_inside(path, project) for path in found):
            return f"{'.'.join([package, *parts[: index + 1]])!r} is not defined in the project {project.root}"
        directories = [path for path in found if path.is_dir()]
    return None


def _is_within(spec: Any, project: Project) -> bool:
    places = [
        *(spec.submodule_search_locations or []),
        *([spec.origin] if spec.has_location else []),
    ]
    return bool(places) and all(_inside(Path(place), project) for place in places)


def find_spec(package: str) -> Any:
    """Returns the spec of a top-level module as the process that builds finds it; None if there is none."""
    try:
        found = importlib.util.find_spec(package)
    except ValueError:  # a module in sys.modules that has no spec, such as __main__
        return None
    # The process that builds has the current directory on its path, after all else; this one has not.
    return found or importlib.machinery.PathFinder.find_spec(package, [str(Path.cwd())])


def _inside(place: Path, project: Project) -> bool:
    # A virtual environment often lies in the project; what is installed there is not the project's.
    place = Path(os.path.realpath(place))
    return project.owns(place) and not {"site-packages", "dist-packages"} & set(
        place.parts
    )


def refuse_object(found: Any, target: str, project: Project) -> str | None:
    """Says why the object that a `_target_` led to may not be called, or returns None where it may.

    A name in a trusted module can be an alias for something else: `mymodule.tf.io.gfile.rmtree`, a bound method that
    a class inherits from elsewhere. What counts is where the object itself was defined.
    """
    defined_in = str(getattr(found, "__module__", None) or type(found).__module__)
    package, named = defined_in.partition(".")[0], target.partition(".")[0]
    if package in frameworks.FRAMEWORKS:
        alias = f"{target!r} is an alias of {defined_in}.{_qualname(found)}; name the constructor itself"
        return None if named in frameworks.FRAMEWORKS else alias
    # Its own package too: what the process had imported already goes before a file of that name in the project.
    reason = _refuse_name(f"{defined_in}.{_qualname(found)}", project)
    return (
        f"{target!r} leads to {defined_in}.{_qualname(found)}: {reason}"
        if reason
        else None
    )


def refuse_method(method: Any, project: Project) -> str | None:
    """Says why a signature may not call what its path led to, or returns None where it may.

    Every object has methods that nobody meant to serve: those of Keras and TensorFlow write files, and through an
    attribute that is a module there is everything else. What counts is where the function itself was defined.
    """
    function = _function_of(method)
    module = str(getattr(function, "__module__", None) or type(function).__module__)
    name = f"{module}.{_qualname(function)}"
    if module.partition(".")[0] not in frameworks.FRAMEWORKS:
        return _refuse_name(name, project)
    takes = f"takes a method of the project's own, or one of a framework's {', '.join(_FORWARD)}"
    return (
        None
        if name.rpartition(".")[2] in _FORWARD
        else f"{name} is not for a signature to call; {takes}"
    )


def _function_of(method: Any) -> Any:
    """Returns the function that runs where a method is called, or an object whose class has one."""
    while True:
        owner = getattr(method, "__self__", None)
        if isinstance(method, functools.partial):
            method = method.func
        elif getattr(method, "__name__", "") == "__call__" and hasattr(
            owner, "__qualname__"
        ):
            method = owner  # of a function, `__call__` calls the function
        else:
            return method if hasattr(method, "__qualname__") else type(method).__call__


def _qualname(found: Any) -> str:
    return str(getattr(found, "__qualname__", type(found).__qualname__))
