"""A declared shape that the model does not accept is an error of its key."""

import keras
import pytest
import smdecl
import tensorflow as tf
from smdecl.config.settings import Spec
from smdecl.errors import ConfigError, ModelError, VerificationError
from smdecl.exporting.signatures import input_shapes


@pytest.mark.parametrize("shape", ["[batch, 3]", "[batch]"])
def test_a_shape_that_no_keras_input_accepts_is_compared_with_it(project, shape):
    signature = f"{{inputs: {{x: {{shape: {shape}, dtype: float32}}}}}}"
    composition = project.compose("model=dense", "signatures=none", f"+signatures.s={signature}")

    with pytest.raises(ConfigError) as error:
        smdecl.plan(composition)

    [problem] = error.value.problems
    assert problem.key == "signatures.s.inputs.x.shape"
    assert problem.message == f"expected [?, 4], the shape of the Input 'x', got {shape}"
    assert error.value.traceback_text == ""


def test_an_unknown_size_is_reported_if_the_keras_input_has_a_fixed_one(project):
    signature = "{inputs: {x: {shape: [batch, n], dtype: float32}}}"

    with pytest.raises(VerificationError) as error:
        project.export("model=dense", "signatures=none", f"+signatures.s={signature}")

    [problem] = error.value.problems
    assert problem.key == "signatures.s.inputs.x.shape"
    assert problem.message == "expected [?, 4], the shape of the Input 'x', got [batch, n]"


class Net(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x, y):
        return self.layer(x)


def built(layer, *shape):
    layer.build(shape)
    return Net(layer)


@pytest.mark.parametrize(
    ("model", "x", "y", "key"),
    [
        (built(keras.layers.Dense(3), None, 13), (None, 12), (None,), "signatures.s.inputs.x.shape"),
        (built(keras.layers.Conv1D(3, 2), None, 9, 4), ("n", 9), (2, 9), "signatures.s.inputs.x.shape"),
        # Both inputs have the shape that did not fit.
        (built(keras.layers.Dense(3), None, 13), (None, 12), ("n", 12), "signatures.s"),
    ],
)  # fmt: skip
def test_a_shape_that_an_inner_layer_refuses_is_the_key_if_only_one_input_has_it(model, x, y, key):
    inputs = {"x": Spec(x, "float32"), "y": Spec(y, "float32")}
    specs = [tf.TensorSpec([d if isinstance(d, int) else None for d in one]) for one in (x, y)]
    with pytest.raises(ValueError, match="incompatible with the layer") as raised:
        tf.function(model).get_concrete_function(*specs)

    error = input_shapes.failure(("signatures", "s"), inputs, "calling it", raised.value)

    assert isinstance(error, ModelError)
    assert error.problems[0].key == key
