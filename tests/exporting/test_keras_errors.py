"""Errors of Keras files that cannot be loaded say what to write in the config."""

import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from smdecl.config.settings import Weights
from smdecl.errors import ConfigError
from smdecl.exporting import user_code
from smdecl.exporting.building import build
from smdecl.exporting.restoring import restore
from smdecl.models import dense

# Keras with NumPy 2 causes it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")
ADVICE = (
    "safe_mode",
    "custom_objects=",
    "register_keras_serializable",
    "enable_unsafe",
    "get_config",
)


class Times(keras.layers.Layer):
    def call(self, x):
        return x * 2.0


def halved(x):
    return x / 2.0


def saved(path, layer):
    x = keras.Input((4,), name="x")
    model = keras.Model(x, layer(x))
    model.save(path)
    return model


def loaded(path, **arguments):
    return build.instantiate(
        {"_target_": "smdecl.models.load_keras", "path": str(path), **arguments}, ("model",)
    )


def refusal(call, *args, **keywords):
    with pytest.raises(ConfigError) as error:
        call(*args, **keywords)
    (problem,) = error.value.problems
    assert not [word for word in ADVICE if word in problem.message]
    return problem.key, problem.message


def restored(obj, path):
    return restore.restore(obj, Weights("keras", str(path)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.keras"


def test_a_missing_class_of_the_project_is_reported_with_its_target(path):
    saved(path, Times())

    key, message = refusal(loaded, path)

    assert key == "model.path"
    assert message.endswith(
        "contains the class 'Times', which Keras does not know; expected it in custom_objects, as"
        f" {{_target_: {Times.__module__}.Times, _partial_: true}}"
    )
    times = {"_target_": f"{Times.__module__}.Times", "_partial_": True}
    assert loaded(path, custom_objects=[times]).name


def test_a_missing_function_of_the_project_is_reported_with_its_target(path):
    saved(path, keras.layers.Dense(2, activation=halved))

    assert "the function 'halved', which Keras does not know" in refusal(loaded, path)[1]


def test_weights_of_unknown_classes_are_not_reported_as_unreadable(path):
    saved(path, Times())

    key, message = refusal(restored, dense(), path)

    assert key == "weights.path"
    assert message.endswith(
        "holds the class 'Times', which no layer of Functional uses; expected a file of the same model"
    )


def test_weights_of_a_model_with_functions_of_the_project_are_restored(path):
    trained = saved(path, keras.layers.Dense(2, activation=halved, name="out"))
    x = keras.Input((4,), name="x")
    fresh = keras.Model(x, keras.layers.Dense(2, activation=halved, name="out")(x))

    restored(fresh, path)

    assert (fresh.layers[1].kernel.numpy() == trained.layers[1].kernel.numpy()).all()


def test_weights_of_a_model_around_a_compiled_one_are_restored(path):
    inner = dense()
    inner.compile("adam", halved)
    trained = saved(path, inner)
    x = keras.Input((4,), name="x")
    fresh = keras.Model(x, dense()(x))

    restored(fresh, path)

    np.testing.assert_array_equal(fresh.weights[0], trained.weights[0])


def test_a_lambda_is_refused_without_advice_to_run_it(path):
    saved(path, keras.layers.Lambda(lambda x: x * 2))

    assert (
        "a _target_ that builds the model, with its weights in the format keras_weights"
        in refusal(loaded, path)[1]
    )
    assert refusal(restored, dense(), path)[1].endswith(
        "which is code in the file and is not run; expected weights of format keras_weights, which hold no code"
    )


def test_the_reason_that_keras_puts_last_is_the_one_reported(path):
    saved(path, keras.layers.Dense(2, name="out"))
    text = zipfile.ZipFile(path).read("config.json").replace(b'"units": 2', b'"units": -2')
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", text)

    for call in (lambda: loaded(path), lambda: restored(dense(), path)):
        key, message = refusal(call)
        assert key.endswith(".path")
        assert "cannot read" in message
        assert "Received an invalid value for `units`" in message


def test_a_line_that_ends_in_a_colon_is_joined_with_the_next():
    error = ValueError(
        "A total of 2 objects could not be loaded. Example:\n\nLayer 'out' expected 2 variables\nList"
    )

    assert user_code.summary(error).endswith(
        "could not be loaded. Example: Layer 'out' expected 2 variables"
    )


@keras.saving.register_keras_serializable(package="unbuilt")
class Looked(keras.Model):
    """Keras cannot build it from the shape of its input alone."""

    def __init__(self, **config):
        super().__init__(**config)
        self.lookup = keras.layers.StringLookup(output_mode="one_hot")
        self.dense = keras.layers.Dense(3)
        self.dropout = keras.layers.Dropout(0.5)

    def call(self, x):
        return self.dropout(self.dense(self.lookup(x)))


@pytest.mark.filterwarnings("ignore:Model .* had a build config")
def test_a_model_that_keras_loads_without_its_weights_is_refused(path):
    model = Looked()
    model.lookup.adapt(tf.constant(["cat", "dog"]))
    model(tf.constant(["cat"]))
    model.save(path)

    key, message = refusal(loaded, path)

    assert key == "model.path"
    assert "Keras cannot build dense" in message
    assert "expected Looked to define build(input_shape)" in message


class Block(keras.layers.Layer):
    """It does not build the layers inside it."""

    def __init__(self, **config):
        super().__init__(**config)
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return self.dense(x)


@keras.saving.register_keras_serializable(package="unbuilt")
class Outer(keras.Model):
    def __init__(self, **config):
        super().__init__(**config)
        self.block = Block()

    def build(self, shape):
        self.block.build(shape)

    def call(self, x):
        return self.block(x)


@pytest.mark.filterwarnings("ignore:.*it looks like it has unbuilt state")
def test_the_class_that_has_to_build_is_the_outermost_that_does_not(path):
    model = Outer()
    model(tf.ones([1, 2]))
    model.save(path)

    assert "expected Block to define build(input_shape)" in refusal(loaded, path)[1]


def test_a_model_of_layers_that_were_never_used_is_loaded(path):
    model = dense()
    model.unused = keras.layers.Dense(2)
    model.compile("adam", "mse")
    model.fit(np.ones((4, 4)), np.ones((4, 5)), verbose=0)
    model.save(path)

    assert len(loaded(path).weights) == 2
