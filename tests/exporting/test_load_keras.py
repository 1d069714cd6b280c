"""A model in a .keras file is exported as it is."""

import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from smdecl import models
from smdecl.checks import check as checking
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, TrustError
from smdecl.release import manifest

from tests.exporting.keras_projects import served, write_ready


@pytest.fixture
def ready(project, tmp_path_factory):
    return write_ready(project, tmp_path_factory)


def test_a_saved_model_of_keras_is_the_model(ready):
    given = [
        "model._target_=smdecl.models.load_keras",
        "+model.path=plain.keras",
        "signatures=none",
    ]
    digest = hashlib.sha256(Path("plain.keras").read_bytes()).hexdigest()

    release = ready.export(*given, f"+sha256={{plain.keras: {digest}}}", "name=plain")

    assert served(release, x=tf.constant([[30.0]])) == {"norm": [[1.0]]}
    assert manifest.read(release.path)["inputs"] == {"plain.keras": digest}
    assert not any(
        "adam" in name for name, _ in tf.train.list_variables(f"{release.path}/variables/variables")
    )


def check(project, *overrides):
    checking.check(project.compose(*overrides), find_project(project.root))


def test_the_file_of_a_saved_model_is_checked_as_weights_are(project, tmp_path):
    load = ["model._target_=smdecl.models.load_keras"]
    (tmp_path / "far.keras").write_bytes(b"PK")
    project.write("near.keras", "no archive")
    project.write("near.h5", "no archive")

    with pytest.raises(TrustError, match="outside the project"):
        check(project, *load, f"+model.path={tmp_path / 'far.keras'}")
    with pytest.raises(TrustError, match="no such file: 'none.keras'"):
        check(project, *load, "+model.path=none.keras")
    with pytest.raises(ConfigError, match="'near.keras' is damaged, or not a .keras file"):
        check(project, *load, "+model.path=near.keras")
    with pytest.raises(ConfigError, match=r"expected a .keras file of Keras 3, got 'near.h5'"):
        check(project, *load, "+model.path=near.h5")


@pytest.mark.slow
def test_a_saved_model_with_classes_of_the_project_is_the_model(ready):
    kinds = "+model.custom_objects=[{_target_: nets.Times, _partial_: true}]"
    given = ["model._target_=smdecl.models.load_keras", "+model.path=scaled.keras", kinds]

    release = ready.export(*given, "signatures=none")

    assert served(release, x=tf.constant([[30.0]])) == {"times": [[2.0]]}


@keras.saving.register_keras_serializable(package="compiled")
class Subclass(keras.Model):
    def __init__(self, **config):
        super().__init__(**config)
        self.dropout = keras.layers.Dropout(0.5)
        self.dense = keras.layers.Dense(2)

    def call(self, x):
        return self.dense(self.dropout(x))


@keras.saving.register_keras_serializable(package="compiled")
class Custom(Subclass):
    def compile_from_config(self, config):
        self.compile("adam", "mse")


def functional(*layers):
    x = keras.Input((4,))
    y = x
    for layer in layers:
        y = layer(y)
    return keras.Model(x, y)


def a_loss_of_the_project(expected, found):
    return keras.ops.mean(found)


def compiled(model):
    model(np.zeros((1, 4), np.float32))
    model.compile("adam", a_loss_of_the_project, metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    return model


def prepared(words, ids, x):
    """Returns inputs for a model, from layers whose state is not among its variables."""
    text = keras.layers.TextVectorization(output_sequence_length=1)
    text.adapt(["a b", "b c"])
    strings = keras.layers.StringLookup()
    strings.adapt(["a", "b"])
    integers = keras.layers.IntegerLookup()
    integers.adapt([1, 5])
    normalization = keras.layers.Normalization()
    normalization.adapt(np.array([[1.0], [5.0]]))
    columns = [text(words), strings(words), integers(ids)]
    columns = [keras.layers.Rescaling(0.5)(column) for column in columns]
    return keras.layers.Concatenate()([*columns, normalization(x)])


# Keras with NumPy 2 causes it.
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_models_compiled_inside_a_model_are_loaded_without_their_optimizers(tmp_path):
    inner = [
        compiled(functional(keras.layers.Dropout(0.5), keras.layers.Dense(2))),
        compiled(keras.Sequential([keras.layers.Dense(2)])),
        compiled(Subclass()),
        compiled(Custom()),
        compiled(functional(compiled(functional(keras.layers.Dense(2))))),
    ]
    inputs = [
        keras.Input((1,), dtype="string", name="words"),
        keras.Input((1,), dtype="int64", name="ids"),
        keras.Input((1,), name="x"),
    ]
    x = prepared(*inputs)
    outer = keras.Model(inputs, keras.layers.Add()([model(x) for model in inner]))
    path = tmp_path / "net.keras"
    outer.save(path)

    model = models.load_keras(str(path))

    values = [tf.constant([["b"], ["z"]]), tf.constant([[5], [7]]), tf.constant([[2.0], [9.0]])]
    np.testing.assert_array_equal(model(values), outer(values))
    saved = tf.train.Checkpoint(model).write(str(tmp_path / "variables"))
    assert not [name for name, _ in tf.train.list_variables(saved) if "optimizer" in name]
