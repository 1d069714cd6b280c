"""Values of one layer or variable that a different one would receive."""

import keras
import pytest
import tensorflow as tf
from smdecl.config.settings import Weights
from smdecl.errors import ConfigError
from smdecl.exporting.restoring import restore

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # of Keras
ORDER = "; expected layers and variables in the order in which the weights were saved"


def branches(first="a", second="b"):
    x = keras.Input([2])
    outputs = [keras.layers.Dense(2, name=name)(x) for name in (first, second)]
    return keras.Model(x, keras.layers.Subtract()(outputs))


class Listed(tf.Module):
    def __init__(self, *names):
        super().__init__()
        self.values = [tf.Variable(0.0, name=name) for name in names]


class Unnamed(keras.Model):
    """Creates its layers in an order that does not matter."""

    def __init__(self, *names):
        super().__init__()
        for name in names:
            setattr(self, name, keras.layers.Dense(2))

    def build(self, shape):
        self.a.build(shape)
        self.b.build(shape)
        self.built = True

    def call(self, x):
        return self.b(self.a(x))


def save(model, fmt, tmp_path):
    path = tmp_path / ("net.weights.h5" if fmt == "keras_weights" else "net")
    if fmt == "keras_weights":
        model.save_weights(path)
    else:
        tf.train.Checkpoint(model).write(str(path))
    return str(path)


def refused(model, fmt, path, expect="full"):
    with pytest.raises(ConfigError) as error:
        restore.restore(model, Weights(fmt, path, expect))
    return [problem.message for problem in error.value.problems]


@pytest.mark.parametrize("expect", ["full", "partial"])
def test_named_layers_of_a_graph_in_a_different_order_are_refused(tmp_path, expect):
    # Files of older releases of Keras have no names.
    path = save(branches(), "keras_weights", tmp_path)

    assert refused(branches("b", "a"), "keras_weights", path, expect) == [
        f"has the value of a at the position of b{ORDER}",
        f"has the value of b at the position of a{ORDER}",
    ]


def test_named_layers_in_a_checkpoint_in_a_different_order_are_refused(tmp_path):
    path = save(branches(), "checkpoint", tmp_path)

    found = refused(branches("b", "a"), "checkpoint", path)

    assert found[0] == f"has the value of a/kernel at the position of b/kernel{ORDER}"
    assert len(found) == 4


def test_named_variables_of_a_list_in_a_different_order_are_refused(tmp_path):
    path = save(Listed("v_1", "v_2"), "checkpoint", tmp_path)

    assert refused(Listed("v_2", "v_1"), "checkpoint", path)[0].startswith("has the value of v_1")


@pytest.mark.parametrize("fmt", ["keras_weights", "checkpoint"])
def test_other_names_are_no_sign_of_a_different_order(tmp_path, fmt):
    # The numbers of Keras depend on the order in which the code creates layers.
    trained, model = Unnamed("a", "b"), Unnamed("b", "a")
    trained.build((None, 2))
    model.build((None, 2))

    restored = restore.restore(model, Weights(fmt, save(trained, fmt, tmp_path)))
    renamed = restore.restore(branches("c", "d"), Weights(fmt, save(branches(), fmt, tmp_path)))

    assert tf.reduce_all(model.a.kernel == trained.a.kernel)
    assert (len(restored.matched), len(renamed.matched)) == (4, 4)
