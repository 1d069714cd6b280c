"""Decides which functions and variables `tf.saved_model.load` returns, and by which names.

A function is the trace of its signature; it is not traced or saved again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import tensorflow as tf
from tensorflow.python.checkpoint import trackable_view
from tensorflow.python.trackable import base

from smdecl.errors import ConfigError, ContractError, KeyPath, Problem, nearest
from smdecl.exporting import patches
from smdecl.exporting.building.build import Built
from smdecl.exporting.live_objects import keras_models, variable_paths
from smdecl.exporting.signatures.parameters import is_function
from smdecl.exporting.tracing.traced import Traced
from smdecl.exporting.types import PythonValue, Trackable
from smdecl.names import DEFAULT_KEY
from smdecl.savedmodel.object_graph import VARIABLE_LISTS
from smdecl.savedmodel.records import SavedModelRecord

# The names that Keras's own export offers: `loaded.serve(x)` and `loaded(x)`.
_KERAS_NAMES = ("serve", "__call__")


def resolve(
    built: Built,
    traced: Mapping[str, Traced],
    declared: Mapping[str, str | None],
) -> dict[str, str]:
    """Returns the name of every function and the key of its signature, Keras's defaults included.

    Args:
        built: The object.
        traced: Signature key to signature.
        declared: Name to signature key; None omits a name that a Keras model has by default.

    Raises:
        ConfigError: If a signature does not exist, or the object already uses a name.
    """
    problems: list[Problem] = []
    for name, key in declared.items():
        if key is not None:
            problems += _problems(
                ("functions", name), name, key, built.obj, traced
            )
    if problems:
        raise ConfigError(problems)
    chosen = {**_keras_defaults(built.obj, traced), **declared}
    return {
        name: key for name, key in sorted(chosen.items()) if key is not None
    }


def _keras_defaults(
    obj: Trackable, traced: Mapping[str, Traced]
) -> dict[str, str]:
    key = _default_key(traced)
    if key is None or not keras_models.is_model(obj):
        return {}
    names = [
        name for name in _KERAS_NAMES if not _clash(obj, name, traced[key])
    ]
    return dict.fromkeys(names, key)


def _default_key(traced: Mapping[str, Traced]) -> str | None:
    if DEFAULT_KEY in traced:
        return DEFAULT_KEY
    return next(iter(traced)) if len(traced) == 1 else None


def _problems(
    path: KeyPath,
    name: str,
    key: str,
    obj: Trackable,
    traced: Mapping[str, Traced],
) -> Iterator[Problem]:
    if key not in traced:
        known = ", ".join(traced) or "none"
        message = f"unknown signature {key!r}; expected one of {known}"
        yield Problem(path, f"{message}{nearest(key, traced)}")
        return
    clash = _clash(obj, name, traced[key])
    if clash is not None:
        message = (
            f"{type(obj).__name__} already has {clash} of this name, which"
            " tf.saved_model.load returns; choose a different name"
        )
        yield Problem(path, message)


def _clash(obj: Trackable, name: str, signature: Traced) -> str | None:
    """Describes the attribute that a function would hide; None if there is none.

    The signature's own method does not clash.
    """
    if name in VARIABLE_LISTS and keras_models.is_model(obj):
        return "a list of variables"
    own = _attribute(obj, name)
    if is_function(own):
        return None if signature.signature.method == name else "a tf.function"
    if isinstance(own, tf.__internal__.tracking.Trackable):
        return f"a {type(own).__name__}"
    return None


def _attribute(obj: Trackable, name: str) -> PythonValue:
    try:
        return getattr(obj, name, None)
    except Exception:  # a property that is not set yet may raise any error
        return None


@contextlib.contextmanager
def exposed(
    built: Built, traced: Mapping[str, Traced], functions: Mapping[str, str]
) -> Iterator[None]:
    """Adds functions, and the variable lists of a Keras model, to what `tf.saved_model.save` finds.

    A function that the object already has by a name is kept: it has the traces of all signatures
    that call it.
    """
    obj = built.obj
    kind = type(obj)
    added = {}
    for name, key in functions.items():
        if not is_function(_attribute(obj, name)):
            added[name] = traced[key].callable
    # Without functions there is nothing to call with the lists, so they are omitted too.
    lists: Mapping[str, Trackable] = {}
    if functions:
        lists = keras_models.variable_lists(obj, used_resources(traced))
    children = _children_with(obj, lists, added)
    with contextlib.ExitStack() as stack:
        if added or lists:
            stack.enter_context(
                patches.attribute_set(kind, "_trackable_children", children)
            )
        if lists or _has_lists(obj):
            stack.enter_context(
                patches.attribute_set(
                    trackable_view.TrackableView,
                    "_descendants_with_paths",
                    variable_paths.descendants_with_paths,
                )
            )
        yield


def _children_with(
    obj: Trackable,
    lists: Mapping[str, Trackable],
    added: Mapping[str, Trackable],
) -> Callable[..., dict[str, Trackable]]:
    """Returns a `_trackable_children` for the class of `obj` that adds children to `obj` alone.

    Args:
        obj: The object.
        lists: Children to add unless the object has a child of the name.
        added: Children to add in any case.
    """
    own_children = type(obj)._trackable_children

    def children(
        self: Trackable, save_type: str = "checkpoint", **keywords: PythonValue
    ) -> dict[str, Trackable]:
        found: dict[str, Trackable] = own_children(self, save_type, **keywords)
        if self is not obj or save_type != base.SaveType.SAVEDMODEL:
            return found
        for name, value in lists.items():
            found.setdefault(name, value)
        return {**found, **added}

    return children


def _has_lists(obj: Trackable) -> bool:
    """Returns True for an object that was loaded from the export of a Keras model."""
    trackable = tf.__internal__.tracking.Trackable
    return any(
        isinstance(_attribute(obj, name), trackable) for name in VARIABLE_LISTS
    )


def used_resources(traced: Mapping[str, Traced]) -> set[int]:
    """Returns the ids of the resources that signatures capture."""
    used: set[int] = set()
    for signature in traced.values():
        used.update(
            id(resource) for resource in signature.function.captured_inputs
        )
    return used


def require(functions: Mapping[str, str], saved: SavedModelRecord) -> None:
    """Checks that a SavedModel has the functions that it should have.

    Raises:
        ContractError: If functions are missing; lists all of them.
    """
    missing = [name for name in functions if name not in saved.functions]
    if missing:
        message = "missing in the SavedModel"
        raise ContractError(
            [Problem(("functions", name), message) for name in missing]
        )
