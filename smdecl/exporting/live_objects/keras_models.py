"""Recognises models, layers and optimizers of Keras 3 and of the legacy tf_keras."""

from __future__ import annotations

import sys

import keras
import tensorflow as tf

from smdecl.exporting.types import (
    KerasPackage,
    Layer,
    Model,
    PythonValue,
    Trackable,
)
from smdecl.savedmodel.object_graph import VARIABLE_LISTS


def is_model(obj: PythonValue) -> bool:
    """Returns whether an object is a Keras model."""
    return isinstance(obj, tuple(package.Model for package in _packages()))


def is_layer(obj: PythonValue) -> bool:
    """Returns whether an object is a Keras layer; models are layers too."""
    return isinstance(
        obj, tuple(package.layers.Layer for package in _packages())
    )


def package_of(model: Model) -> KerasPackage:
    """Returns the Keras package that a model belongs to."""
    return next(
        package for package in _packages() if isinstance(model, package.Model)
    )


def is_legacy(model: Model) -> bool:
    """Returns whether a model is one of Keras 2, which tf_keras continues."""
    return str(package_of(model).__version__).startswith("2.")


def is_legacy_layer(layer: Layer) -> bool:
    """Returns whether a layer is one of Keras 2."""
    return any(
        isinstance(layer, package.layers.Layer) for package in _legacy()
    )


def is_optimizer(obj: PythonValue) -> bool:
    """Returns whether an object is a Keras optimizer."""
    classes = [package.optimizers.Optimizer for package in _packages()]
    classes += [package.optimizers.legacy.Optimizer for package in _legacy()]
    return isinstance(obj, tuple(classes))


def is_a(layer: Layer, *names: str) -> bool:
    """Returns whether a layer is an instance of one of the named classes of its Keras package."""
    for package in _packages():
        classes = tuple(getattr(package.layers, name) for name in names)
        if isinstance(layer, classes):
            return True
    return False


def _packages() -> list[KerasPackage]:
    return [keras, *_legacy()]


def _legacy() -> list[KerasPackage]:
    # tf.keras can be either package, depending on TF_USE_LEGACY_KERAS.
    legacy = sys.modules.get("tf_keras")
    return [] if legacy is None else [legacy]


def use_defaults() -> None:
    """Resets the settings that Keras reads from keras.json in the home directory."""
    for package in _packages():
        package.backend.set_floatx("float32")
        package.backend.set_epsilon(1e-7)
        package.backend.set_image_data_format("channels_last")


def variable_lists(obj: Trackable, used: set[int]) -> dict[str, Trackable]:
    """Returns the lists of variables that Keras's own export saves, by attribute.

    Empty for a legacy model, whose lists tf_keras makes, and for other objects.

    Args:
        obj: The object to save.
        used: Identities of the resources that signatures capture.
    """
    if not is_model(obj) or is_legacy(obj):
        return {}
    # The states of metrics and seed generators are saved only if a signature uses them.
    weights = {id(variable) for variable in obj.weights}
    saved = set()
    for variable in obj.variables:
        if id(variable) in weights or id(variable.value.handle) in used:
            saved.add(id(variable))
    lists = {}
    for name in VARIABLE_LISTS:
        variables = [each for each in getattr(obj, name) if id(each) in saved]
        lists[name] = tf.__internal__.tracking.wrap(variables)
    return lists
