"""What Keras leaves in a file of weights."""

import keras
import pytest
import tensorflow as tf
from smdecl.config.settings import Weights
from smdecl.errors import ConfigError
from smdecl.exporting.restoring import restore

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # of Keras
PACKAGES = ["keras", "tf_keras"]


def model_of(package, layers):
    class Net(package.Model):
        def __init__(self):
            super().__init__()
            self.stack = [package.layers.Dense(2) for _ in range(layers)]
            self.loss_tracker = package.metrics.Mean()
            self.drop = package.layers.Dropout(0.5)

        def call(self, x):
            for layer in self.stack:
                x = layer(x)
            return self.drop(x)

    net = Net()
    net(tf.ones([1, 2]))
    return net


@pytest.mark.parametrize("name", PACKAGES)
def test_a_file_with_more_layers_than_the_model_is_refused(tmp_path, name):
    package = pytest.importorskip(name)
    trained = model_of(package, 3)
    trained.compile("adam", "mse", metrics=["mae"])
    trained.optimizer.build(trained.trainable_variables)
    path = str(tmp_path / "net.weights.h5")
    trained.save_weights(path)

    with pytest.raises(ConfigError) as error:
        restore.restore(model_of(package, 2), Weights("keras_weights", path))
    partial = restore.restore(model_of(package, 2), Weights("keras_weights", path, "partial"))
    restored = restore.restore(model_of(package, 3), Weights("keras_weights", path))

    messages = [problem.message.partition(";")[0] for problem in error.value.problems]
    assert sorted(message.partition("dense_2")[2] for message in messages) == [
        "/0 [2, 2] is not in the model",
        "/1 [2] is not in the model",
    ]
    assert sorted(partial.unused) == sorted(messages)
    assert restored.unused == ()


class Encoded(keras.Model):
    """Has a layer in an object that is no layer: a feature of a FeatureSpace."""

    def __init__(self):
        super().__init__()
        features = {"a": keras.utils.FeatureSpace.float_normalized()}
        self.space = keras.utils.FeatureSpace(features)
        self.space.adapt(tf.data.Dataset.from_tensors({"a": [[1.0], [5.0]]}))

    def call(self, x):
        return self.space({"a": x})


def test_layers_that_other_objects_than_layers_hold_are_read(tmp_path):
    model = Encoded()
    model(tf.ones([1, 1]))
    path = str(tmp_path / "net.weights.h5")
    model.save_weights(path)

    assert restore.restore(model, Weights("keras_weights", path)).unused == ()
