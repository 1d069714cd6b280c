"""Names the variables of a live object as plans, descriptions and comparisons show them."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any, TypeAlias

import keras
from tensorflow.python.checkpoint import trackable_view
from tensorflow.python.trackable import autotrackable, base
from tensorflow.python.util import object_identity

from smdecl.exporting import patches
from smdecl.exporting.live_objects import keras_models
from smdecl.exporting.live_objects.tensors import is_variable
from smdecl.exporting.types import PythonValue, Trackable, Variable
from smdecl.savedmodel import object_keys, variable_names
from smdecl.savedmodel.object_graph import VARIABLE_LISTS

TrackablePath: TypeAlias = tuple[Any, ...]
"""The references that lead from the root to an object; each has a `name`."""


class _View(trackable_view.TrackableView):  # type: ignore[misc]
    """The objects that `tf.saved_model.save` finds; a checkpoint may have fewer."""

    @classmethod
    def children(
        cls,
        obj: Trackable,
        save_type: str = base.SaveType.SAVEDMODEL,
        **keywords: PythonValue,
    ) -> dict[str, Trackable]:
        if keras_models.is_legacy_layer(obj):  # it would trace its calls
            save_type = base.SaveType.CHECKPOINT
        found: dict[str, Trackable] = super().children(
            obj, save_type, **keywords
        )
        return found


def named(obj: Trackable) -> list[tuple[str, Variable]]:
    """Returns the variables that TensorFlow saves of an object, each with the name to show."""
    # The method of this class traces all functions of an object.
    with patches.attribute_set(
        autotrackable.AutoTrackable,
        "_trackable_children",
        base.Trackable._trackable_children,
    ):
        _, paths = descendants_with_paths(_View(obj))
    keys = []
    found = []
    for item, path in paths.items():
        if is_variable(item):
            keys.append(object_keys.key_of(step.name for step in path))
            found.append(item)
    own_names = [_saved_name(item) for item in found]
    return list(zip(variable_names.names(keys, own_names), found, strict=True))


def _saved_name(variable: Variable) -> str:
    """Returns the name that is saved of a variable; Keras may know it by a different one."""
    if isinstance(variable, keras.Variable):
        return str(variable.value.name)
    return str(variable.name)


def names(obj: Trackable) -> dict[int, str]:
    """Returns the name to show of each variable of an object, by the variable's identity."""
    return {id(variable): name for name, variable in named(obj)}


def descendants_with_paths(
    self: trackable_view.TrackableView,
) -> tuple[list[Trackable], Mapping[Trackable, TrackablePath]]:
    """Lists the objects below a root as TensorFlow does, but visits the variable lists last.

    A checkpoint names a variable by the first path that leads to it. That path must go through its
    layer, not through a list.
    """
    listed: list[Trackable] = []
    paths = object_identity.ObjectIdentityDictionary()
    paths[self.root] = ()
    pending = collections.deque([self.root])
    lists = collections.deque[Trackable]()
    while pending or lists:
        current = (pending or lists).popleft()
        listed.append(current)
        for name, child in self.children(current).items():
            if child in paths:
                continue
            paths[child] = (
                *paths[current],
                base.TrackableReference(name, child),
            )
            is_list = current is self.root and name in VARIABLE_LISTS
            queue = lists if is_list else pending
            queue.append(child)
    return listed, paths
