"""Weights that fit only an attribute of the object are reported with what its code can do."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from smdecl.config.settings import Weights
from smdecl.errors import ConfigError
from smdecl.exporting.restoring import restore
from smdecl.models import dense, load_keras

# Keras with NumPy 2 causes it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")


class Module(tf.Module):
    def __init__(self, model, other=None):
        super().__init__()
        self.model = model
        self.other = other


class Model(keras.Model):
    def __init__(self, model):
        super().__init__()
        self.model = model
        self.built = True


@pytest.fixture(scope="module")
def dense_files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("dense")
    net = dense()
    net.save_weights(directory / "net.weights.h5")
    net.save(directory / "net.keras")
    tf.train.Checkpoint(net).write(str(directory / "net"))
    tf.saved_model.save(net, str(directory / "saved"))
    return directory


@pytest.mark.parametrize(
    ("fmt", "path", "wrapper", "expected"),
    [
        ("keras_weights", "net.weights.h5", Model, "self.model.load_weights(path)"),
        ("keras_weights", "net.weights.h5", Module, "self.model.load_weights(path)"),
        ("keras", "net.keras", Module, "{_target_: smdecl.models.load_keras, path: "),
        ("checkpoint", "net", Model, "expected a checkpoint of tf.train.Checkpoint(model=...)"),
        ("checkpoint", "net", Module, "expected a checkpoint of tf.train.Checkpoint(model=...)"),
        ("saved_model", "saved", Module, "of tf.train.Checkpoint(model=...)"),
    ],
)
def test_weights_that_fit_an_attribute_are_reported_with_it(
    dense_files, fmt, path, wrapper, expected
):
    path = str(dense_files / path)

    with pytest.raises(ConfigError) as error:
        restore.restore(wrapper(dense()), Weights(fmt, path))

    ((key, message),) = [(each.key, each.message) for each in error.value.problems]
    assert key == "weights.path"
    name = wrapper.__name__
    assert message.startswith(f"{path!r} fits {name}.model, but not {name}; expected ")
    assert expected in message


def test_weights_that_fit_two_attributes_or_none_are_reported_as_before(dense_files):
    path = str(dense_files / "net")

    for models in ((dense(), dense()), (dense(units=7),)):
        with pytest.raises(ConfigError) as error:
            restore.restore(Module(*models), Weights("checkpoint", path))

        found = [each.message for each in error.value.problems]
        assert len(found) == 2 * len(models)
        assert all(message.startswith("has no value for out/") for message in found)


@pytest.mark.parametrize("wrapper", [Model, Module])
def test_what_is_expected_of_weights_of_an_attribute_restores_it(dense_files, tmp_path, wrapper):
    net = load_keras(str(dense_files / "net.keras"))
    loading = wrapper(dense())
    loading.model.load_weights(str(dense_files / "net.weights.h5"))
    prefix = tf.train.Checkpoint(model=net).write(str(tmp_path / "wrapped"))
    restored = wrapper(dense())

    record = restore.restore(restored, Weights("checkpoint", prefix))

    assert record.unmatched == ()
    for obj in (loading, restored):
        np.testing.assert_array_equal(obj.model.weights[0], net.weights[0])
