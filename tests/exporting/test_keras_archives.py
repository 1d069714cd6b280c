"""The SavedModels of Keras's own `Model.export` restore the right variables, or are refused."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from smdecl.config.settings import Weights
from smdecl.errors import ConfigError
from smdecl.exporting.restoring import restore

L = keras.layers
ROWS = tf.random.stateless_normal([3, 4], (1, 2))


def towers(*names, inner="proj", package=keras):
    """Functional models side by side, whose names TensorFlow does not save."""
    x = inputs = package.Input((4,))
    outputs = []
    for name in names:
        y = package.Input((4,))
        tower = package.Model(y, package.layers.Dense(4, name=inner)(y), name=name)
        outputs.append(tower(x))
    return package.Model(inputs, outputs)


def functional(first="left", second="right", package=keras):
    """Layers of equal shape: side by side, shared, in a model inside, and without a name."""
    layers = package.layers
    inner = inputs = package.Input((4,))
    for _ in range(2):
        inner = layers.Dense(4, activation="tanh")(inner)
    inner = package.Model(inputs, inner)
    shared = layers.Dense(4)
    x = inputs = package.Input((4,))
    sides = [layers.Dense(4, name=name)(x) for name in (first, second)]
    x = layers.Subtract()([shared(sides[0]), shared(sides[1])])
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.5)(inner(x))
    x = layers.Dropout(0.5)(layers.Dense(4)(x))
    return package.Model(inputs, layers.Dense(4)(x))


def swapped():
    """The same, except that the code creates two layers in a different order."""
    second, first = L.Dense(4), L.Dense(4)
    x = keras.Input((4,))
    return keras.Model(x, second(first(x)))


def in_order():
    first, second = L.Dense(4), L.Dense(4)
    x = keras.Input((4,))
    return keras.Model(x, second(first(x)))


class Net(keras.Model):
    """A subclass; TensorFlow names its kernels alike, whatever the layers are called."""

    def __init__(self, *widths):
        super().__init__()
        self.dense = [L.Dense(width) for width in widths]
        self.drops = [L.Dropout(0.5) for _ in widths]
        self.norm = L.BatchNormalization()

    def call(self, x):
        for dense, drop in zip(self.dense, self.drops, strict=True):
            x = drop(dense(x))
        return self.norm(x)


class Averaged(Net):
    """Has a variable that Keras does not know."""

    def __init__(self, *widths):
        super().__init__(*widths)
        self.average = tf.Variable(tf.zeros([4]))

    def call(self, x):
        return super().call(x) + self.average


class Block(L.Layer):
    """A layer with two layers of equal shape, whose names TensorFlow does not save."""

    def __init__(self, **config):
        super().__init__(**config)
        self.first, self.second = L.Dense(4), L.Dense(4)

    def call(self, x):
        return self.second(self.first(x))


def with_block():
    x = keras.Input((4,))
    return keras.Model(x, Block()(x))


class Extended(keras.Model):
    """A functional model that has more layers than its graph."""

    def __init__(self):
        x = keras.Input((4,))
        super().__init__(x, L.Dense(4)(x))
        self.first, self.second = L.Dense(4), L.Dense(4)

    def call(self, x):
        return self.second(self.first(super().call(x)))


class BackAndHead(tf_keras.Model):
    """The same in legacy Keras, whose graph lists the layers of attributes too."""

    def __init__(self, *names):
        x = tf_keras.Input((4,))
        super().__init__(x, tf_keras.layers.Dense(4)(x))
        for name in names:
            setattr(self, name, tf_keras.layers.Dense(4))

    def call(self, x):
        return self.second(self.first(super().call(x)))


def with_attributes():
    """A functional model of legacy Keras that gets layers after it was made."""
    x = tf_keras.Input((4,))
    model = tf_keras.Model(x, tf_keras.layers.Dense(4)(x))
    for name in ("first", "second"):
        layer = tf_keras.layers.Dense(4)
        layer.build((None, 4))
        setattr(model, name, layer)
    return model


class Headed(keras.Model):
    """A subclass around a functional model with layers of equal shape."""

    def __init__(self):
        super().__init__()
        self.body = in_order()
        self.head = L.Dense(4)

    def call(self, x):
        return self.head(self.body(x))


def trained(model):
    """Returns a compiled model with a different number in every weight."""
    compiled(model)
    random = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(random.uniform(0.1, 1.0, variable.shape))
    return model


def compiled(model):
    """Returns a model with the variables of an optimizer and of metrics, which no export has."""
    model.compile("adam", "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    return model


def called(model):
    model(ROWS)
    return model


def restored(model, path, **options):
    return restore.restore(model, Weights("saved_model", str(path), **options))


def problems(model, path, **options):
    before = [np.asarray(each) for each in model.weights]
    with pytest.raises(ConfigError) as error:
        restored(model, path, **options)
    for value, variable in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(value, np.asarray(variable))
    return [problem.message for problem in error.value.problems]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A directory with the exports of the models by name, and these models."""
    directory = tmp_path_factory.mktemp("served")
    models = {
        "functional": functional(),
        "in_order": in_order(),
        "narrowing": called(Net(3, 2)),
        "equal": called(Net(4, 4)),
    }
    for name, model in models.items():
        trained(model).export(directory / name, verbose=False)
    return directory, models


@pytest.mark.parametrize(
    ("name", "make"),
    [("functional", functional), ("narrowing", lambda: called(Net(3, 2)))],
)
def test_what_keras_exported_is_restored(served, name, make):
    directory, models = served
    model = compiled(
        make()
    )  # Keras numbers its layers differently than those of the exported model

    record = restored(model, directory / name)

    assert len(record.matched) == len(model.variables)
    assert record.unmatched == ()
    np.testing.assert_array_equal(model(ROWS), models[name](ROWS))
    for own, other in zip(model.variables, models[name].variables, strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Headed, None),
        (with_block, "lists several variables block/kernel [4, 4], which may be any of block"),
        pytest.param(
            Extended,
            "lists several variables extended/dense/kernel [4, 4], which may be any of extended",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_only_a_graph_tells_the_order_of_layers_of_equal_shape(tmp_path, make, expected):
    source, model = called(make()), called(make())
    trained(source).export(tmp_path / "served", verbose=False)

    if expected is None:
        assert restored(model, tmp_path / "served").unmatched == ()
        np.testing.assert_array_equal(model(ROWS), source(ROWS))
    else:
        assert problems(model, tmp_path / "served")[0].startswith(expected)


@pytest.mark.slow
def test_what_legacy_keras_exported_is_restored(tmp_path):
    source, model = (functional(package=tf_keras) for _ in range(2))
    trained(source).export(tmp_path / "served")

    assert restored(model, tmp_path / "served").unmatched == ()
    np.testing.assert_array_equal(model(ROWS), source(ROWS))


@pytest.mark.parametrize(
    ("source", "model", "expected"),
    [
        (
            lambda: called(BackAndHead("first", "second")),
            lambda: called(BackAndHead("second", "first")),
            "back_and_head/dense/kernel [4, 4]",
        ),
        (with_attributes, with_attributes, "kernel [4, 4]"),
        (lambda: towers("left", "right"), lambda: towers("right", "left"), "proj/kernel [4, 4]"),
        (lambda: towers(None, None), lambda: towers(None, None), "proj/kernel [4, 4]"),
        (
            lambda: towers("left", "right", inner=None),
            lambda: towers("right", "left", inner=None),
            "dense/kernel [4, 4]",
        ),
    ],
)
def test_layers_that_only_the_code_tells_apart_are_refused(tmp_path, source, model, expected):
    source().export(tmp_path / "served")

    assert expected in problems(model(), tmp_path / "served")[0]


def test_numbered_models_within_a_model_are_restored(tmp_path):
    source, model = (towers(None, None, inner=None) for _ in range(2))
    trained(source).export(tmp_path / "served", verbose=False)

    assert restored(model, tmp_path / "served").unmatched == ()
    np.testing.assert_array_equal(model(ROWS), source(ROWS))


def test_layers_of_equal_shape_with_exchanged_names_are_refused(served):
    directory, _ = served

    first, *_ = problems(functional("right", "left"), directory / "functional")

    assert first == (
        "lists left/kernel [4, 4] where the model has right/kernel [4, 4];"
        " Model.export saves no layers, so a value could go to a wrong variable;"
        " expected weights of format keras, from model.save('model.keras')"
    )


def test_layers_that_are_created_in_a_different_order_are_refused(served):
    directory, _ = served

    kernels, biases = problems(swapped(), directory / "in_order")

    assert "kernel in this order where the model has dense" in kernels
    assert "bias in this order where the model has dense" in biases


@pytest.mark.parametrize("expect", ["full", "partial"])
def test_a_subclass_with_layers_of_equal_shape_is_refused(served, expect):
    directory, _ = served

    kernels, biases = problems(called(Net(4, 4)), directory / "equal", expect=expect)

    assert kernels.startswith("lists several variables net/kernel [4, 4], which may be any of net")
    assert biases.startswith("lists several variables net/bias [4], which may be any of net")


def test_a_different_number_of_variables_is_refused(served):
    directory, _ = served

    (message,) = problems(called(Net(3)), directory / "narrowing")

    assert message == (
        "lists 10 variables, Net has 7; the arguments of the model (model.*) may differ from those that"
        " the weights were saved with; Model.export saves no layers, so a value could go to a wrong"
        " variable; expected weights of format keras, from model.save('model.keras')"
    )


def test_variables_of_different_shapes_are_refused_with_a_hint_at_the_arguments(served):
    directory, _ = served

    messages = problems(called(Net(3, 5)), directory / "narrowing")

    assert re.match(r"lists net\w*/kernel \[3, 2\] where the model has net", messages[0])
    assert "; the arguments of the model (model.*) may differ" in messages[0]


def test_a_model_that_is_not_built_is_refused_as_such(served):
    directory, _ = served

    (message,) = problems(Net(3, 2), directory / "narrowing")

    assert message.startswith(
        "Net is not built and has only 2 variables to restore into; declare the inputs of a signature"
    )


def test_a_variable_outside_of_the_list_is_missing(served):
    directory, _ = served
    model = called(Averaged(3, 4))
    model.export(directory / "averaged", verbose=False)

    assert restored(model, directory / "averaged", expect="partial").unmatched == ("average",)
