"""Checks the arguments of a `_target_` against the signature of the class or function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from smdecl.config.types import Values
from smdecl.errors import KeyPath, Problem, nearest

Target: TypeAlias = Callable[..., object]
"""The class or function that a `_target_` names."""

_CONVERSIONS = ("none", "partial", "object", "all")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)
_NAMED = (
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_conversion(value: object) -> bool:
    return value in _CONVERSIONS


# Hydra fails on other values of these keys, or ignores them.
_HYDRA_VALUES: dict[str, tuple[Callable[[object], bool], str]] = {
    "_args_": (_is_list, "a list"),
    "_partial_": (_is_bool, "true or false"),
    "_recursive_": (_is_bool, "true or false"),
    "_convert_": (_is_conversion, f"one of {', '.join(_CONVERSIONS)}"),
}
_HYDRA_KEYS = ("_target_", *_HYDRA_VALUES)


def problems(target: Target, node: Values, path: KeyPath) -> list[Problem]:
    """Returns what is wrong with the arguments of a config node.

    Args:
        target: What the node calls.
        node: The target's name, its arguments and the keys that control Hydra.
        path: The key of the node.
    """
    try:
        parameters = tuple(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        # Some builtins and extension classes have no signature.
        return list(_hydra_key_problems(node, path))
    name = getattr(target, "__qualname__", str(target))
    return of_parameters(name, parameters, node, path)


def of_parameters(
    name: str,
    parameters: Sequence[inspect.Parameter],
    node: Values,
    path: KeyPath,
) -> list[Problem]:
    """Returns what is wrong with the arguments of a config node for a target with parameters."""
    found = list(_hydra_key_problems(node, path))
    if found:
        return found
    return list(_Call(name, parameters, node, path).problems())


def _hydra_key_problems(node: Values, path: KeyPath) -> Iterator[Problem]:
    for key, (is_valid, expected) in _HYDRA_VALUES.items():
        if key in node and not is_valid(node[key]):
            yield Problem(
                (*path, key), f"expected {expected}, got {node[key]!r}"
            )


@dataclass(frozen=True)
class _Call:
    """A call of a target with the arguments of a config node.

    Attributes:
        name: What is called.
        parameters: Its parameters.
        node: The config node.
        path: The key of the node.
    """

    name: str
    parameters: Sequence[inspect.Parameter]
    node: Values
    path: KeyPath

    @property
    def positional(self) -> list[str]:
        """The parameters that accept an argument by position."""
        return [p.name for p in self.parameters if p.kind in _POSITIONAL]

    @property
    def named(self) -> list[str]:
        """The parameters that accept an argument by keyword."""
        return [p.name for p in self.parameters if p.kind in _NAMED]

    @property
    def count(self) -> int:
        """How many arguments the node passes by position."""
        return len(self.node.get("_args_", ()))

    @property
    def keywords(self) -> list[str]:
        """The arguments that the node passes by keyword."""
        return [str(key) for key in self.node if key not in _HYDRA_KEYS]

    def problems(self) -> Iterator[Problem]:
        yield from self._too_many()
        yield from self._duplicate()
        yield from self._unknown()
        if not self.node.get("_partial_"):
            yield from self._missing()

    def _accepts(self, kind: inspect._ParameterKind) -> bool:
        return any(parameter.kind is kind for parameter in self.parameters)

    def _too_many(self) -> Iterator[Problem]:
        most = len(self.positional)
        has_limit = not self._accepts(inspect.Parameter.VAR_POSITIONAL)
        if self.count > most and has_limit:
            message = (
                f"{self.name} accepts at most {most} positional arguments"
            )
            yield Problem(
                (*self.path, "_args_"), f"{message}, got {self.count}"
            )

    def _duplicate(self) -> Iterator[Problem]:
        by_position = self.positional[: self.count]
        for key in self.keywords:
            if key in by_position and key in self.named:
                message = f"duplicate argument {key!r} of {self.name}"
                yield Problem(
                    (*self.path, key), f"{message}; _args_ sets it already"
                )

    def _unknown(self) -> Iterator[Problem]:
        if self._accepts(inspect.Parameter.VAR_KEYWORD):
            return
        known = self.named
        expected = (
            f"expected one of {', '.join(known)}" if known else "expected none"
        )
        for key in self.keywords:
            if key not in known:
                message = (
                    f"unknown argument {key!r} of {self.name}; {expected}"
                )
                yield Problem(
                    (*self.path, key), f"{message}{nearest(key, known)}"
                )

    def _missing(self) -> Iterator[Problem]:
        named = self.named
        given = {*self.positional[: self.count]}
        given.update(key for key in self.keywords if key in named)
        for parameter in self.parameters:
            name = parameter.name
            has_default = parameter.default is not parameter.empty
            if has_default or parameter.kind in _VARIADIC or name in given:
                continue
            message = f"missing required argument {name!r} of {self.name}"
            if name in named:
                yield Problem((*self.path, name), message)
            else:
                message += ", which is positional-only"
                yield Problem((*self.path, "_args_"), message)
