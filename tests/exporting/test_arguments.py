"""The arguments of a call, by position or by keyword."""

import dataclasses
from typing import NamedTuple

import keras
import pytest
import tensorflow as tf
from smdecl.config.settings import Spec
from smdecl.exporting.arguments import arguments, type_spec


class Named(NamedTuple):
    p: tf.Tensor
    q: tf.Tensor


@dataclasses.dataclass
class Data:
    p: tf.Tensor
    q: tf.Tensor


class Extension(tf.experimental.ExtensionType):
    p: tf.Tensor
    q: tf.Tensor


def layer_of(kind):
    class Layer(keras.layers.Layer):
        def call(self, z: kind, a):
            parts = [z["p"], z["q"]] if isinstance(z, dict) else [z.p, z.q]
            return parts[0] * parts[1] + a

    return Layer()


PAIR = {"p": Spec((2,), "float32"), "q": Spec((2,), "float32")}


@pytest.mark.parametrize(
    ("kind", "by_position"),
    [
        (dict, True),
        (Named, True),
        (Data, False),
        (Extension, False),
    ],
)
def test_keras_gets_tensors_out_of_order_by_position_and_anything_else_by_keyword(
    kind, by_position
):
    layer = layer_of(kind)
    inputs = {"z": PAIR, "a": PAIR["p"]}

    for on_spec in (type_spec, lambda spec: 2 * tf.ones(spec.shape)):
        positional, keywords = arguments(layer, inputs, on_spec)
        assert (len(positional), set(keywords)) == ((2, set()) if by_position else (0, {*inputs}))
    assert layer(*positional, **keywords).numpy().tolist() == [6, 6]
