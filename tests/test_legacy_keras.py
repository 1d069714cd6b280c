"""Models of the legacy tf_keras, where it is installed: the same as those of Keras 3."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.test_pipeline import serve

NET = """
import tf_keras


def functional():
    x = tf_keras.layers.Input((4,), name="x")
    return tf_keras.Model(x, tf_keras.layers.Dense(5, name="out")(x))


class Subclass(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = tf_keras.layers.Dense(3, name="dense")

    def call(self, features, training=False):
        return {"logits": self.dense(features)}
"""
SAVE = """
import sys, mynet
model = mynet.functional()
model.set_weights([weight * 0 + 2 for weight in model.get_weights()])
model.save(sys.argv[1]) if sys.argv[1].endswith(".keras") else model.save_weights(sys.argv[1])
"""


@pytest.fixture
def net(project):
    project.write("mynet.py", NET)
    return project


def test_a_functional_model_takes_and_returns_what_is_documented(net):
    release = net.export("model._target_=mynet.functional", "signatures=none")

    assert serve(release.path, "serving_default", x=np.ones([2, 4], np.float32))["out"].shape == (2, 5)
    loaded = tf.saved_model.load(str(release.path)).signatures["serving_default"]
    assert loaded(x=tf.ones([1, 4]))["out"].shape == (1, 5)
    assert release.warnings == ()


def test_a_subclass_is_built_by_the_declared_specs(net):
    signature = "{inputs: {features: {shape: [batch, 4], dtype: float32}}, outputs: {logits: {shape: [batch, 3], dtype: float32}}}"
    release = net.export("model._target_=mynet.Subclass", "signatures=none", f"+signatures.s={signature}")

    assert serve(release.path, "s", features=np.ones([2, 4], np.float32))["logits"].shape == (2, 3)


@pytest.mark.parametrize(("file", "kind"), [("net.keras", "keras"), ("net.weights.h5", "keras_weights")])
def test_weights_are_restored(net, file, kind):
    subprocess.run([sys.executable, "-c", SAVE, file], check=True, cwd=net.root, capture_output=True)

    release = net.export(
        "model._target_=mynet.functional", "signatures=none", f"+weights={{format: {kind}, path: {file}, expect: full}}"
    )

    assert serve(release.path, "serving_default", x=np.ones([1, 4], np.float32))["out"].tolist() == [[10] * 5]
