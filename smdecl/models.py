"""The models that smdecl ships: small ones, for trying it out and for its tests."""

from __future__ import annotations

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
