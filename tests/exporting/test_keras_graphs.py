"""The inputs of functional and sequential Keras models are those that their Inputs stand for."""

import keras
import pytest
import tensorflow as tf
from smdecl.config.settings import Spec
from smdecl.exporting.live_objects import keras_graphs

ROWS = tf.ragged.constant([[1.0], [2.0, 3.0]])


def inner(**kind):
    x = keras.Input((None,), name="x", **kind)
    return keras.Model(x, keras.layers.Identity()(x))


def test_inputs_in_lists_and_mappings_have_their_own_names():
    x, y, z = (keras.Input((size,), name=name) for size, name in enumerate("xyz", 1))
    model = keras.Model({"b": {"d": x, "c": [y]}, "z": z}, [x, y, z])

    inputs = keras_graphs.graph_of(model).inputs

    assert list(inputs.items()) == [
        ("y", Spec((None, 2), "float32")),
        ("x", Spec((None, 1), "float32")),
        ("z", Spec((None, 3), "float32")),
    ]


@pytest.mark.parametrize(("kind", "count"), [({}, 0), ({"ragged": True}, 1), ({"sparse": True}, 0)])
def test_a_sequential_that_begins_with_a_ragged_model_is_unclear(kind, count):
    model = keras.Sequential([keras.Sequential([inner(**kind)])])
    model(ROWS)

    unclear = keras_graphs.graph_of(model).unclear

    assert len(unclear) == count
    for reason in unclear.values():
        assert reason.startswith("the first layer expects ragged float32 [?, ?], but Keras")
