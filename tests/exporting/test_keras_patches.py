"""Layers run in inference mode in an export, unless the code or the config sets training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from smdecl.exporting import keras_patches

IMAGES = np.arange(2 * 4 * 4, dtype=np.float32).reshape(2, 4, 4, 1)


class Silent(keras.Model):
    """A model whose `call` has no parameter `training`."""

    def __init__(self):
        super().__init__()
        self.flip = keras.layers.RandomFlip(seed=1)

    def call(self, image):
        return self.flip(image)


class Trained(Silent):
    def call(self, image):
        return self.flip(image, training=True)


class Untrained(Trained):
    """A model whose `call` trains by default."""

    def call(self, image, training=True):
        return super().call(image) if training else image


def functional():
    image = keras.Input((4, 4, 1), name="image")
    return keras.Model(image, keras.layers.RandomFlip(seed=1)(image))


def legacy():
    image = tf_keras.Input((4, 4, 1), name="image")
    return tf_keras.Model(image, tf_keras.layers.RandomFlip(seed=1)(image))


def moves(layer, **arguments):
    """Returns whether a layer moves pixels in any of several calls."""
    called = [np.asarray(layer(tf.constant(IMAGES), **arguments)) for _ in range(6)]
    return any((answer != IMAGES).any() for answer in called)


MODELS = [keras.layers.RandomFlip, Silent, Untrained, functional, legacy]


@pytest.mark.parametrize("make", MODELS)
def test_a_layer_is_in_inference_mode_unless_the_call_sets_training(make):
    model = make()
    with keras_patches.inference():
        assert not moves(model)
        assert moves(model, training=True)
        assert not moves(model)
        assert not moves(tf.function(model))
    assert make is legacy or moves(
        model
    )  # the functional models of tf_keras are in inference anyway


def test_code_that_passes_training_is_respected():
    with keras_patches.inference():
        assert moves(Trained())


NET = """
import keras
import tensorflow as tf


def augmented():
    image = keras.Input((4, 4, 1), name="image")
    moved = keras.layers.RandomFlip(seed=1, name="flip")(image)
    normed = keras.layers.BatchNormalization(epsilon=0.0)(moved)
    return keras.Model(image, keras.layers.Dropout(0.4, name="drop")(normed))


class Silent(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = augmented()

    def call(self, image, training=True):
        return self.inner(image) * (2.0 if training else 1.0)


class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.net = Silent()
        self.net(tf.zeros([1, 4, 4, 1]), training=False)

    def ask(self, image):
        return self.net(image)

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 1], name="image")])
    def typed(self, image):
        return self.net(image)

    def train(self, image):
        return self.net(image, training=True)
"""
SPEC = "{shape: [batch, 4, 4, 1], dtype: float32}"


@pytest.fixture
def net(project):
    project.write("mynet.py", NET)
    return project


def answers(release, key):
    """Returns the distinct answers to a repeated request, each as a flat list."""
    function = tf.saved_model.load(str(release.path)).signatures[key]
    tensors = [next(iter(function(image=tf.constant(IMAGES)).values())) for _ in range(4)]
    return {tuple(tensor.numpy().ravel().round(3)) for tensor in tensors}


def test_a_signature_is_deterministic_unless_it_sets_training(net):
    methods = {"ask": "ask", "net": "net.__call__", "call": "net.call", "train": "train"}
    signatures = [
        f"+signatures.{key}={{method: {method}, inputs: {{image: {SPEC}}}}}"
        for key, method in methods.items()
    ]
    bound = f"+signatures.bound={{method: net.__call__, inputs: {{image: {SPEC}, training: {{value: true}}}}}}"

    release = net.export(
        "model._target_=mynet.Net",
        "signatures=none",
        "verify=load",
        "+signatures.typed={method: typed}",
        bound,
        *signatures,
    )

    found = {key: answers(release, key) for key in ("ask", "net", "call", "typed")}
    assert found == {key: {tuple(IMAGES.ravel())} for key in found}
    (drawing,) = [
        warning.message for warning in release.warnings if warning.key == "audit.random_ops"
    ]
    assert (
        "StatelessRandomUniformV2 uses a seed in a variable that each call changes (layer 'flip'"
        in drawing
    )
    assert "layer 'drop'" in drawing
    assert len(answers(release, "train")) > 1
    assert len(answers(release, "bound")) > 1


def test_a_functional_model_computes_what_its_predict_does(net):
    release = net.export("model._target_=mynet.augmented", "signatures=none", "audit=strict")

    import mynet

    predicted = mynet.augmented().predict(IMAGES, verbose=0)
    assert answers(release, "serving_default") == {tuple(predicted.ravel().round(3))}
