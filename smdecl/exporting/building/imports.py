"""Finds the modules that a model's code consists of, and the installed packages that it imports."""

from __future__ import annotations

import ast
import functools
import os
import sys
import warnings
from collections.abc import Container, Iterable, Iterator
from importlib import metadata
from pathlib import Path

from smdecl import installed, syntax_trees
from smdecl.exporting.user_code import is_installed, is_users
from smdecl.isolation import preloaded
from smdecl.resources import PACKAGE


def modules(root: Path) -> dict[str, Path]:
    """Returns the project's own modules that this process has imported.

    Args:
        root: The directory of the project.

    Returns:
        The path of each file in the project to its absolute path.
    """
    own = set()
    for place, path in {*_noted, *_users_files(preloaded.later())}:
        if place.is_relative_to(root) and path.is_relative_to(root):
            own.add(path)
    return {path.relative_to(root).as_posix(): path for path in sorted(own)}


def note_imports() -> None:
    """Notes the modules of users that are imported already; called once, in the server.

    Its forks look only at the modules that they import themselves.
    """
    _noted.update(_users_files(preloaded.later()))


_noted: set[tuple[Path, Path]] = set()


def _users_files(names: Iterable[str]) -> Iterator[tuple[Path, Path]]:
    """Yields the source files of modules that are neither installed nor smdecl's own.

    Each has the directory that it was imported from, where it may be a link.
    """
    files = set()
    for name in names:
        file = getattr(sys.modules.get(name), "__dict__", {}).get("__file__")
        if isinstance(file, str) and file.endswith(".py"):
            files.add(file)
    for file in files:
        # Cached, because TensorFlow has thousands of modules in far fewer directories.
        place = _users_directory(file.rpartition("/")[0])
        if place is not None:
            path = Path(file).resolve()
            if is_users(str(path)):
                yield place, path


@functools.cache
def _users_directory(directory: str) -> Path | None:
    """Returns the real path of a directory; None if it belongs to Python or to a package."""
    place = Path(_resolved(os.path.abspath(directory)))  # noqa: PTH100 - resolve() checks each part
    return None if is_installed(place) else place


@functools.cache
def _resolved(directory: str) -> str:
    """Resolves an absolute path, checking each parent directory once for all paths below it."""
    parent, _, name = directory.rpartition("/")
    if not name or Path(directory).is_symlink():
        return os.path.realpath(directory)
    return f"{_resolved(parent or '/').rstrip('/')}/{name}"


def brought(before: Container[str]) -> set[str]:
    """Returns the names of the modules that this process imported since it had those in `before`.

    Modules of packages that it already had are excluded: TensorFlow imports some on first use.
    """
    found = set()
    for name in preloaded.later():
        if name in before:
            continue
        is_new = not any(package in before for package in _packages_of(name))
        if is_new:
            found.add(name)
    return found


def outside(names: Iterable[str], root: Path) -> dict[str, Path]:
    """Returns the modules that are neither in the project nor installed.

    Args:
        names: The names of modules.
        root: The directory of the project.

    Returns:
        The path of each file below the directory that it is imported from, to its absolute path.
        The absolute path itself depends on the machine.
    """
    found = {}
    for name in sorted(names):
        path = _file(name)
        if path is None or not is_users(str(path)) or _site(path) is not None:
            continue
        if path.is_relative_to(PACKAGE) or path.resolve().is_relative_to(root):
            continue
        found[_imported_path(name, path)] = path
    return found


def _imported_path(name: str, path: Path) -> str:
    packages = name.split(".")
    if path.stem != "__init__":
        packages.pop()
    return "/".join([*packages, path.name])


def imported(files: Iterable[Path]) -> set[str]:
    """Returns the modules that these files import, including any already loaded."""
    names: set[str] = set()
    for file in files:
        if file.suffix != ".py":
            continue
        for node in _statements(_parse(file)):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                module = str(node.module)  # only a relative import has none
                names.add(module)
                names.update(f"{module}.{alias.name}" for alias in node.names)
    return {name for name in names if name in sys.modules}


def _parse(file: Path) -> ast.Module:
    with warnings.catch_warnings():
        # They appeared when the file was imported.
        warnings.simplefilter("ignore")
        try:
            return syntax_trees.parse(file.read_bytes())
        except SyntaxError:  # the file is being written
            return ast.Module([], [])


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields all statements and what contains them; `ast.walk` would visit expressions too."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        for field in ("body", "orelse", "handlers", "finalbody", "cases"):
            children = getattr(node, field, None)
            if isinstance(children, list):
                pending += children


def distributions(
    names: Iterable[str], known: Container[str] = ()
) -> set[str]:
    """Returns the names of the installed distributions that modules belong to.

    It reads the lists of their files, because `importlib.metadata.packages_distributions` takes a
    tenth of a second.

    Args:
        names: The names of modules.
        known: Distributions and packages to leave out.
    """
    found = set()
    for site, lines in _record_lines(names, known).items():
        for record in site.glob("*.dist-info/RECORD"):
            distribution = record.parent.name.partition("-")[0]
            # One of these is TensorFlow, whose list is very long.
            if distribution in known:
                continue
            content = b"\n" + record.read_bytes()
            if any(line in content for line in lines):
                found.add(
                    metadata.PathDistribution(record.parent).metadata["Name"]
                )
    return found


def _record_lines(
    names: Iterable[str], known: Container[str]
) -> dict[Path, set[bytes]]:
    """Returns the starts of the lines of top-level packages in RECORD files, by site directory."""
    lines: dict[Path, set[bytes]] = {}
    for name in {next(_packages_of(name)) for name in names}:
        path = _file(name)
        if name in known or path is None:
            continue
        site = _site(path)
        if site is not None:
            line = os.fsencode(f"\n{path.relative_to(site)},")
            lines.setdefault(site, set()).add(line)
    return lines


def _packages_of(name: str) -> Iterator[str]:
    """Yields the packages that contain a module, outermost first, and the module itself.

    Namespace packages, which have no file, are skipped.
    """
    parts = name.split(".")
    for end in range(1, len(parts)):
        package = ".".join(parts[:end])
        if _file(package):
            yield package
    yield name


def _file(name: str) -> Path | None:
    file = getattr(sys.modules.get(name), "__file__", None)
    return Path(file) if isinstance(file, str) else None


def _site(path: Path) -> Path | None:
    """Returns the directory of installed packages that contains a file."""
    for place in path.parents:
        if installed.is_site(str(place)):
            return place
    return None
