"""Checks the names in `smdecl.models` and their arguments by its source.

Importing it would import TensorFlow. For other targets, the build checks the same.
"""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from smdecl import resources, syntax_trees
from smdecl.checks.targets import target_arguments
from smdecl.checks.types import Problems
from smdecl.config import trust
from smdecl.config.types import Values
from smdecl.errors import Problem, nearest

_MODULE = "smdecl.models"
_SOURCE = resources.PACKAGE / "models.py"
_Kind = inspect._ParameterKind
_Parameters: TypeAlias = Sequence[inspect.Parameter]


def check(values: Values) -> Problems:
    """Yields unknown names, and the arguments that they do not accept or lack."""
    for path, target, node in trust.targets({"model": values["model"]}):
        module, _, name = target.rpartition(".")
        if module != _MODULE or name.startswith("_"):
            continue
        known = _names()
        if name not in known:
            message = (
                f"{_MODULE!r} has no attribute {name!r}{nearest(name, known)}"
            )
            yield Problem(path, message)
            continue
        parameters = known[name]
        if parameters is not None:
            yield from target_arguments.of_parameters(
                name, parameters, node, path[:-1]
            )


@functools.cache
def _names() -> Mapping[str, _Parameters | None]:
    """Returns the names in the module, with the parameters of those that declare them there."""
    known: dict[str, _Parameters | None] = {}
    tree = syntax_trees.parse(_SOURCE.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            known[node.name] = list(_parameters(node.args))
        elif isinstance(node, ast.ClassDef):
            known[node.name] = _of_constructor(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            known.update(
                (name.asname or name.name, None) for name in node.names
            )
    return known


def _of_constructor(kind: ast.ClassDef) -> _Parameters | None:
    """Returns the parameters of a class without `self`; None if it inherits its constructor."""
    for node in kind.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return list(_parameters(node.args))[1:]
    return None


def _parameters(arguments: ast.arguments) -> Iterator[inspect.Parameter]:
    only = [(each, _Kind.POSITIONAL_ONLY) for each in arguments.posonlyargs]
    either = [(each, _Kind.POSITIONAL_OR_KEYWORD) for each in arguments.args]
    required = len(only) + len(either) - len(arguments.defaults)
    for index, (argument, kind) in enumerate([*only, *either]):
        yield _parameter(argument, kind, has_default=index >= required)
    if arguments.vararg is not None:
        yield _parameter(arguments.vararg, _Kind.VAR_POSITIONAL)
    by_keyword = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    for argument, default in by_keyword:
        has_default = default is not None
        yield _parameter(argument, _Kind.KEYWORD_ONLY, has_default=has_default)
    if arguments.kwarg is not None:
        yield _parameter(arguments.kwarg, _Kind.VAR_KEYWORD)


def _parameter(
    argument: ast.arg, kind: _Kind, *, has_default: bool = False
) -> inspect.Parameter:
    # Only whether there is a default matters, not which.
    default = None if has_default else inspect.Parameter.empty
    return inspect.Parameter(argument.arg, kind, default=default)
