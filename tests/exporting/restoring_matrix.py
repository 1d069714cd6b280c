"""Saves trained Keras models of every kind in every format and restores each into a fresh one.

Run as `python restoring_matrix.py keras|tf_keras`, in an empty directory; prints a JSON object of model and format to
"equal", "refused" with the reason, or "differs".
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from smdecl.config.settings import Signature, Spec, Weights
from smdecl.errors import SmdeclError
from smdecl.exporting.building import build
from smdecl.exporting.live_objects.tensors import is_variable
from smdecl.exporting.restoring import restore
from smdecl.exporting.saving import untracked
from smdecl.exporting.signatures.parameters import argument_names

k = importlib.import_module(sys.argv[1])
NUMBERS = np.array([[0.5, 2.0], [30.0, -1.0]], np.float32)
WORDS = np.array([["c a zz"], ["b b a"]])
TRAINING = np.array([["a"], ["b"], ["c"], ["b"], ["b c"]])


def functional(*layers, shape=(2,), dtype="float32"):
    x = inputs = k.Input(shape, dtype=dtype)
    for layer in layers:
        x = layer(x)
    return k.Model(inputs, x)


def numeric(make_layer):
    """A model around a layer that adapts to numbers."""

    def make(trained):
        layer = make_layer()
        model = functional(layer)
        if trained:
            layer.adapt(np.array([[10.0, 1.0], [30.0, 5.0], [50.0, 7.0]], np.float32))
        return model

    return make


def textual(make_layer, data=TRAINING, given=None, dtype="string"):
    """A model around a layer that adapts to text, or has a vocabulary in its constructor."""

    def make(trained):
        layer = make_layer() if given is None else make_layer(**given[trained])
        model = (
            functional(layer, shape=(1,), dtype=dtype) if given is None or given[trained] else None
        )
        if trained and given is None:
            layer.adapt(data)
        return model

    return make


def traced(model, sample):
    """Creates the variables of a model by a trace, as an export does."""
    spec = Spec((None, *sample.shape[1:]), tf.as_dtype(sample.dtype).name, name="x")
    build.build_layers(
        model, {"serving_default": Signature("__call__", {argument_names(model)[0]: spec}, None)}
    )


def weighted(make_model, sample=NUMBERS):
    """A model whose variables training changes."""

    def make(trained):
        model = make_model()
        traced(model, sample)
        if trained:
            random = np.random.default_rng(1)
            for variable in filter(is_variable, model.variables):
                if variable.dtype in ("float32", tf.float32):
                    variable.assign(random.uniform(0.1, 1.0, variable.shape))
        return model

    return make


class Scale(k.layers.Layer):
    """Derives a constant from its variable when it is loaded."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        self.derived = 1.0

    def fit(self):
        self.scale.assign(3.0)
        self.derived = 3.0

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.derived = float(np.asarray(self.scale))

    def call(self, x):
        return x * self.derived


class Offset(k.layers.Layer):
    """Holds a number that is not a variable."""

    offset = np.float32(0)

    def build(self, shape):
        self.built = True

    def fit(self):
        self.offset = np.float32(5)

    def save_own_variables(self, store):
        store["offset"] = self.offset

    def load_own_variables(self, store):
        self.offset = np.asarray(store["offset"])

    def call(self, x):
        return x + self.offset


class Table(k.layers.Layer):
    """Holds a number that it saves as an asset."""

    number = 0.0

    def build(self, shape):
        self.built = True

    def fit(self):
        self.number = 7.0

    def save_assets(self, directory):
        Path(directory, "number.txt").write_text(str(self.number))

    def load_assets(self, directory):
        self.number = float(Path(directory, "number.txt").read_text())

    def call(self, x):
        return x - self.number


def custom(kind):
    def make(trained):
        layer = kind()
        model = functional(layer, k.layers.Dense(2, kernel_initializer="ones"))
        if trained:
            layer.fit()
        return model

    return make


class Nested(k.Model):
    """Holds layers in a list and a dict, one of them twice, and one that adapts."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = k.layers.Normalization()
        self.blocks = [k.layers.Dense(2), k.layers.Dense(2)]
        self.heads = {"a": k.layers.Dense(1), "b": self.blocks[0]}

    def call(self, x):
        x = self.norm(x)
        for block in self.blocks:
            x = block(x)
        return self.heads["a"](x) + self.heads["b"](x)


def nested(trained):
    model = weighted(Nested)(trained)
    if trained:
        model.norm.adapt(NUMBERS)
    return model


class Tagger(k.Model):
    """A subclass with a lookup layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.ids = k.layers.StringLookup()
        self.emb = k.layers.Embedding(10, 2)

    def call(self, words):
        return self.emb(self.ids(words))


def tagger(trained):
    model = weighted(Tagger, WORDS)(trained)
    if trained:
        model.ids.adapt(TRAINING)
    return model


class Coded(k.Model):
    """Cannot be called before its vocabulary and its asset are known."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.words = k.layers.StringLookup(output_mode="one_hot")
        self.table = NeededTable()
        self.dense = k.layers.Dense(2, kernel_initializer="ones")

    def call(self, words):
        return self.dense(self.table(tf.cast(self.words(words), tf.float32)))


class NeededTable(Table):
    """Fails without its asset."""

    def call(self, x):
        if self.number == 0.0:
            raise ValueError("has no number yet")
        return super().call(x)


def coded(trained):
    model = Coded()
    if trained:
        model.words.adapt(WORDS)
        model.table.fit()
        traced(model, WORDS[:, 0])
        kernel, bias = model.dense.get_weights()
        model.dense.set_weights([np.arange(kernel.size).reshape(kernel.shape), bias])
    return model


def inner():
    shared = k.layers.Dense(2)
    return functional(functional(k.layers.Dense(2), shared, shared), k.layers.BatchNormalization())


def sequential():
    return k.Sequential(
        [k.Input((2,)), k.layers.Dense(3), k.layers.Dropout(0.5), k.layers.Dense(1)]
    )


def lstm():
    return k.Sequential([k.Input((2,)), k.layers.Reshape((2, 1)), k.layers.LSTM(3)])


def idf(trained):
    """A model with tf-idf needs the vocabulary in its constructor."""
    layer = k.layers.TextVectorization(
        output_mode="tf_idf",
        vocabulary=["a", "b", "c"],
        idf_weights=[3.0, 2.0, 1.0] if trained else [1.0, 1.0, 1.0],
    )
    return functional(layer, shape=(1,), dtype="string")


def bins(**options):
    return k.layers.Discretization(**options)


VOCABULARY = {True: {"vocabulary": ["c", "a"]}, False: {"vocabulary": ["a", "c"]}}
SAME = {True: {"vocabulary": ["c", "a"]}, False: {"vocabulary": ["c", "a"]}}
MODELS = {
    "normalization": (numeric(k.layers.Normalization), NUMBERS),
    "discretization": (numeric(lambda: bins(num_bins=3)), NUMBERS),
    "bins_given": (lambda trained: functional(bins(bin_boundaries=[0.0, 1.0 + trained])), NUMBERS),
    "constant_mean": (
        lambda trained: functional(
            k.layers.Normalization(mean=[1.0 + trained] * 2, variance=[1.0, 1.0])
        ),
        NUMBERS,
    ),
    "string_lookup": (textual(k.layers.StringLookup), WORDS),
    "integer_lookup": (
        textual(k.layers.IntegerLookup, np.array([[7], [9], [9]]), dtype="int64"),
        np.array([[9], [7]]),
    ),
    "vectorization": (textual(k.layers.TextVectorization), WORDS),
    "vocabulary_given": (
        textual(k.layers.StringLookup, given=VOCABULARY),
        WORDS[:, :, None][0][:1],
    ),
    "vocabulary_same": (textual(k.layers.StringLookup, given=SAME), WORDS),
    "idf": (idf, WORDS),
    "encoding": (
        lambda trained: functional(k.layers.CategoryEncoding(4)),
        np.array([[1, 2], [0, 3]], np.float32),
    ),
    "hashing": (lambda trained: functional(k.layers.Hashing(4), shape=(1,), dtype="string"), WORDS),
    "nested": (nested, NUMBERS),
    "tagger": (tagger, WORDS),
    "coded": (coded, WORDS[:, 0]),
    "inner": (weighted(inner), NUMBERS),
    "sequential": (weighted(sequential), NUMBERS),
    "lstm": (weighted(lstm), NUMBERS),
    "derived": (custom(Scale), NUMBERS),
    "offset": (custom(Offset), NUMBERS),
    "assets": (custom(Table), NUMBERS),
}
PATHS = {
    "keras": "{}.keras",
    "keras_weights": "{}.weights.h5",
    "checkpoint": "{}",
    "saved_model": "{}_saved",
}


def save(name, model, sample):
    model.save(f"{name}.keras")
    model.save_weights(f"{name}.weights.h5")
    tf.train.Checkpoint(model).write(name)
    tf.saved_model.save(model, f"{name}_saved")


def outcome(name, make, sample, fmt, expected):
    k.backend.clear_session()
    fresh = make(False)
    try:
        weights = Weights(fmt, PATHS[fmt].format(name))
        loaded = restore.restore_before_build(fresh, weights)
        if not fresh.built:
            traced(fresh, sample)
        restore.restore(fresh, weights, loaded)
        untracked.require_initialized(fresh)
    except SmdeclError as error:
        return f"refused: {error}"
    got = np.asarray(fresh(tf.constant(sample)))
    return (
        "equal"
        if np.allclose(got, expected, atol=1e-6)
        else f"differs: {got.tolist()} for {expected.tolist()}"
    )


def main():
    found = {}
    for name, (make, sample) in MODELS.items():
        trained = make(True)
        expected = np.asarray(trained(tf.constant(sample)))
        save(name, trained, sample)
        for fmt in PATHS:
            found[f"{name} {fmt}"] = outcome(name, make, sample, fmt, expected)
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
