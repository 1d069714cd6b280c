"""Models of every kind, and ways to export them, call them in both loaders and inspect them."""

from collections import Counter

import numpy as np
import tensorflow as tf
from smdecl.savedmodel import inspection

from tests.serving import serve

MODULES = """
import tensorflow as tf

SCALAR = [tf.TensorSpec([], tf.float32)]

class Encoder(tf.Module):
    def __init__(self, factor):
        self.factor = tf.Variable(factor)
    @tf.function
    def encode(self, x): return x * self.factor

class Base(tf.Module):
    def __init__(self):
        self.encoder = Encoder(3.0)
        self.stack = [Encoder(2.0)]
    def add(self, x): return x + x

class Net(Base):
    @tf.function
    def deep(self, x): return self.stack[0].encode(self.encoder.encode(x))

class Two(tf.Module):
    @tf.function(input_signature=SCALAR)
    def a(self, x): return x + 1.0
    @tf.function(input_signature=SCALAR)
    def b(self, x): return x + 2.0

class One(tf.Module):
    def __init__(self):
        self.encoder = Encoder(1.0)
    a = Two.a

class Called(tf.Module):
    def __init__(self):
        self.double(tf.constant(1.0))
    @tf.function
    def double(self, x): return x + x

def load(path):
    return tf.saved_model.load(path)
"""
KERAS = """
import keras
import tensorflow as tf

def page():
    x = keras.layers.Input((4,), name="x")
    return keras.Model(x, keras.layers.Dense(5, name="out", kernel_initializer="ones")(x))

def merged(kind):
    a, b = keras.layers.Input((2,), name="b"), keras.layers.Input((2,), name="a")
    low, high = keras.layers.Subtract(name="low")([a, b]), keras.layers.Add(name="high")([a, b])
    return keras.Model({"b": a, "a": b} if kind == "dict" else [a, b], [low, high])

def nested():
    x = keras.layers.Input((4,), name="x")
    return keras.Model(x, keras.layers.Dense(2, name="head", kernel_initializer="ones")(page()(x)))

def norm():
    x = keras.layers.Input((2,), name="x")
    return keras.Model(x, keras.layers.Dropout(0.5)(keras.layers.BatchNormalization(epsilon=0.0)(x)))

class Blend(keras.layers.Layer):
    def call(self, x, extra=None):
        return x * 2.0 if extra is None else x * 2.0 + extra

def optional():
    x, extra = keras.Input((2,), name="x"), keras.Input((2,), name="extra", optional=True)
    return keras.Model({"x": x, "extra": extra}, Blend(name="y")(x, extra))

class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2, kernel_initializer="ones")
        self.norm = keras.layers.BatchNormalization(epsilon=0.0)
        self.drop = keras.layers.Dropout(0.5)
    def call(self, features, training=None):
        normed = self.norm(self.dense(features), training=training)
        return self.drop(normed, training=training)

class Given(keras.Model):
    @tf.function(input_signature=[tf.TensorSpec(shape=[], dtype=tf.string)])
    def concat(self, x): return x + x

class Open(keras.Model):
    @tf.function
    def concat(self, x): return x + x

class Wrapped(tf.Module):
    def __init__(self):
        self.model = page()
    @tf.function
    def score(self, x): return {"score": self.model(x)}
    def plain(self, x): return {"score": self.model(x)}
"""
SEQUENTIAL = """
_target_: keras.Sequential
layers:
  - {_target_: keras.layers.Rescaling, scale: 2.0}
  - _target_: keras.Sequential
    layers: [{_target_: keras.layers.Dense, units: 2, kernel_initializer: {_target_: keras.initializers.Constant, value: 0.5}}]
"""


def write_models(project):
    """Writes the models, and a config that builds one."""
    project.write("modules.py", MODULES)
    project.write("mykeras.py", KERAS)
    project.write("conf/model/seq.yaml", SEQUENTIAL)
    return project


def export(mine, target, *overrides):
    return mine.export(f"model._target_={target}", "signatures=none", *overrides)


def signature(inputs, method="__call__", key="serving_default"):
    return f"+signatures.{key}={{method: {method}, inputs: {{{inputs}}}}}"


def answers(release, key="serving_default", **inputs):
    """Runs a signature in both loaders, which agree."""
    served = serve(release.path, key, **inputs)
    loaded = tf.saved_model.load(str(release.path))
    found = loaded.signatures[key](**{name: tf.constant(value) for name, value in inputs.items()})
    assert sorted(found) == sorted(served)
    for name, value in found.items():
        same = np.array_equal if value.dtype == tf.string else np.allclose
        assert same(value.numpy(), served[name]), name
    return served


def bodies(release):
    """Returns how often each op is in the functions of an export."""
    graph = inspection.read(release.path).meta_graphs[0]
    return Counter(node.op for function, node in inspection.all_nodes(graph) if function)
