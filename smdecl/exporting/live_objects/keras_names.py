"""Finds Keras layers by the names of graph nodes, and Keras's own functions by their paths."""

from __future__ import annotations

import re

import keras
import tensorflow as tf

from smdecl.exporting.live_objects import keras_models
from smdecl.exporting.types import Layer, PythonValue, Trackable
from smdecl.names import LEGACY_KERAS_FUNCTIONS

_NUMBER = re.compile(r"_\d+$")
# What Keras 2 calls its functional models.
_FUNCTIONAL = {"model": "functional"}


def is_automatic(layer: Layer) -> bool:
    """Returns whether a layer has the name that Keras gives to a layer without one."""
    name = _NUMBER.sub("", layer.name)
    class_name = _FUNCTIONAL.get(name, name).replace("_", "")
    return class_name == type(layer).__name__.replace("_", "").lower()


class LayerNames:
    """The names of an object's layers, to find them in the names of graph nodes."""

    def __init__(self, obj: Trackable) -> None:
        """Collects the layers that TensorFlow tracks from an object."""
        tracked = tf.train.TrackableView(obj).descendants()
        layers = [item for item in tracked if keras_models.is_layer(item)]
        self._names = {layer.name for layer in layers}
        self._keras_3 = {
            layer.name
            for layer in layers
            if isinstance(layer, keras.layers.Layer)
        }

    def find(self, node: str) -> str | None:
        """Returns the innermost layer whose scope contains a node such as `model/flip_1/mul`.

        None means that the node is in no layer.
        """
        *scopes, _ = node.split("/")
        for scope in reversed(scopes):
            name = self._layer(scope)
            if name is not None:
                return name
        return None

    def _layer(self, scope: str) -> str | None:
        # Keras 3 opens a scope to build a layer, so TensorFlow numbers the later one of the call.
        unnumbered = _NUMBER.sub("", scope)
        if unnumbered in self._keras_3:
            return unnumbered
        for name in (scope, unnumbered):
            if name in self._names:
                return name
        return None


def is_inner_function(obj: Trackable, path: str) -> bool:
    """Returns whether a dotted path from an object leads to a function of Keras itself."""
    *names, last = path.split(".")
    holder = obj
    for name in names:
        holder = _child(holder, name)
    if last in LEGACY_KERAS_FUNCTIONS and keras_models.is_legacy_layer(holder):
        return True
    function = _child(holder, last)
    defined = getattr(function, "python_function", function)
    package = str(getattr(defined, "__module__", "")).partition(".")[0]
    return package in ("keras", "tf_keras")


def _child(obj: PythonValue, name: str) -> PythonValue:
    if isinstance(obj, tf.__internal__.tracking.Trackable):
        children = tf.train.TrackableView(obj).children(obj)
        if name in children:
            return children[name]
    return getattr(obj, name, None)
