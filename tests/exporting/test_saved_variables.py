"""The variables of a plan are those that an export saves, by the names that inspect shows."""

import pytest
import smdecl

MODELS = """
import keras
import tensorflow as tf


def functional():
    x = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(3, name="hidden")(x)
    hidden = keras.layers.Dropout(0.5)(hidden)  # has a seed generator that inference does not use
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, name="inner")], name="part")
    model = keras.Model(x, keras.layers.Dense(2, name="out")(inner(hidden)))
    model.compile("adam", "mse", metrics=["mae"])
    return model


class Subclass(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [keras.layers.Dense(3, name="one"), keras.layers.Dense(3)]
        self.noise = keras.layers.GaussianNoise(0.5)

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.noise(x, training=True)


class Layer(tf.Module):
    def __init__(self):
        super().__init__()
        self.w, self.b = tf.Variable(tf.ones([3]), name="w"), tf.Variable(tf.zeros([3]))


class Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.layers = [Layer(), Layer()]
        self.scales = {"a/b": tf.Variable(2.0), "conv.Scale": tf.Variable(1.0)}
        self.same = {"a.b": tf.Variable(1.0), "a": {"b": tf.Variable(1.0)}}
        self.kernel = tf.Variable(tf.ones([3]), name="scale")

    def __call__(self, x):
        for layer in self.layers:
            x = layer.w * x + layer.b
        return self.kernel * x * self.scales["a/b"]
"""
LEGACY = """
import tf_keras


class Legacy(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [tf_keras.layers.Dense(3), tf_keras.layers.Dense(3)]

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x
"""
ADAM = ["iteration", "learning_rate"]
DENSE = ["bias", "kernel"]
CASES = [
    (
        "mine.functional",
        {
            *(f"{layer}/{name}" for layer in ("hidden", "out", "part/inner") for name in DENSE),
            *(f"adam/{name}" for name in ADAM),
        },
    ),
    (
        "mine.Subclass",
        {
            "seed_generator/seed_generator_state",
            *(f"blocks/{number}/{name}" for number in (0, 1) for name in ("_kernel", "bias")),
        },
    ),
    # Both layers have a variable w, so the paths tell them apart.
    (
        "mine.Module",
        {
            *("layers/0/w", "layers/0/b", "layers/1/w", "layers/1/b", "scale"),
            *("scales/a/b", "scales/conv/Scale"),
            *("same/a..b", "same/a/b"),  # both have the same path
        },
    ),
    pytest.param(
        "legacy.Legacy",
        {f"legacy/dense{number}/{name}" for number in ("", "_1") for name in DENSE},
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("target", "expected"), CASES)
def test_plan_and_inspect_show_the_same_variables(project, target, expected):
    project.write("mine.py", MODELS)
    project.write("legacy.py", LEGACY)
    spec = "{serving_default: {inputs: {x: {shape: [batch, 3], dtype: float32}}}}"
    project.write("conf/signatures/rows.yaml", spec)
    config = project.compose(f"model._target_={target}", "signatures=rows", "audit=off")

    planned = smdecl.plan(config).variables
    found = smdecl.inspect(smdecl.export(config).path)

    stored = {(each.name, each.dtype, each.shape) for each in found.stored}
    assert {(each.name, each.dtype, each.shape) for each in planned} == stored
    assert sorted(map(str, found.saved_model.variables)) == sorted(map(str, planned))
    assert {each.name for each in planned} == expected
