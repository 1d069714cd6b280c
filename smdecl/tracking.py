"""What a function uses has to be tracked by the object: finds what is not, and who holds it instead."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

import tensorflow as tf

from smdecl import restoring
from smdecl.errors import ModelError, Problem
from smdecl.tensors import variable_record
from smdecl.tracing import Traced

_MAX_LOOKED_AT = 100_000  # objects; whoever holds more of them is told what is untracked, without where it is held


def require_initialized(obj: Any) -> None:
    """Raises where a variable of the object has no value: it would be saved, and fail when it is loaded.

    Raises:
        ModelError: With every such variable.
    """
    problems = []
    for item in tf.train.TrackableView(obj).descendants():
        if isinstance(item, tf.Variable) and not tf.raw_ops.VarIsInitializedOp(resource=item.handle):
            message = f"the variable {variable_record(item).name} has no value yet; takes a model that initializes it"
            problems.append(Problem(("model",), message))
    if problems:
        raise ModelError(problems)


def untracked(obj: Any, traced: Mapping[str, Traced]) -> list[Problem]:
    """Says which variables, tables and other resources signatures use that nothing of the object tracks."""
    tracked = {
        id(handle) for item in tf.train.TrackableView(obj).descendants() if (handle := _handle(item)) is not None
    }
    problems = []
    for key, signature in traced.items():
        for resource in signature.function.captured_inputs:
            if resource.dtype == tf.resource and id(resource) not in tracked:
                problems.append(Problem(("signatures", key), _told(obj, signature, resource)))
    return problems


def _handle(item: Any) -> Any:
    if restoring.is_variable(item):
        return getattr(item.value, "handle", None) if not isinstance(item, tf.Variable) else item.handle
    return getattr(item, "resource_handle", None)


def _told(obj: Any, signature: Traced, resource: Any) -> str:
    kind, method = type(obj).__name__, signature.signature.method
    owner, place = next(((item, place) for item, place in _reachable(obj) if _handle(item) is resource), (None, None))
    if owner is None:
        what, held = "a resource", ""
    else:
        what = f"the variable {variable_record(owner).name}" if restoring.is_variable(owner) else type(owner).__name__
        held = f", held by {place}"
    track = f"assign it to an attribute of {kind}, or of a tf.Module in it"
    return f"{method} uses {what}{held}, which {kind} does not track; {track}"


def _reachable(obj: Any) -> Iterator[tuple[Any, str]]:
    """Yields what Python finds from an object, with the place of each: attributes, items, closures and globals."""
    pending: list[tuple[Any, str]] = [(obj, type(obj).__name__)]
    seen: set[int] = set()
    while pending and len(seen) < _MAX_LOOKED_AT:
        item, place = pending.pop(0)
        if id(item) in seen or item is None or isinstance(item, (str, bytes, int, float, ModuleType)):
            continue
        seen.add(id(item))
        yield item, place
        if not restoring.is_variable(item):
            pending += _held(item, place)


def _held(item: Any, place: str) -> Iterator[tuple[Any, str]]:
    if isinstance(item, Mapping):
        yield from ((value, f"{place}[{key!r}]") for key, value in item.items())
    elif isinstance(item, (list, tuple, set, frozenset)):
        yield from ((value, f"{place}[{index}]") for index, value in enumerate(item))
    elif isinstance(item, MethodType):
        yield from ((item.__func__, place), (item.__self__, place))
    elif isinstance(item, functools.partial):
        yield from ((item.func, place), (item.args, place), (item.keywords, place))
    elif isinstance(item, FunctionType):
        yield from _of_function(item)
    elif isinstance(item, tf.types.experimental.GenericFunction):
        yield getattr(item, "python_function", None), place
    elif not isinstance(item, (type, tf.Tensor)) and not _is_frameworks(item):
        yield from ((value, f"{place}.{name}") for name, value in list(getattr(item, "__dict__", {}).items()))
        yield from ((value, f"{place}.{name}") for name, value in _functions(item))


def _is_frameworks(item: Any) -> bool:
    return type(item).__module__.partition(".")[0] in ("tensorflow", "numpy") and not isinstance(item, tf.Module)


def _functions(item: Any) -> Iterator[tuple[str, Any]]:
    """Yields the functions of an object's own classes, for what they use need be no attribute."""
    for kind in type(item).__mro__:
        if kind.__module__.partition(".")[0] not in ("tensorflow", "keras", "tf_keras", "builtins"):
            yield from ((name, value) for name, value in vars(kind).items() if callable(value))


def _of_function(function: FunctionType) -> Iterator[tuple[Any, str]]:
    name = function.__qualname__
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield cell.cell_contents, f"{name}[closure {variable}]"
        except ValueError:  # a variable that was not assigned yet
            continue
    for variable in function.__code__.co_names:
        if variable in function.__globals__:
            yield function.__globals__[variable], f"{function.__module__}.{variable}"
