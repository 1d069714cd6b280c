"""Tells which modules the model's code is made of, and which installed packages it brings in."""

from __future__ import annotations

import ast
import functools
import os
import sys
import warnings
from collections.abc import Container, Iterable, Iterator, Set
from importlib import metadata
from pathlib import Path

from smdecl.exporting.user_code import is_users
from smdecl.resources import PACKAGE

_SITES = ("site-packages", "dist-packages")


def modules(root: Path) -> dict[str, Path]:
    """Returns the project's own modules that this process has imported, by their place in the project."""
    found = [
        vars(module).get("__file__")
        for module in [*sys.modules.values()]
        if hasattr(module, "__dict__")
    ]
    files = {file for file in found if isinstance(file, str) and file.endswith(".py")}

    @functools.cache  # TensorFlow has thousands of modules, in far fewer directories
    def is_own(directory: str) -> bool:
        place = Path(_resolved(os.path.abspath(directory)))  # noqa: PTH100 - resolve() looks at each part
        # A virtual environment often lies in the project.
        return place.is_relative_to(root) and not {*_SITES} & {*place.parts}

    paths = {Path(file).resolve() for file in files if is_own(file.rpartition("/")[0])}
    own = [path for path in paths if path.is_relative_to(root) and is_users(str(path))]
    return {path.relative_to(root).as_posix(): path for path in sorted(own)}


@functools.cache
def _resolved(directory: str) -> str:
    """Resolves an absolute path, looking at each directory that leads to many of them once."""
    parent, _, name = directory.rpartition("/")
    if not name or Path(directory).is_symlink():
        return os.path.realpath(directory)
    return f"{_resolved(parent or '/').rstrip('/')}/{name}"


def brought(before: Set[str]) -> set[str]:
    """Returns the names of the modules that this process has imported since it had those of some names.

    A further module of a package that it had already is none of them: TensorFlow imports some when it first needs them.
    """
    return {
        name
        for name in [*sys.modules]
        if name not in before and not {*_packages_of(name)} & before
    }


def outside(names: Iterable[str], root: Path) -> dict[str, Path]:
    """Returns those of some modules that lie neither in the project nor where packages are installed.

    They are called as they are imported, for their place is the machine's own.
    """
    found = {
        name: path
        for name in names
        if (path := _file(name)) and is_users(str(path)) and _site(path) is None
    }
    return {
        _called(name, path): path
        for name, path in sorted(found.items())
        if not path.is_relative_to(PACKAGE) and not path.resolve().is_relative_to(root)
    }


def _called(name: str, path: Path) -> str:
    parts = name.split(".")
    return "/".join([*(parts if path.stem == "__init__" else parts[:-1]), path.name])


def imported(files: Iterable[Path]) -> set[str]:
    """Returns the names in the import statements of some modules: what was there before is brought in by nobody."""
    nodes = [
        node
        for file in files
        if file.suffix == ".py"
        for node in _statements(_parse(file))
    ]
    names = {
        alias.name
        for node in nodes
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {
                node.module,
                *(f"{node.module}.{alias.name}" for alias in node.names),
            }
    return names & {*sys.modules}


def _parse(file: Path) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were told when it was imported
        try:
            return ast.parse(file.read_bytes())
        except SyntaxError:  # somebody is writing it anew
            return ast.Module([], [])


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields what holds statements, and each of them; `ast.walk` goes through all expressions too."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        parts = [
            getattr(node, field, None)
            for field in ("body", "orelse", "handlers", "finalbody", "cases")
        ]
        pending += [child for part in parts if isinstance(part, list) for child in part]


def distributions(names: Iterable[str], known: Container[str] = ()) -> set[str]:
    """Returns the names of the installed distributions that some modules are of, those that are known left out.

    By the lists of their files: importlib.metadata.packages_distributions takes a tenth of a second.
    """
    wanted: dict[Path, set[bytes]] = {}
    for name in {next(_packages_of(name)) for name in names}:
        path = _file(name)
        if name not in known and path is not None and (site := _site(path)):
            wanted.setdefault(site, set()).add(
                os.fsencode(f"\n{path.relative_to(site)},")
            )
    found = set()
    for site, lines in wanted.items():
        for record in site.glob("*.dist-info/RECORD"):
            # TensorFlow's own list is longer than all others.
            content = (
                b""
                if record.parent.name.partition("-")[0] in known
                else b"\n" + record.read_bytes()
            )
            if any(line in content for line in lines):
                found.add(metadata.PathDistribution(record.parent).metadata["Name"])
    return found


def _packages_of(name: str) -> Iterator[str]:
    """Yields the packages that a module is in, the outermost first, and itself; no namespace, which has no file."""
    parts = name.split(".")
    for package in (".".join(parts[:end]) for end in range(1, len(parts) + 1)):
        if package == name or _file(package):
            yield package


def _file(name: str) -> Path | None:
    file = getattr(sys.modules.get(name), "__file__", None)
    return Path(file) if isinstance(file, str) else None


def _site(path: Path) -> Path | None:
    return next((place for place in path.parents if place.name in _SITES), None)
