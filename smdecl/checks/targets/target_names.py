"""Finds the names in `_target_` that no module defines, by the source of the modules.

Nothing is imported. What the source does not show, the build finds out.
"""

from __future__ import annotations

import ast
import functools
import os
import symtable
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TypeVar

from smdecl import syntax_trees
from smdecl.checks.targets import hidden_names
from smdecl.checks.types import Problems
from smdecl.config import frameworks, project_modules, trust
from smdecl.config.project import Project
from smdecl.config.types import Values
from smdecl.errors import Problem, closest, did_you_mean, nearest

Found = TypeVar("Found")

_LARGEST = 1 << 20  # bytes of a source file
# With these, a module can define names that its source does not show.
_DYNAMIC = ("eval", "exec", "globals", "locals", "setattr", "vars")
# Where the source of an API is, if the directory of the package does not show it.
_TENSORFLOW = "_api/v2"
_KERAS_IN_TENSORFLOW = ("keras", "_tf_keras/keras")
# If this variable is set, tensorflow.keras may be tf_keras.
_LEGACY = "TF_USE_LEGACY_KERAS"
# Abbreviations that only an import statement can define.
_ABBREVIATED = {"tf": "tensorflow"}
# The namespaces of the names that users write without one.
_NAMESPACES = ("layers", "models", "applications")


@dataclass(frozen=True)
class _Module:
    """The source of a module.

    Attributes:
        name: Its dotted name.
        file: Its file.
        directory: The directory of its submodules; None if it is not a package.
    """

    name: str
    file: Path
    directory: Path | None = None

    def submodule(self, part: str) -> _Module | None:
        """Returns a submodule; None if there is none."""
        if self.directory is None:
            return None
        name = f"{self.name}.{part}"
        directory = self.directory / part
        if (directory / "__init__.py").is_file():
            return _Module(name, directory / "__init__.py", directory)
        file = self.directory / f"{part}.py"
        return _Module(name, file) if file.is_file() else None

    def has_compiled(self, part: str) -> bool:
        """Returns whether it has a compiled submodule of a name."""
        if self.directory is None:
            return False
        names = [f"{part}{suffix}" for suffix in EXTENSION_SUFFIXES]
        return any((self.directory / name).exists() for name in names)

    def names(self) -> frozenset[str] | None:
        """Returns the names that it defines, submodules included; None if they are unknown."""
        own = _names(self.file)
        if own is None or self.directory is None:
            return own
        return own | {
            path.name.partition(".")[0] for path in self.directory.iterdir()
        }


@dataclass(frozen=True)
class _Absent:
    """A part of a target that is absent.

    Attributes:
        module: The module that lacks it.
        name: The part.
        rest: The parts after it.
        known: What the module defines.
    """

    module: _Module
    name: str
    rest: tuple[str, ...]
    known: tuple[str, ...]

    def similar(self, is_allowed: Callable[[str], bool]) -> str | None:
        """Returns the allowed target that is most similar to the absent one; None if none is."""
        allowed = {}
        for name in self.known:
            target = ".".join([self.module.name, name, *self.rest])
            if is_allowed(target):
                allowed[name] = target
        meant = closest(self.name, allowed)
        return None if meant is None else allowed[meant]


def check(values: Values, project: Project) -> Problems:
    """Yields the targets of a config that may be imported, and name nothing."""
    parts = {key: values.get(key) for key in ("model", "devices")}
    for path, target, _ in trust.targets(parts):
        if trust.refuse_target(target, project) is None:
            reason = refuse(target, project)
            if reason is not None:
                yield Problem(path, reason)


def unparsable(
    values: Values, project: Project
) -> Iterator[tuple[Problem, SyntaxError]]:
    """Yields the targets of a config whose modules Python cannot parse, and why."""
    parts = {key: values.get(key) for key in ("model", "devices", "options")}
    for path, target, _ in trust.targets(parts):
        if not trust.is_users(target):
            continue
        if trust.refuse_target(target, project) is not None:
            continue
        for module in _modules(target):
            error = _syntax_error(module.file)
            if error is not None:
                reason = f"SyntaxError: {error}"
                message = f"importing {module.name!r} failed: {reason}"
                yield Problem(path, message), error
                break


def _modules(target: str) -> Iterator[_Module]:
    """Yields the modules that importing a target certainly runs."""
    package, *parts = target.split(".")
    module = _top(package)
    for part in parts:
        if module is None:
            return
        yield module
        names = _names(module.file)
        # An attribute of the package comes before a submodule, a compiled one before its source.
        if names is None or part in names or module.has_compiled(part):
            return
        module = module.submodule(part)


def _syntax_error(file: Path) -> SyntaxError | None:
    """Returns the syntax error in a source file; None if it has none, or it is unknown."""
    return _read_once(_syntax_error_of, file)


@functools.cache
def _syntax_error_of(file: Path, _state: object) -> SyntaxError | None:
    """Does the work of `_syntax_error`, once for each state of a file."""
    try:
        _parse(file)
    except SyntaxError as error:
        return error.with_traceback(None)
    except (ValueError, RecursionError):
        return None
    return None


def refuse(target: str, project: Project) -> str | None:
    """Returns why a target names nothing; None if it names something, or may do so."""
    absent = None if _is_own(target) else _find_absent(target)
    if absent is None:
        return None
    is_framework = frameworks.is_framework(target)
    file = absent.module.file
    if not is_framework and hidden_names.may_have(file, absent.name, project):
        return None
    hint = _without_suffix(target) or nearest(absent.name, absent.known)
    return f"{absent.module.name!r} has no attribute {absent.name!r}{hint}"


def _without_suffix(target: str) -> str:
    """Returns the hint for a target with the name of a file, such as `net.py.make`."""
    meant = target.replace(".py.", ".")
    return "" if meant == target else f"; write {meant}"


def _is_own(target: str) -> bool:
    return target.partition(".")[0] == "smdecl"  # `own_models` checks these


def hint(target: str) -> str:
    """Returns the hint for a target that may not be named; empty if no allowed one is similar."""
    without_suffix = _without_suffix(target)
    if without_suffix:
        return without_suffix
    package, _, rest = target.partition(".")
    if package in _ABBREVIATED:
        return did_you_mean(f"{_ABBREVIATED[package]}.{rest}")
    absent = None
    if frameworks.is_framework(target):
        absent = _find_absent(target)
    if absent is None:
        return ""
    similar = absent.similar(_is_allowed)
    return did_you_mean(
        similar or _in_namespace(absent.module.name, absent.name)
    )


def _is_allowed(target: str) -> bool:
    return frameworks.refuse_name(target) is None


def _in_namespace(module: str, name: str) -> str | None:
    """Returns the constructor of a name that was written without its namespace; None if absent."""
    for namespace in _NAMESPACES:
        target = f"{module}.{namespace}.{name}"
        if _is_allowed(target) and _find_absent(target) is None:
            return target
    return None


def _find_absent(target: str) -> _Absent | None:
    """Returns the first part of a target that is absent; None if none is, or it is unknown."""
    package, *parts = target.split(".")
    module = _top(package)
    for index, part in enumerate(parts):
        if module is None:
            return None
        below = _below(module, part)
        if below is None:
            known = module.names()
            # Python sets attributes such as __loader__. Those of what a module defines are unknown.
            is_special = part.startswith("__")
            if known is None or part in known or is_special:
                return None
            public = [name for name in known if not name.startswith("_")]
            rest = tuple(parts[index + 1 :])
            return _Absent(module, part, rest, tuple(sorted(public)))
        module = below
    return None


def _top(package: str) -> _Module | None:
    spec = project_modules.find_spec(package)
    if spec is None or spec.origin is None or not spec.has_location:
        return None
    file = Path(spec.origin)
    if file.suffix != ".py":
        return None
    directory = file.parent if spec.submodule_search_locations else None
    return _Module(package, file, directory)


def _below(module: _Module, part: str) -> _Module | None:
    if module.name != "tensorflow":
        return module.submodule(part)
    if part == "keras" and os.environ.get(_LEGACY):
        return None  # It is tf_keras then, under names that only its import tells.
    if part == "keras":
        package, directory = _KERAS_IN_TENSORFLOW
        keras = _top(package)
        if keras is None or keras.directory is None:
            return None
        place = keras.directory / directory
        return _Module("tensorflow.keras", place / "__init__.py", place)
    api = (module.directory or module.file.parent) / _TENSORFLOW
    return _Module("tensorflow", api / "__init__.py", api).submodule(part)


def _names(file: Path) -> frozenset[str] | None:
    """Returns the names that a source file defines at its top level; None if they are unknown."""
    return _read_once(_names_of, file)


def _read_once(
    read: Callable[[Path, object], Found], file: Path
) -> Found | None:
    """Returns what a cached function finds in a file, once for each state of the file.

    Args:
        read: The function. It gets the file, and what changes when the file does.
        file: The file.

    Returns:
        What it finds; None if the file cannot be read, or is too large to parse.
    """
    try:
        status = file.stat()
        if status.st_size > _LARGEST:
            return None
        return read(file, (status.st_mtime_ns, status.st_size))
    except OSError:
        return None


@functools.cache
def _names_of(file: Path, _state: object) -> frozenset[str] | None:
    """Does the work of `_names`, once for each state of a file."""
    try:
        tree, table = _parse(file)
    except (SyntaxError, ValueError, RecursionError):
        return None
    # A module that raises cannot be imported. The build shows why.
    has_raise = any(isinstance(node, ast.Raise) for node in tree.body)
    if has_raise or any(map(_is_dynamic, ast.walk(tree))):
        return None
    found = frozenset(_assigned(table))
    return None if "__getattr__" in found else found


def _parse(file: Path) -> tuple[ast.Module, symtable.SymbolTable]:
    source = file.read_text(encoding="utf-8")
    tree = syntax_trees.parse(source, str(file))
    return tree, symtable.symtable(source, str(file), "exec")


def _is_dynamic(node: ast.AST) -> bool:
    """Returns whether a module with this node can have names that its source does not show."""
    match node:
        case ast.ImportFrom(names=[ast.alias(name="*")]):
            return True
        case ast.Attribute(value=ast.Name(id="sys"), attr="modules"):
            return True
        case ast.Name(id=name):
            return name in _DYNAMIC
    return False


def _assigned(table: symtable.SymbolTable) -> Iterator[str]:
    """Yields the names of a module, those that its functions declare as global included."""
    is_module = table.get_type() == "module"
    for symbol in table.get_symbols():
        is_global = is_module or symbol.is_declared_global()
        is_set = symbol.is_assigned() or symbol.is_imported()
        if is_global and is_set:
            yield symbol.get_name()
    for child in table.get_children():
        yield from _assigned(child)
