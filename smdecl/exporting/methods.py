"""What a signature can name: the methods of an object, and the arguments that they take."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from smdecl.config.settings import Nest, Signature, Spec
from smdecl.errors import ConfigError, KeyPath, Problem, nearest
from smdecl.exporting import keras_models
from smdecl.exporting.specs import (
    argument_problems,
    concrete_inputs,
    find_method,
    graph_of,
    parameters,
)

_FRAMEWORKS = (
    "tensorflow",
    "keras",
    "tf_keras",
    "builtins",
    "abc",
    "typing",
    "collections",
)


def of(obj: Any) -> dict[str, Callable[..., Any]]:
    """Returns the public methods of the user's own classes, and the functions that the object holds, by their names."""
    names = {
        name
        for kind in type(obj).__mro__
        if not _is_framework(kind)
        for name in vars(kind)
    }
    names |= {
        name
        for name, value in vars(obj).items()
        if isinstance(value, tf.types.experimental.GenericFunction)
    }
    if keras_models.is_model(obj):
        names.add("__call__")
    found: dict[str, Any] = {}
    for name in names:
        if name == "__call__" or not name.startswith("_"):
            with contextlib.suppress(
                Exception
            ):  # a property may hold nothing yet, and say so by any error
                found[name] = getattr(obj, name)
    return {
        name: method
        for name, method in found.items()
        if callable(method) and not inspect.isclass(method)
    }


def _is_framework(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in _FRAMEWORKS


def require(obj: Any, signatures: Mapping[str, Signature]) -> None:
    """Checks what signatures name, before weights are restored into an object that a misspelt name left unbuilt.

    Raises:
        ConfigError: With every method that the object does not have, and every argument that a method does not take.
    """
    problems: list[Problem] = []
    for key, signature in signatures.items():
        problems += _problems(obj, ("signatures", key), signature)
    if problems:
        raise ConfigError(problems)


def _problems(obj: Any, path: KeyPath, signature: Signature) -> list[Problem]:
    kind, name = type(obj).__name__, signature.method
    method = find_method(obj, name)
    if method is None:
        own = sorted(of(obj))
        known = [known for known in own if known != "__call__"] or own
        has = (
            ", ".join(known)
            or "none; a dotted path leads to those of an attribute, such as model.__call__"
        )
        return [
            Problem(
                (*path, "method"),
                f"no method {name!r} on {kind}; it has: {has}{nearest(name, known)}",
            )
        ]
    if signature.inputs is not None:
        problems = argument_problems(
            (*path, "inputs"), f"{kind}.{name}", method, signature.inputs
        )
        return problems or _input_problems((*path, "inputs"), method, signature.inputs)
    known_inputs = (
        getattr(method, "input_signature", None),
        graph_of(method),
        concrete_inputs(method),
    )
    if all(known is None for known in known_inputs) and parameters(method, {}):
        message = f"is missing: {kind}.{name} has no input_signature of its own to take it from"
        return [Problem((*path, "inputs"), message)]
    return []


def _input_problems(
    path: KeyPath, method: Any, inputs: Mapping[str, Nest]
) -> list[Problem]:
    """Says which declared inputs are text where a Keras Input is not, or the reverse: every call would fail."""
    problems = []
    for name, declared, own in _other_dtypes(method, inputs):
        if "string" in (own, declared):
            message = f"expected {own}, as the Input {name!r} has it; got {declared}"
            problems.append(Problem((*path, name, "dtype"), message))
    return problems


def casts(obj: Any, signatures: Mapping[str, Signature]) -> Iterator[Problem]:
    """Yields a warning for each declared input whose numbers Keras casts to the dtype of its Input."""
    for key, signature in signatures.items():
        method = find_method(obj, signature.method)
        for name, declared, own in _other_dtypes(method, signature.inputs or {}):
            message = f"is {declared}, but the Input {name!r} of the model is {own}: Keras casts what clients send"
            yield Problem(("signatures", key, "inputs", name, "dtype"), message)


def _other_dtypes(
    method: Any, inputs: Mapping[str, Nest]
) -> Iterator[tuple[str, str, str]]:
    """Yields the inputs that differ in dtype from the Keras Inputs: name, declared dtype, dtype of the Input."""
    graph = graph_of(method)
    for name, declared in inputs.items():
        own = None if graph is None else graph.inputs.get(name)
        if (
            isinstance(own, Spec)
            and isinstance(declared, Spec)
            and own.dtype != declared.dtype
        ):
            yield name, declared.dtype, own.dtype
