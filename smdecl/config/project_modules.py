"""Decides which modules the project defines, without importing any of them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from smdecl import installed
from smdecl.config import frameworks, relative_paths
from smdecl.config.project import Project
from smdecl.errors import nearest

_SUFFIXES = ("", *importlib.machinery.all_suffixes())


def find_spec(package: str) -> ModuleSpec | None:
    """Returns the spec of a top-level module as the build process finds it, or None."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:
        # A module in sys.modules without a spec, such as __main__.
        return None
    if spec is not None:
        return spec
    # The build process has the current directory last on its path; this process does not.
    return PathFinder.find_spec(package, [str(Path.cwd())])


def refuse_module(name: str, project: Project) -> str | None:
    """Returns why a name is not in a module of the project; None if it is.

    Args:
        name: A dotted path that begins with a module, such as `mynet.Net`.
        project: The project.
    """
    package, *parts = name.split(".")
    spec = find_spec(package)
    if spec is None:
        return f"{_no_module(package)}{_meant_module(package, project)}"
    absent = _absent_submodule(spec, parts)
    if absent is not None:
        return _refuse_directory(package, parts, absent)
    if not _is_within(spec, project):
        return _outside(package, project)
    outside = _outside_submodule(spec, parts, project)
    if outside is None:
        return None
    submodule = ".".join([package, *parts[:outside]])
    return f"{submodule!r} is not defined in the project {project.root}"


def is_absent(name: str) -> bool:
    """Returns whether no module defines a name: none is found, or only directories without one."""
    package, *parts = name.split(".")
    spec = find_spec(package)
    return spec is None or _absent_submodule(spec, parts) is not None


def needs_project(project: Project) -> str:
    """Returns a hint if smdecl runs in a directory that cannot be a project; empty otherwise."""
    if project.is_project:
        return ""
    return (
        "; that directory is not a project: run smdecl in a different one,"
        " or add a pyproject.toml to it"
    )


def shadowed(package: str) -> str:
    """Returns a hint if a module shadows the one in the current directory; empty otherwise."""
    here = Path.cwd()
    for path in _module_files(here, package):
        if path.is_file() and _is_shadowed(package, path):
            is_standard = package in sys.stdlib_module_names
            by = (
                "Python's standard library"
                if is_standard
                else "an installed package"
            )
            return f"; {by} shadows {path.relative_to(here)}: rename it"
    return ""


def shadowed_modules() -> Iterator[str]:
    """Yields the modules in the current directory that a different module shadows."""
    here = Path.cwd()
    paths = [*here.glob("*.py"), *here.glob("*/__init__.py")]
    for path in sorted(paths):
        name = path.stem if path.parent == here else path.parent.name
        if _is_shadowed(name, path):
            yield name


def replaced_frameworks() -> Iterator[Path]:
    """Yields the modules in the current directory that Python imports instead of a framework."""
    here = Path.cwd()
    for name in (*frameworks.FRAMEWORKS, "numpy"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        for path in _module_files(here, name):
            if path.is_file() and path.samefile(spec.origin):
                yield path.relative_to(here)


def _module_files(directory: Path, name: str) -> tuple[Path, Path]:
    return directory / f"{name}.py", directory / name / "__init__.py"


def _is_shadowed(name: str, path: Path) -> bool:
    """Returns whether importing `name` leads to a different module than the one in `path`."""
    # A framework's name is never the project's, even if the framework is not installed.
    if name in sys.stdlib_module_names or name in frameworks.FRAMEWORKS:
        return True
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return False
    return Path(spec.origin).resolve() != path.resolve()


def _outside(package: str, project: Project) -> str:
    reason = f"{package!r} is not defined in the project {project.root}"
    hint = shadowed(package) or needs_project(project)
    if hint:
        return f"{reason}{hint}"
    setting = "trust under [tool.smdecl] in the project's pyproject.toml"
    return (
        f"{reason}; to trust it, pass --trust {package} or add it to {setting}"
    )


def _meant_module(package: str, project: Project) -> str:
    """Returns a hint at the module that was probably meant; empty if there is none.

    That is a module in the project's root or its `src`, or one of a similar name.
    """
    here = Path.cwd()
    is_below = here.resolve() != project.root
    if is_below and PathFinder.find_spec(package, [str(project.root)]):
        return f"; it is in {project.root}: run smdecl from there"
    for root in dict.fromkeys((here, project.root)):
        for source in (root / "src" / package, root / "src" / f"{package}.py"):
            if source.exists():
                install = f"run pip install -e {os.path.relpath(root)}"
                return f"; {os.path.relpath(source)} exists: {install}"
    elsewhere = _run_elsewhere(package)
    if elsewhere:
        return elsewhere
    names = [path.stem for path in here.glob("*.py")]
    names += [path.parent.stem for path in here.glob("*/__init__.py")]
    return nearest(package, [*sorted(names), *frameworks.FRAMEWORKS])


def _run_elsewhere(package: str) -> str:
    """Returns a hint to run smdecl in the directory of a module; empty if it is not found."""
    for file in _module_files(Path(), package):
        hint = relative_paths.run_elsewhere(str(file))
        if hint:
            return hint
    return ""


def _no_module(package: str) -> str:
    return f"no module {package!r} in the current directory or on sys.path"


@dataclass(frozen=True)
class _Absent:
    """A part of a target that directories without an `__init__.py` lack.

    Attributes:
        count: How many parts, after the first one, lead to these directories.
        known: What the directories have.
    """

    count: int
    known: tuple[str, ...]


def _absent_submodule(spec: ModuleSpec, parts: list[str]) -> _Absent | None:
    """Returns the part of a target that only directories lead to; None if a file defines it.

    Python imports a directory without an `__init__.py` as a module. It defines nothing itself.
    """
    if spec.origin is not None:
        return None
    directories = [
        Path(place) for place in spec.submodule_search_locations or ()
    ]
    for count, part in enumerate(parts):
        found = []
        for directory in directories:
            found += _submodule_paths(directory / part)
        if any(path.suffix for path in found):
            return None
        is_last = count == len(parts) - 1
        if is_last or not found:
            known = set(_submodules(directories)) - {part}
            return _Absent(count, tuple(sorted(known)))
        directories = found
    return None


def _submodules(directories: Iterable[Path]) -> Iterator[str]:
    """Yields the names of what can be imported from directories without an `__init__.py`."""
    for directory in filter(Path.is_dir, directories):
        for path in directory.iterdir():
            if path.is_dir() or path.name.endswith(_SUFFIXES[1:]):
                yield path.name.partition(".")[0]


def _refuse_directory(package: str, parts: list[str], absent: _Absent) -> str:
    hint = "" if absent.count else _run_elsewhere(package)
    if hint:
        return f"{_no_module(package)}{hint}"
    place = ".".join([package, *parts[: absent.count]])
    part = parts[absent.count]
    message = f"{place!r} has no attribute {part!r}"
    return f"{message}{nearest(part, absent.known)}"


def _is_within(spec: ModuleSpec, project: Project) -> bool:
    places = [*(spec.submodule_search_locations or [])]
    if spec.has_location and spec.origin is not None:
        places.append(spec.origin)
    if not places:
        return False
    return all(_is_inside(Path(place), project) for place in places)


def _outside_submodule(
    spec: ModuleSpec, parts: list[str], project: Project
) -> int | None:
    """Returns how many parts lead to a submodule outside the project; None if none do.

    A symbolic link can lead there.
    """
    directories = [
        Path(place) for place in spec.submodule_search_locations or ()
    ]
    for count, part in enumerate(parts, start=1):
        found = []
        for directory in directories:
            found += _submodule_paths(directory / part)
        if not all(_is_inside(path, project) for path in found):
            return count
        directories = [path for path in found if path.is_dir()]
    return None


def _submodule_paths(path: Path) -> list[Path]:
    """Returns the directory and the files that a submodule can be loaded from."""
    candidates = [Path(f"{path}{suffix}") for suffix in _SUFFIXES]
    candidates += [
        Path(f"{path / '__init__'}{suffix}") for suffix in _SUFFIXES
    ]
    # Not by pathlib, which raises if a name is longer than a file name may be.
    return [path for path in candidates if os.path.exists(path)]  # noqa: PTH110


def _is_inside(place: Path, project: Project) -> bool:
    # A virtual environment is often inside the project, but what is installed there is not its own.
    place = Path(os.path.realpath(place))
    return project.owns(place) and not installed.holds(place)
