"""Walks an object: what TensorFlow tracks of it, and everything else that Python finds from it."""

from __future__ import annotations

import contextlib
import functools
import gc
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType

import numpy as np
import tensorflow as tf

from smdecl.config.frameworks import FRAMEWORKS
from smdecl.errors import ModelError, Problem
from smdecl.exporting import user_code
from smdecl.exporting.live_objects.tensors import is_variable, variable_record
from smdecl.exporting.types import (
    PythonValue,
    ResourceHandle,
    Trackable,
    Variable,
)
from smdecl.savedmodel.comparing.array_distances import Array

Found = tuple[PythonValue, str]
"""An object, and the place where Python finds it, such as `Net.layers[0]`."""

_MOST_VISITED = 100_000  # objects; in a larger model some holders stay unknown
_DATA_STRUCTURES = "tensorflow.python.trackable.data_structures"
_PLAIN = (str, bytes, int, float, ModuleType)
_NOT_OF_USERS = (*FRAMEWORKS, "builtins", "numpy")
_SEQUENCES = (list, tuple, set, frozenset, deque)
# Objects of these TensorFlow classes hold what the user put into them.
_CONTAINERS = (
    tf.Module,
    list,
    tuple,
    Mapping,
    tf.types.experimental.GenericFunction,
)


def tracked(obj: Trackable) -> list[Trackable]:
    """Returns the object and everything that TensorFlow tracks from it: what a SavedModel contains.

    Raises:
        ModelError: If the object holds a list or mapping in a state that TensorFlow cannot save.
    """
    try:
        return list(tf.train.TrackableView(obj).descendants())
    except ValueError as error:
        problems = list(_not_saveable(obj))
        if problems:
            raise ModelError(problems) from error
        path = ("model",)
        raise user_code.failure(
            path, "tracking its attributes", error
        ) from error


def _not_saveable(obj: Trackable) -> Iterator[Problem]:
    """Yields each list or mapping that was changed in a way that TensorFlow cannot save."""
    for item, place in reachable(obj):
        if type(item).__module__ != _DATA_STRUCTURES:
            continue
        try:
            item._trackable_children()
        except ValueError:
            yield Problem(("model",), f"{place} {_why_not_saveable(item)}")


def _why_not_saveable(item: Trackable) -> str:
    if isinstance(item, list):
        return (
            "is a list of which an element was replaced, inserted, moved or deleted;"
            " TensorFlow saves only lists that were appended to: build the list first,"
            " then assign it"
        )
    if isinstance(item, Mapping):
        for key in item:
            if not isinstance(key, str):
                return (
                    f"is a dict with the key {key!r}; TensorFlow saves a dict of variables"
                    " only if its keys are strings"
                )
    return (
        "was changed after it was assigned, other than by adding items; TensorFlow cannot"
        " save it: build it first, then assign it"
    )


def handle_of(item: PythonValue) -> ResourceHandle | None:
    """Returns the handle of a variable, table or other resource; None for any other object."""
    if not is_variable(item):
        return getattr(item, "resource_handle", None)
    if isinstance(item, tf.Variable):
        return item.handle
    return getattr(item.value, "handle", None)  # a Keras variable


def variable_of(handle: ResourceHandle) -> Variable | None:
    """Returns the variable of a handle, found anywhere in the process; None if there is none."""
    for item in gc.get_objects():
        # isinstance would call the `__class__` property of any object in the process.
        if not issubclass(type(item), tf.Variable):
            continue
        if getattr(item, "_handle", None) is handle:
            return item
    return None


def reachable(obj: Trackable) -> Iterator[Found]:
    """Yields what Python finds from an object: through attributes, items, closures and globals.

    The contents of framework objects come last, because they lead to everything.
    """
    pending = deque([(obj, type(obj).__name__)])
    frameworks = deque[Found]()
    seen: set[int] = set()
    while (pending or frameworks) and len(seen) < _MOST_VISITED:
        item, place = (pending or frameworks).popleft()
        if id(item) in seen or item is None or isinstance(item, _PLAIN):
            continue
        seen.add(id(item))
        yield item, place
        if not is_variable(item):
            queue = frameworks if _is_of_framework(item) else pending
            queue.extend(_held(item, place))


def _is_of_framework(item: PythonValue) -> bool:
    package = type(item).__module__.partition(".")[0]
    if package not in ("tensorflow", "numpy"):
        return False
    return not isinstance(item, _CONTAINERS)


def _held(item: PythonValue, place: str) -> Iterator[Found]:
    """Yields what one object holds."""
    if isinstance(item, Mapping):
        for key, value in list(item.items()):
            yield value, f"{place}[{_key(key)}]"
    elif isinstance(item, _SEQUENCES):
        for index, value in enumerate(list(item)):
            yield value, f"{place}[{index}]"
    elif isinstance(item, np.ndarray):
        yield from _of_array(item, place)
    elif isinstance(item, weakref.ref):
        yield item(), place
    elif isinstance(item, MethodType):
        yield from ((item.__func__, place), (item.__self__, place))
    elif isinstance(item, functools.partial):
        yield from (
            (item.func, place),
            (item.args, place),
            (item.keywords, place),
        )
    elif isinstance(item, FunctionType):
        yield from _of_function(item)
    elif isinstance(item, tf.types.experimental.GenericFunction):
        yield getattr(item, "python_function", None), place
    elif not isinstance(item, (type, tf.Tensor)):
        for name, value in _attributes(item):
            yield value, f"{place}.{name}"


def _key(key: object) -> str:
    """Returns a key as a person writes it; a variable, which is a key by reference, by its name."""
    if isinstance(key, (str, bytes, int, float, tuple)):
        return repr(key)
    variable = key.deref() if hasattr(key, "deref") else key
    if is_variable(variable):
        return repr(variable_record(variable).name)
    return type(key).__name__


def _of_array(array: Array, place: str) -> Iterator[Found]:
    if array.dtype == object:
        for index, value in np.ndenumerate(array):
            yield value, f"{place}[{', '.join(map(str, index))}]"


def _attributes(item: PythonValue) -> Iterator[tuple[str, PythonValue]]:
    """Yields the attributes of an object, its slots and those of the user's classes."""
    yield from list(getattr(item, "__dict__", {}).items())
    for kind in type(item).__mro__:
        is_users = kind.__module__.partition(".")[0] not in _NOT_OF_USERS
        for name, value in list(vars(kind).items()):
            if isinstance(value, MemberDescriptorType):
                # A slot without a value.
                with contextlib.suppress(AttributeError):
                    yield name, value.__get__(item, kind)
            elif is_users and (callable(value) or not name.startswith("__")):
                yield name, value


def _of_function(function: FunctionType) -> Iterator[Found]:
    """Yields the closure of a function and the globals that it names."""
    name = function.__qualname__
    cells = function.__closure__ or ()
    for variable, cell in zip(
        function.__code__.co_freevars, cells, strict=True
    ):
        # A variable that is not assigned yet.
        with contextlib.suppress(ValueError):
            yield cell.cell_contents, f"{name}[closure {variable}]"
    for variable in function.__code__.co_names:
        if variable in function.__globals__:
            yield (
                function.__globals__[variable],
                f"{function.__module__}.{variable}",
            )


def places(obj: Trackable, wanted: Iterable[PythonValue]) -> dict[int, str]:
    """Returns the id of each wanted object that Python finds, and the first place where it is."""
    missing = {id(item) for item in wanted}
    found: dict[int, str] = {}
    for item, place in reachable(obj):
        if id(item) in missing:
            missing.remove(id(item))
            found[id(item)] = place
        if not missing:
            break
    return found
