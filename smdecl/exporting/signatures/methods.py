"""Compares what signatures declare with the methods of an object and their arguments."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping

from smdecl.config.frameworks import FRAMEWORKS
from smdecl.config.settings import Nest, Signature
from smdecl.errors import ConfigError, KeyPath, Problem, nearest
from smdecl.exporting.live_objects import keras_models
from smdecl.exporting.signatures import arguments
from smdecl.exporting.signatures.parameters import (
    concrete_inputs,
    find_method,
    graph_of,
    is_function,
    parameters,
    specs_of_graph,
)
from smdecl.exporting.types import Method, Trackable

_NOT_OF_USERS = (*FRAMEWORKS, "builtins", "abc", "typing", "collections")


def of(obj: Trackable) -> dict[str, Method]:
    """Returns the methods that signatures can name.

    These are the public methods of the user's own classes, and the `tf.function`s that the object
    holds.
    """
    found = {}
    for name in _public_names(obj):
        # A property that is not set yet may raise any error.
        with contextlib.suppress(Exception):
            value = getattr(obj, name)
            if callable(value) and not inspect.isclass(value):
                found[name] = value
    return found


def _public_names(obj: Trackable) -> set[str]:
    names: set[str] = set()
    for kind in type(obj).__mro__:
        if _is_users(kind):
            names.update(vars(kind))
    for name, value in vars(obj).items():
        if is_function(value):
            names.add(name)
    if keras_models.is_model(obj):
        names.add("__call__")
    return {
        name
        for name in names
        if name == "__call__" or not name.startswith("_")
    }


def _is_users(kind: type) -> bool:
    return kind.__module__.partition(".")[0] not in _NOT_OF_USERS


def require(obj: Trackable, signatures: Mapping[str, Signature]) -> None:
    """Checks the methods and arguments that signatures name.

    This happens before weights are restored, because a misspelt name leaves the object unbuilt.

    Raises:
        ConfigError: If the object has no such method, or the method no such argument; lists all.
    """
    problems: list[Problem] = []
    for key, signature in signatures.items():
        problems += _problems(obj, ("signatures", key), signature)
    if problems:
        raise ConfigError(problems)


def _problems(
    obj: Trackable, path: KeyPath, signature: Signature
) -> list[Problem]:
    method = find_method(obj, signature.method)
    if method is None:
        return [_unknown_method(obj, path, signature.method)]
    name = f"{type(obj).__name__}.{signature.method}"
    path = (*path, "inputs")
    if signature.inputs is not None:
        problems = arguments.problems(path, name, method, signature.inputs)
        return problems or list(_wrong_dtypes(path, method, signature.inputs))
    if _knows_its_inputs(method) or not parameters(method, {}):
        return []
    return [
        Problem(path, f"missing; {name} has no input_signature to use instead")
    ]


def _unknown_method(obj: Trackable, path: KeyPath, name: str) -> Problem:
    known = sorted(of(obj))
    named = [method for method in known if method != "__call__"] or known
    if named:
        expected = f"one of {', '.join(named)}{nearest(name, named)}"
    else:
        expected = (
            "a dotted path to a method of an attribute, such as model.__call__"
        )
    message = (
        f"unknown method {name!r} of {type(obj).__name__}; expected {expected}"
    )
    return Problem((*path, "method"), message)


def _knows_its_inputs(method: Method) -> bool:
    own_specs = getattr(method, "input_signature", None)
    if own_specs is not None or graph_of(method) is not None:
        return True
    return concrete_inputs(method) is not None


def _wrong_dtypes(
    path: KeyPath, method: Method, inputs: Mapping[str, Nest]
) -> Iterator[Problem]:
    """Yields the inputs that are strings where a Keras Input is not, or the reverse.

    Every call of such a signature would fail.
    """
    for name, declared, own in _other_dtypes(method, inputs):
        if "string" in (own, declared):
            message = f"expected {own}, the dtype of the Input {name!r}, got {declared}"
            yield Problem((*path, name, "dtype"), message)


def casts(
    obj: Trackable, signatures: Mapping[str, Signature]
) -> Iterator[Problem]:
    """Yields a warning for each input that Keras casts to a different numeric dtype."""
    for key, signature in signatures.items():
        method = find_method(obj, signature.method)
        for name, declared, own in _other_dtypes(
            method, signature.inputs or {}
        ):
            message = (
                f"Keras casts what clients send: the input is declared as {declared},"
                f" and the Input {name!r} of the model is {own}"
            )
            yield Problem(
                ("signatures", key, "inputs", name, "dtype"), message
            )


def _other_dtypes(
    method: Method, inputs: Mapping[str, Nest]
) -> Iterator[tuple[str, str, str]]:
    """Yields name, declared dtype and own dtype of each input that differs from its Keras Input."""
    for name, declared, own in specs_of_graph(method, inputs):
        if own.dtype != declared.dtype:
            yield name, declared.dtype, own.dtype
