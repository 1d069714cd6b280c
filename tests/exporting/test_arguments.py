"""The arguments of a call, by position or by keyword."""

import dataclasses
from typing import NamedTuple

import keras
import pytest
import tensorflow as tf
from smdecl.config.settings import Spec
from smdecl.exporting.signatures.arguments import arguments, problems, type_spec


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


def functional():
    chem, site = keras.Input([13], name="chem"), keras.Input([2], name="site")
    return keras.Model([chem, site], keras.layers.Concatenate()([chem, site]))


def with_any_keywords(chem, site, **others):
    return chem + site


@pytest.mark.parametrize("method", [functional(), with_any_keywords])
def test_a_misspelt_input_is_one_problem_even_if_any_keyword_is_accepted(method):
    spec = Spec((None, 13), "float32")
    found = problems(("inputs",), "f", method, {"chme": spec, "site": spec})

    [problem] = found
    assert problem.key == "inputs.chme"
    assert problem.message.startswith("unknown argument 'chme' of f; expected one of chem, site")
    assert problem.message.endswith("(did you mean 'chem'?)")
    assert [one.message for one in problems(("inputs",), "f", method, {"site": spec})] == [
        "missing required argument 'chem' of f"
    ]
