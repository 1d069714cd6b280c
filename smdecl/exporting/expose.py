"""Which functions and variables `tf.saved_model.load` gives of a release, by which names.

A function is the one that was traced for its signature: it is neither traced nor saved once more.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf
from tensorflow.python.checkpoint import trackable_view
from tensorflow.python.trackable import base
from tensorflow.python.util import object_identity

from smdecl.errors import ConfigError, ContractError, KeyPath, Problem, nearest
from smdecl.exporting import keras_models, keras_patches
from smdecl.exporting.build import Built
from smdecl.exporting.traced import Traced
from smdecl.names import DEFAULT_KEY
from smdecl.savedmodel.object_graph import VARIABLE_LISTS
from smdecl.savedmodel.records import SavedModelRecord

_OF_KERAS = (
    "serve",
    "__call__",
)  # what Keras's own export gives, and what `loaded(x)` calls


def resolve(
    built: Built, traced: Mapping[str, Traced], declared: Mapping[str, str | None]
) -> dict[str, str]:
    """Returns the name of every function to the key of its signature, those that a Keras model has by default too.

    Args:
        built: The object.
        traced: Signature key to signature.
        declared: Name to signature key; None leaves out a name that a Keras model has by default.

    Raises:
        ConfigError: Where a signature does not exist, or the object has something else by the name.
    """
    problems: list[Problem] = []
    for name, key in declared.items():
        if key is not None:
            problems += _problems(("functions", name), name, key, built.obj, traced)
    if problems:
        raise ConfigError(problems)
    found = (
        dict.fromkeys(_OF_KERAS, _default_key(traced))
        if keras_models.is_model(built.obj)
        else {}
    )
    defaults = {
        name: key
        for name, key in found.items()
        if key and not _clash(built.obj, name, traced[key])
    }
    chosen = {**defaults, **declared}
    return {name: key for name, key in sorted(chosen.items()) if key is not None}


def _default_key(traced: Mapping[str, Traced]) -> str | None:
    if DEFAULT_KEY in traced:
        return DEFAULT_KEY
    return next(iter(traced)) if len(traced) == 1 else None


def _problems(
    path: KeyPath, name: str, key: str, obj: Any, traced: Mapping[str, Traced]
) -> Iterator[Problem]:
    if key not in traced:
        known = ", ".join(traced) or "none"
        yield Problem(
            path,
            f"unknown signature {key!r}; expected one of {known}{nearest(key, traced)}",
        )
    elif clash := _clash(obj, name, traced[key]):
        kind = type(obj).__name__
        yield Problem(
            path,
            f"{kind} has {clash} of this name, which tf.saved_model.load gives; choose a different name",
        )


def _clash(obj: Any, name: str, signature: Traced) -> str | None:
    """Says what an object has by a name that would be hidden; its own function may be the signature's method."""
    if name in VARIABLE_LISTS and keras_models.is_model(obj):
        return "a list of variables"
    own = _own(obj, name)
    if isinstance(own, tf.types.experimental.GenericFunction):
        return None if signature.signature.method == name else "a tf.function"
    if isinstance(own, tf.__internal__.tracking.Trackable):
        return f"a {type(own).__name__}"
    return None


def _own(obj: Any, name: str) -> Any:
    with contextlib.suppress(
        Exception
    ):  # a property may hold nothing yet, and say so by any error
        return getattr(obj, name, None)
    return None


@contextlib.contextmanager
def exposed(
    built: Built, traced: Mapping[str, Traced], functions: Mapping[str, str]
) -> Iterator[None]:
    """Adds functions to what `tf.saved_model.save` finds on the object, and of a Keras model its lists of variables.

    The object's own function of a name is kept: it has the traces of all signatures that are made of it.
    """
    obj, kind = built.obj, type(built.obj)
    added: dict[str, Any] = {}
    for name, key in functions.items():
        if not isinstance(_own(obj, name), tf.types.experimental.GenericFunction):
            added[name] = traced[key].callable
    # A config that leaves out every function leaves out the lists, too: then nothing is there to be called with them.
    lists = (
        keras_models.variable_lists(obj, used_resources(traced)) if functions else {}
    )
    own_children = kind._trackable_children

    def children(
        self: Any, save_type: str = "checkpoint", **keywords: Any
    ) -> dict[str, Any]:
        found: dict[str, Any] = own_children(self, save_type, **keywords)
        if self is not obj or save_type != base.SaveType.SAVEDMODEL:
            return found
        for name, value in lists.items():
            found.setdefault(name, value)
        return {**found, **added}

    with contextlib.ExitStack() as stack:
        if added or lists:
            stack.enter_context(
                keras_patches.attribute_set(kind, "_trackable_children", children)
            )
        if lists or _has_lists(obj):
            view = trackable_view.TrackableView
            stack.enter_context(
                keras_patches.attribute_set(
                    view, "_descendants_with_paths", _descendants_with_paths
                )
            )
        yield


def _has_lists(obj: Any) -> bool:
    """Tells whether an object is one that was loaded from the export of a Keras model."""
    return any(
        isinstance(_own(obj, name), tf.__internal__.tracking.Trackable)
        for name in VARIABLE_LISTS
    )


def used_resources(traced: Mapping[str, Traced]) -> set[int]:
    """Returns the identities of the resources that signatures capture."""
    return {
        id(resource)
        for signature in traced.values()
        for resource in signature.function.captured_inputs
    }


def _descendants_with_paths(self: Any) -> tuple[list[Any], Any]:
    """Lists the objects below a root as TensorFlow does, but goes through the lists of variables last.

    A checkpoint names a variable by the first path that leads to it: by its layer, and not by its place in a list.
    """
    listed: list[Any] = []
    paths = object_identity.ObjectIdentityDictionary()
    paths[self.root] = ()
    pending, later = collections.deque([self.root]), collections.deque[Any]()
    while pending or later:
        current = (pending or later).popleft()
        listed.append(current)
        for name, child in self.children(current).items():
            if child not in paths:
                paths[child] = (*paths[current], base.TrackableReference(name, child))
                is_list = current is self.root and name in VARIABLE_LISTS
                (later if is_list else pending).append(child)
    return listed, paths


def require(functions: Mapping[str, str], saved: SavedModelRecord) -> None:
    """Compares the functions of a SavedModel with those that it is to have.

    Raises:
        ContractError: With every one that is missing.
    """
    missing = [name for name in functions if name not in saved.functions]
    if missing:
        raise ContractError(
            [
                Problem(("functions", name), "is missing in the SavedModel")
                for name in missing
            ]
        )
