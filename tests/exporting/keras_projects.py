"""Keras models with state beside their variables, and the files that a training script saved."""

import shutil

import pytest
import tensorflow as tf
from smdecl.checks import check as checking
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, ModelError
from smdecl.pipeline import worker
from smdecl.pipeline.children import children

from tests.conftest import run_script
from tests.shared import made_once

NETS = """
import keras
import numpy as np


class Tagger(keras.Model):
    def __init__(self, vocabulary=None, **kwargs):
        super().__init__(**kwargs)
        self.ids = keras.layers.StringLookup(vocabulary=vocabulary, name="ids")
        self.emb = keras.layers.Embedding(10, 2, name="emb")

    def call(self, words):
        return {"ids": self.ids(words), "vec": self.emb(self.ids(words))}


class Coded(keras.Model):
    def __init__(self, max_tokens=None, **kwargs):
        super().__init__(**kwargs)
        self.ids = keras.layers.StringLookup(output_mode="one_hot", max_tokens=max_tokens, name="ids")
        self.out = keras.layers.Dense(1, use_bias=False, name="out")

    def call(self, words):
        return self.out(self.ids(words))


class Stack(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = keras.layers.Dense(2, name="first")
        self.blocks = [keras.layers.Dense(2, name="second")]

    def call(self, x):
        return self.blocks[0](self.first(x))


class Times(keras.layers.Layer):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def text(vocabulary=None):
    inputs = keras.Input((1,), dtype="string", name="text")
    layer = keras.layers.TextVectorization(vocabulary=vocabulary, output_sequence_length=3, name="ids")
    ids = layer(inputs)
    return keras.Model(inputs, [ids, keras.layers.Embedding(10, 2, name="emb")(ids)])


def scaled(factor=2.0):
    inputs = keras.Input((1,), name="x")
    x = Times(factor, name="times")(keras.layers.Normalization(name="norm")(inputs))
    return keras.Model(inputs, x)
"""


TRAIN = """
import keras, numpy as np, tensorflow as tf
import nets

model = nets.scaled()
model.get_layer("norm").adapt(np.array([[10.0], [30.0]], np.float32))
model.save("scaled.keras")
model.save_weights("scaled.weights.h5")
plain = keras.Model(model.inputs, model.get_layer("norm").output)
plain.compile(optimizer="adam", loss="mse")
plain.save("plain.keras")

tagger = nets.Tagger()
tagger.ids.adapt(["A", "B", "C", "B"])
tagger(tf.constant(["A"]))
tagger.save_weights("tagger.weights.h5")
tf.train.Checkpoint(tagger).write("tagger")

coded = nets.Coded()
coded.ids.adapt(["A", "B", "C", "B"])
coded(tf.constant(["A"]))
coded.out.set_weights([np.array([[5.0], [6.0], [7.0], [8.0]])])
coded.save("coded.keras")

text = nets.text(["a", "b", "c"])
text.save("text.keras")
text.save_weights("text.weights.h5")

stack = nets.Stack()
stack(tf.ones([1, 2]))
tf.train.Checkpoint(stack).write("stack")
"""


def make_files(directory):
    """Writes the code of the models, and the files that a separate process trains."""
    (directory / "nets.py").write_text(NETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        run_script(TRAIN)


def write_ready(project, factory):
    """Copies the code of the models and the trained files to a project."""
    shutil.copytree(made_once(factory, "keras_files", make_files), project.root, dirs_exist_ok=True)
    return project


def config(model, *overrides):
    return ["model=adder", f"model._target_=nets.{model}", "signatures=none", *overrides]


def restored(fmt, path, expect="full"):
    return f"+weights={{format: {fmt}, path: {path}, expect: {expect}}}"


def planned(project, *overrides):
    """Builds, restores and traces in a separate process, as an export does."""
    here = find_project(project.root)
    checked = checking.check(project.compose(*overrides), here)
    planned, _ = children.run(worker.plan, checked, here, failure=ModelError, doing="building")
    return planned


def refusals(project, *overrides, kind=ConfigError):
    with pytest.raises(kind) as error:
        planned(project, *overrides)
    assert type(error.value) is kind
    return [(problem.key, problem.message) for problem in error.value.problems]


def served(release, **inputs):
    function = tf.saved_model.load(str(release.path)).signatures["serving_default"]
    return {name: value.numpy().tolist() for name, value in function(**inputs).items()}
