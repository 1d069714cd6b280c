"""The spec of an input that a config does not declare is that of the model, or must be declared."""

import keras
import pytest
import tensorflow as tf
from smdecl.config.settings import Spec
from smdecl.exporting.live_objects import derived_specs


@pytest.mark.parametrize(
    ("arguments", "spec"),
    [
        ({"shape": (4,)}, Spec((None, 4), "float32")),
        ({"shape": (4,), "sparse": True}, Spec((None, 4), "float32", kind="sparse")),
        ({"batch_shape": (2, None)}, Spec((2, None), "float32")),
        ({"shape": (3,), "ragged": True}, Spec((None, 3), "float32", kind="ragged")),
        ({"shape": (None, 3), "ragged": True}, Spec((None, None, 3), "float32", kind="ragged")),
        (
            {"shape": (3, None), "ragged": True},
            Spec((None, 3, None), "float32", kind="ragged", ragged_rank=2),
        ),
    ],
)
def test_an_input_of_keras(arguments, spec):
    derived = derived_specs.of_input(keras.Input(**arguments))

    assert derived == derived_specs.DerivedSpec(spec)


@pytest.mark.parametrize(
    ("shape", "unclear"),
    [
        (
            (None, None),
            "Keras does not know which of the sizes are ragged; declare what clients send, such as"
            " {kind: ragged, shape: [null, null, null], dtype: int64, ragged_rank: 2}",
        ),
        (
            (),
            "expected a ragged tensor of rank 2 or more, got rank 1; declare what clients send, such as"
            " {shape: [null], dtype: int64}",
        ),
    ],
)
def test_an_input_of_keras_that_is_ragged_in_an_unknown_way(shape, unclear):
    derived = derived_specs.of_input(keras.Input(shape, ragged=True, dtype="int64"))

    assert derived.unclear == unclear


def test_an_input_of_keras_whose_tensor_has_a_ragged_rank():
    tensor = keras.KerasTensor(
        (None, None, None), ragged=True, ragged_rank=1, row_splits_dtype="int32"
    )

    derived = derived_specs.of_input(keras.Input(tensor=tensor))

    spec = Spec((None, None, None), "float32", kind="ragged", row_splits_dtype="int32")
    assert derived == derived_specs.DerivedSpec(spec)


@pytest.mark.parametrize(
    ("type_spec", "spec"),
    [
        (tf.TensorSpec(None, tf.string), Spec(None, "string")),
        (tf.SparseTensorSpec(None, tf.int8), Spec(None, "int8", kind="sparse")),
        (
            tf.RaggedTensorSpec([2, None, None], tf.bool, 2, tf.int32),
            Spec((2, None, None), "bool", None, "ragged", 2, "int32"),
        ),
    ],
)
def test_a_spec_of_tensorflow(type_spec, spec):
    assert derived_specs.of_type_spec(type_spec) == derived_specs.DerivedSpec(spec)


class Point(tf.experimental.BatchableExtensionType):
    shape: tf.TensorShape
    x: tf.Tensor

    class Spec:
        dtype = tf.float32


def test_a_spec_of_another_type_cannot_be_declared():
    spec = Point.Spec(tf.TensorShape([None]), tf.TensorSpec([None], tf.float32))

    unclear = derived_specs.of_type_spec(spec).unclear

    assert unclear.startswith("expected a dense, ragged or sparse tensor, got ")
    assert unclear.endswith("; export a method that creates it from such tensors")
