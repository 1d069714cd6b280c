"""Walks an object: what TensorFlow tracks of it, and what Python finds from it beside that."""

from __future__ import annotations

import contextlib
import functools
import gc
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from smdecl.errors import ModelError, Problem
from smdecl.exporting import user_code
from smdecl.exporting.tensors import is_variable, variable_record

_MAX_LOOKED_AT = 100_000  # objects; in a larger model some holders stay unknown
_DATA_STRUCTURES = "tensorflow.python.trackable.data_structures"
_PLAIN = (str, bytes, int, float, ModuleType)


def tracked(obj: Any) -> list[Any]:
    """Returns the object and everything that TensorFlow tracks from it, which is what a SavedModel holds.

    Raises:
        ModelError: If the object holds a list or mapping in a state that TensorFlow cannot save.
    """
    try:
        return list(tf.train.TrackableView(obj).descendants())
    except ValueError as error:
        problems = list(_not_saveable(obj))
        if not problems:
            raise user_code.failure(
                ("model",), "tracking its attributes", error
            ) from error
        raise ModelError(problems) from error


def _not_saveable(obj: Any) -> Iterator[Problem]:
    """Yields each list or mapping that TensorFlow wrapped and that was changed as its wrapper does not allow."""
    for item, place in reachable(obj):
        if type(item).__module__ != _DATA_STRUCTURES:
            continue
        try:
            item._trackable_children()
        except ValueError:
            yield Problem(("model",), f"{place} {_why_not_saveable(item)}")


def _why_not_saveable(item: Any) -> str:
    if isinstance(item, list):
        changed = (
            "is a list of which an element was replaced, inserted, moved or deleted"
        )
        return f"{changed}; TensorFlow saves a list that was only appended to: build it first, then assign it"
    keys = (
        [key for key in item if not isinstance(key, str)]
        if isinstance(item, Mapping)
        else []
    )
    if keys:
        return f"is a dict with the key {keys[0]!r}; TensorFlow saves a dict of variables by keys that are strings"
    changed = "was changed after it was assigned, other than by adding items"
    return f"{changed}; TensorFlow cannot save it then: build it first, then assign it"


def handle_of(item: Any) -> Any:
    """Returns the handle of a variable, table or other resource; None for everything else."""
    if not is_variable(item):
        return getattr(item, "resource_handle", None)
    if isinstance(item, tf.Variable):
        return item.handle
    return getattr(item.value, "handle", None)  # a Keras variable


def variable_of(handle: Any) -> Any:
    """Returns the variable that a handle belongs to, wherever it is held; None if there is none."""
    for item in gc.get_objects():
        if (
            issubclass(type(item), tf.Variable)
            and getattr(item, "_handle", None) is handle
        ):
            return item
    return None


def reachable(obj: Any) -> Iterator[tuple[Any, str]]:
    """Yields what Python finds from an object, with the place of each: attributes, items, closures and globals.

    What is in the objects of a framework comes last, because they lead to everything.
    """
    pending = deque([(obj, type(obj).__name__)])
    frameworks = deque[tuple[Any, str]]()
    seen: set[int] = set()
    while (pending or frameworks) and len(seen) < _MAX_LOOKED_AT:
        item, place = (pending or frameworks).popleft()
        if id(item) in seen or item is None or isinstance(item, _PLAIN):
            continue
        seen.add(id(item))
        yield item, place
        if not is_variable(item):
            (frameworks if _is_frameworks(item) else pending).extend(_held(item, place))


def _held(item: Any, place: str) -> Iterator[tuple[Any, str]]:
    if isinstance(item, Mapping):
        yield from (
            (value, f"{place}[{_key(key)}]") for key, value in list(item.items())
        )
    elif isinstance(item, (list, tuple, set, frozenset, deque)):
        yield from (
            (value, f"{place}[{index}]") for index, value in enumerate(list(item))
        )
    elif isinstance(item, np.ndarray):
        yield from _of_array(item, place)
    elif isinstance(item, weakref.ref):
        yield item(), place
    elif isinstance(item, MethodType):
        yield from ((item.__func__, place), (item.__self__, place))
    elif isinstance(item, functools.partial):
        yield from ((item.func, place), (item.args, place), (item.keywords, place))
    elif isinstance(item, FunctionType):
        yield from _of_function(item)
    elif isinstance(item, tf.types.experimental.GenericFunction):
        yield getattr(item, "python_function", None), place
    elif not isinstance(item, (type, tf.Tensor)):
        yield from ((value, f"{place}.{name}") for name, value in _attributes(item))


def _key(key: object) -> str:
    """Returns a key as a person writes it: the reference to a variable, which can be no other key, by its name."""
    if isinstance(key, (str, bytes, int, float, tuple)):
        return repr(key)
    variable = key.deref() if hasattr(key, "deref") else key
    return (
        repr(variable_record(variable).name)
        if is_variable(variable)
        else type(key).__name__
    )


def _of_array(array: Any, place: str) -> Iterator[tuple[Any, str]]:
    if array.dtype == object:
        for index, value in np.ndenumerate(array):
            yield value, f"{place}[{', '.join(map(str, index))}]"


def _is_frameworks(item: Any) -> bool:
    return type(item).__module__.partition(".")[0] in (
        "tensorflow",
        "numpy",
    ) and not isinstance(
        item, (tf.Module, list, tuple, Mapping, tf.types.experimental.GenericFunction)
    )


def _attributes(item: Any) -> Iterator[tuple[str, Any]]:
    """Yields the attributes of an object: its own, those in slots, and those of the user's classes."""
    yield from list(getattr(item, "__dict__", {}).items())
    for kind in type(item).__mro__:
        of_user = kind.__module__.partition(".")[0] not in (
            "tensorflow",
            "keras",
            "tf_keras",
            "builtins",
            "numpy",
        )
        for name, value in list(vars(kind).items()):
            if isinstance(value, MemberDescriptorType):
                with contextlib.suppress(
                    AttributeError
                ):  # a slot that nothing was assigned to
                    yield name, value.__get__(item, kind)
            elif of_user and not (name.startswith("__") and not callable(value)):
                yield name, value


def _of_function(function: FunctionType) -> Iterator[tuple[Any, str]]:
    name = function.__qualname__
    for variable, cell in zip(
        function.__code__.co_freevars, function.__closure__ or (), strict=True
    ):
        with contextlib.suppress(ValueError):  # a variable that was not assigned yet
            yield cell.cell_contents, f"{name}[closure {variable}]"
    for variable in function.__code__.co_names:
        if variable in function.__globals__:
            yield function.__globals__[variable], f"{function.__module__}.{variable}"


def places(obj: Any, wanted: Iterable[Any]) -> dict[int, str]:
    """Returns the id of each wanted object to the first place that Python finds it in; unknown ones are left out."""
    missing = {id(item) for item in wanted}
    found: dict[int, str] = {}
    for item, place in reachable(obj):
        if id(item) in missing:
            missing.remove(id(item))
            found[id(item)] = place
        if not missing:
            break
    return found
