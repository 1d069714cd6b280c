"""The models that smdecl ships: small ones, for trying it out and for its tests, and those that Keras saved."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


class Adder(tf.Module):  # type: ignore[misc]
    """Adds a number to itself: the example of `tf.saved_model.save`'s own documentation."""

    @tf.function  # type: ignore[untyped-decorator]
    def add(self, x: tf.Tensor) -> tf.Tensor:
        """Returns `x + x`, in the shape and dtype of `x`."""
        return x + x


class Scaler(tf.Module):  # type: ignore[misc]
    """Adds a number to itself `factor` times over, `factor` being a variable."""

    def __init__(self, factor: float = 3.0) -> None:
        super().__init__()
        self.factor = tf.Variable(factor, dtype=tf.float32, name="factor")

    @tf.function  # type: ignore[untyped-decorator]
    def add(self, x: tf.Tensor) -> tf.Tensor:
        """Returns `factor * x`, float32, in the shape of `x`."""
        return self.factor * x


class TypedAdder(tf.Module):  # type: ignore[misc]
    """The Adder with an input signature of its own, which needs none in the config."""

    @tf.function(input_signature=[tf.TensorSpec(shape=[], dtype=tf.float32)])  # type: ignore[untyped-decorator]
    def add(self, x: tf.Tensor) -> tf.Tensor:
        """Returns `x + x`, a float32 scalar."""
        return x + x


class Concat(keras.Model):  # type: ignore[misc]
    """A Keras model whose method joins a text with itself."""

    @tf.function  # type: ignore[untyped-decorator]
    def concat(self, x: tf.Tensor) -> tf.Tensor:
        """Returns `x + x`, in the shape and dtype of `x`."""
        return x + x


class TypedConcat(keras.Model):  # type: ignore[misc]
    """The same with an input signature of its own."""

    @tf.function(input_signature=[tf.TensorSpec(shape=[], dtype=tf.string)])  # type: ignore[untyped-decorator]
    def concat(self, x: tf.Tensor) -> tf.Tensor:
        """Returns `x + x`, a text scalar."""
        return x + x


def dense(features: int = 4, units: int = 5) -> keras.Model:
    """Makes a Keras model of inputs and outputs: takes x, float32 [batch, features], returns out [batch, units]."""
    x = keras.layers.Input((features,), name="x")
    return keras.Model(x, keras.layers.Dense(units, name="out")(x))


def load_keras(
    path: str,
    custom_objects: Sequence[functools.partial[Any]] = (),
    compile: bool = False,  # noqa: A002 - Keras's own name
) -> keras.Model:
    """Loads the model of a .keras file of Keras 3, as `keras.saving.load_model` does in its safe mode.

    Args:
        path: Of the file, in the project.
        custom_objects: The classes and functions of the project that the file names, each a node with its `_target_`
            and `_partial_: true`.
        compile: Whether to restore its optimizer, whose variables then become part of the export.

    Raises:
        ValueError: Where the file is none of Keras 3, holds code, or names a class that is not given.
    """
    known = {partial.func.__name__: partial.func for partial in custom_objects}
    return keras.saving.load_model(
        path, custom_objects=known, compile=compile, safe_mode=True
    )
