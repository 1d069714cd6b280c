"""Decides whether a module of the project may have names that its source does not show.

Python has many ways to add a name to a module. This module recognises the modules that use none of
them, and says nothing about the others.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from smdecl import installed, syntax_trees
from smdecl.config import frameworks, project_modules
from smdecl.config.project import Project

_LARGEST = 1 << 20  # bytes of a source file
_MOST_ENTRIES = 20_000  # of the project's directories
# With these, code reaches the namespace of a module, its own or a different one.
_REACHES = frozenset(
    {
        *("__builtins__", "__dict__", "__getattr__", "__globals__"),
        *("__import__", "__loader__", "__module__", "__path__", "__spec__"),
        *("__setattr__", "_convert_", "_getframe", "currentframe", "eval"),
        *("exec", "f_globals", "f_locals", "getmodule", "global_enum"),
        *("globals", "import_module", "locals", "meta_path", "modules"),
        *("path_hooks", "setattr", "vars"),
    }
)
_REACHING = re.compile(rf"\b({'|'.join(sorted(_REACHES))})\b")
# What does not add names to the modules that import it.
_HARMLESS = sys.stdlib_module_names | {
    *frameworks.FRAMEWORKS,
    "numpy",
    "smdecl",
}


def may_have(file: Path, name: str, project: Project) -> bool:
    """Returns whether a module may have a name that its source does not define.

    Args:
        file: The source of the module.
        name: The name.
        project: The project.
    """
    if not project.owns(file) or installed.holds(file):
        return True
    tree = _parse(file)
    if tree is None or _gives_its_name(tree) or _is_foreign(tree, project):
        return True
    mentions = re.compile(rf"\b{re.escape(name)}\b")
    try:
        for source in _sources(project.root):
            if _may_define(source, mentions):
                return True
    except (OSError, OverflowError):
        return True
    return False


def _may_define(file: Path, mentions: re.Pattern[str]) -> bool:
    """Returns whether the code in a file may give a module a name."""
    if file.stat().st_size > _LARGEST:
        return True
    text = file.read_text(encoding="utf-8", errors="replace")
    if mentions.search(text):
        return True
    if not _REACHING.search(text):
        return False
    tree = _parse(file)
    # Code with an invalid syntax cannot run.
    return tree is not None and any(map(_reaches, ast.walk(tree)))


def _parse(file: Path) -> ast.Module | None:
    try:
        return syntax_trees.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _reaches(node: ast.AST) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in _REACHES
        case ast.alias(name=name) | ast.FunctionDef(name=name):
            return name in _REACHES
        case ast.Constant(value=str(text)):
            return text in _REACHES
    return False


def _gives_its_name(tree: ast.Module) -> bool:
    """Returns whether a module uses its name other than to log, or to see if it is a script."""
    used, harmless = set(), set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="__name__"):
                used.add(node)
            case ast.Compare(left=name):
                harmless.add(name)
            case ast.Call(
                func=ast.Attribute(attr="getLogger")
                | ast.Name(id="getLogger"),
                args=[name],
            ):
                harmless.add(name)
    return not used <= harmless


def _is_foreign(tree: ast.Module, project: Project) -> bool:
    """Returns whether a module imports code outside the project that may add names to it."""
    return any(
        package not in _HARMLESS
        and project_modules.refuse_module(package, project) is not None
        for package in set(_imported(tree))
    )


def _imported(tree: ast.Module) -> Iterator[str]:
    """Yields the top-level packages that a module imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield alias.name.partition(".")[0]
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]


def _sources(root: Path) -> Iterator[Path]:
    """Yields the Python files of a project.

    Raises:
        OverflowError: If it has too many files.
    """
    left = _MOST_ENTRIES
    for directory, directories, files in os.walk(root):
        left -= len(directories) + len(files)
        if left < 0:
            raise OverflowError(root)
        directories[:] = filter(_may_have_code, directories)
        if "pyvenv.cfg" in files:
            directories.clear()
            continue
        for file in files:
            if file.endswith(".py"):
                yield Path(directory, file)


def _may_have_code(directory: str) -> bool:
    is_hidden = directory.startswith((".", "__pycache__"))
    return not is_hidden and not installed.is_site(directory)
