"""Small models to try smdecl with, and a loader for models that Keras saved."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from smdecl.exporting import keras_patches


class Adder(tf.Module):  # type: ignore[misc]
    """Adds a number to itself; the example in the documentation of `tf.saved_model.save`."""

    @tf.function  # type: ignore[untyped-decorator]
    def add(self, x: tf.Tensor) -> tf.Tensor:
        """Returns `x + x`, in the shape and dtype of `x`."""
        return x + x


class Scaler(tf.Module):  # type: ignore[misc]
    """Multiplies a number by `factor`, which is a variable."""

    def __init__(self, factor: float = 3.0) -> None:
        super().__init__()
        self.factor = tf.Variable(factor, dtype=tf.float32, name="factor")

    @tf.function  # type: ignore[untyped-decorator]
    def add(self, x: tf.Tensor) -> tf.Tensor:
        """Returns `factor * x`, float32, in the shape of `x`."""
        return self.factor * x


class TypedAdder(tf.Module):  # type: ignore[misc]
    """An Adder with an input signature, so that the config needs none."""

    @tf.function(input_signature=[tf.TensorSpec(shape=[], dtype=tf.float32)])  # type: ignore[untyped-decorator]
    def add(self, x: tf.Tensor) -> tf.Tensor:
        """Returns `x + x`, a float32 scalar."""
        return x + x


class Concat(keras.Model):  # type: ignore[misc]
    """A Keras model that concatenates a string with itself."""

    @tf.function  # type: ignore[untyped-decorator]
    def concat(self, x: tf.Tensor) -> tf.Tensor:
        """Returns `x + x`, in the shape and dtype of `x`."""
        return x + x


class TypedConcat(keras.Model):  # type: ignore[misc]
    """A Concat with an input signature."""

    @tf.function(input_signature=[tf.TensorSpec(shape=[], dtype=tf.string)])  # type: ignore[untyped-decorator]
    def concat(self, x: tf.Tensor) -> tf.Tensor:
        """Returns `x + x`, a string scalar."""
        return x + x


def dense(features: int = 4, units: int = 5) -> keras.Model:
    """Builds a functional Keras model with one dense layer.

    Its input is x, float32 [batch, features]; its output is out, float32 [batch, units].
    """
    x = keras.layers.Input((features,), name="x")
    return keras.Model(x, keras.layers.Dense(units, name="out")(x))


def load_keras(
    path: str,
    custom_objects: Sequence[functools.partial[Any]] = (),
    compile: bool = False,  # noqa: A002 - Keras's own name
) -> keras.Model:
    """Loads a model from a .keras file of Keras 3 in safe mode.

    Args:
        path: The file, in the project.
        custom_objects: The classes and functions of the project that the file names, each as a node
            with `_target_` and `_partial_: true`.
        compile: Whether to restore optimizers. Their variables then become part of the export.

    Raises:
        ValueError: If the file is not from Keras 3, contains code, or names a class that is not in
            `custom_objects`. Or if Keras cannot build a layer of the model: it would leave out the
            layer's variables, and initialize them anew on the first call.
    """
    known = {partial.func.__name__: partial.func for partial in custom_objects}
    compiling = (
        contextlib.nullcontext() if compile else keras_patches.uncompiled()
    )
    with compiling, keras_patches.unbuilt_in_file() as received:
        model = keras.saving.load_model(
            path, custom_objects=known, compile=compile, safe_mode=True
        )
    lost = [layer for layer in received if not layer.built]
    if lost:
        names = ", ".join(layer.name for layer in lost)
        raise ValueError(
            f"Keras cannot build {names} from the file, and loses their weights;"
            f" expected {_owner(lost[0], model)} to define build(input_shape)"
        )
    return model


def _owner(layer: keras.layers.Layer, model: keras.Model) -> str:
    """Returns the class to build a layer: the outermost of the project without own `build`."""
    for owner in model._flatten_layers():
        kind = type(owner)
        is_candidate = not _is_keras(kind) and _is_keras(kind.build)
        if is_candidate and layer in owner._flatten_layers():
            return kind.__name__
    return type(model).__name__


def _is_keras(value: type | Callable[..., None]) -> bool:
    return value.__module__.partition(".")[0] == "keras"
